"""The child process that serves a local model: started, watched, restarted once and always ended.

The child cannot outlive this process: it reads the end of a pipe that this process alone holds, and
on Linux the kernel kills it with its parent. It runs in a session of its own, so that Ctrl-C in the
terminal reaches it only through its parent.
"""

from __future__ import annotations

import atexit
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from opik_eval.concurrency import run_sync
from opik_eval.errors import ConfigError, ModelError
from opik_eval.models import local_server

_MAX_RESTARTS = 1
_TAIL_BYTES = 2000


def _available_cores() -> int:
    # Containers and taskset narrow what the machine has.
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """How a child serves its model.

    Attributes:
        slots: Requests served at the same time; more than the cores, because a batch of tokens
            costs little more than one.
        threads: Threads that compute.
        context_tokens: Prompt and reply tokens that one request may use together.
        cache_mib: Memory for prompt prefixes that no slot holds any more.
        start_timeout_seconds: How long loading may take.
    """

    slots: int = field(default_factory=lambda: min(max(4, _available_cores()), 16))
    threads: int = field(default_factory=lambda: min(_available_cores(), 8))
    context_tokens: int = 4096
    cache_mib: int = 256
    start_timeout_seconds: float = 120.0

    def __post_init__(self) -> None:
        if min(self.slots, self.threads, self.context_tokens) < 1 or self.cache_mib < 0:
            raise ConfigError(f"the options of a local model must be positive: {self}")


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a local model answers.

    Attributes:
        api_base: Base URL of its OpenAI-compatible routes, such as ``http://127.0.0.1:41234/v1``.
        api_key: Random key of this child.
        takes_tools: Whether the model's chat template knows tools.
    """

    api_base: str
    api_key: str = field(repr=False)
    takes_tools: bool = False


class LocalProcess:
    """One model's child process. All methods are thread-safe.

    Args:
        name: The model's name, for messages.
        weights: The GGUF file.
        library_path: Folder that holds the inference library.
        options: How to serve.
    """

    def __init__(
        self, name: str, weights: Path, library_path: Path, options: ServerOptions
    ) -> None:
        self._name = name
        self._weights = weights
        self._library_path = library_path
        self._options = options
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._deaths: list[str] = []

    @property
    def running_endpoint(self) -> Endpoint | None:
        """The endpoint if the child runs now, else ``None``; never starts or waits."""
        child = self._child
        return child.endpoint if child is not None and child.is_alive() else None

    @property
    def pid(self) -> int | None:
        """The running child's process id."""
        child = self._child
        return child.pid if child is not None and child.is_alive() else None

    def endpoint(self) -> Endpoint:
        """Return the endpoint; start the child if it does not run, restart it once if it died.

        Raises:
            ModelError: The child did not start, or died once too often.
        """
        with self._lock:
            if self._child is not None and not self._child.is_alive():
                self._deaths.append(self._child.bury())
                self._child = None
            if len(self._deaths) > _MAX_RESTARTS:
                raise self._failure(f"died {len(self._deaths)} times, last: {self._deaths[-1]}")
            if self._child is None:
                self._child = self._start()
            return self._child.endpoint

    def stop(self) -> None:
        """End the child, if there is one; the next use starts a fresh one."""
        with self._lock:
            self._deaths.clear()
            if self._child is not None:
                self._child.bury()
                self._child = None

    def forget(self) -> None:
        """Let go of a child that belongs to the process this one was forked from."""
        self._lock = threading.Lock()
        if self._child is not None:
            self._child.disown()
            self._child = None

    def _start(self) -> _Child:
        key = secrets.token_urlsafe(24)
        order: local_server.Order = {
            "library_path": str(self._library_path),
            "weights": str(self._weights),
            "api_key": key,
            "slots": self._options.slots,
            "threads": self._options.threads,
            "context_tokens": self._options.context_tokens,
            "cache_mib": self._options.cache_mib,
        }
        child = _Child()
        try:
            answer = child.ask(order, self._options.start_timeout_seconds)
        except BaseException:  # an interrupt while the weights load
            child.bury()
            raise
        if "address" not in answer:
            limit = self._options.start_timeout_seconds
            end = answer.get("error") or f"no answer within {limit:g} s or before its end"
            raise self._failure(f"did not start: {end}; {child.bury()}")
        child.endpoint = Endpoint(
            api_base=f"{answer['address']}/v1", api_key=key, takes_tools=answer["takes_tools"]
        )
        return child

    def _failure(self, what: str) -> ModelError:
        return ModelError(
            f"{self._name}: the process that serves {self._weights} {what}",
            remedy="check that the file is a complete GGUF model and that memory suffices (fewer "
            "slots or context_tokens need less); opik_eval.models.local.stop() forgets the deaths",
        )


class _Child:
    """One start of the process."""

    def __init__(self) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by bury()
        read_end, self._lifeline = os.pipe()
        try:
            self._process = run_sync(lambda: _spawn(read_end, self._log))
        finally:
            os.close(read_end)
        self.endpoint = Endpoint(api_base="", api_key="")

    def ask(self, order: local_server.Order, timeout_seconds: float) -> local_server.Answer:
        """Send the order and return the answer; an empty one if the child ended without."""
        alarm = threading.Timer(timeout_seconds, self._process.kill)
        alarm.daemon = True
        alarm.start()
        try:
            os.write(self._lifeline, json.dumps(order).encode() + b"\n")
            with cast("IO[bytes]", self._process.stdout) as answers:
                line = answers.readline()
        except BrokenPipeError:
            line = b""
        finally:
            alarm.cancel()
        return cast("local_server.Answer", json.loads(line)) if line else {}

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def bury(self) -> str:
        """End the process if it runs, free what it held, and say how it ended."""
        self._process.kill()
        status = self._process.wait()
        self._release()
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - _TAIL_BYTES))
        tail = self._log.read().decode("utf-8", "replace").strip()
        self._log.close()
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return f"{how}, error output: {tail or 'none'}"

    def disown(self) -> None:
        """Free this process's copies of what a child of another process holds."""
        self._process.returncode = 0  # not ours to wait for
        self._release()
        self._log.close()

    def _release(self) -> None:
        os.close(self._lifeline)
        if self._process.stdout is not None:
            self._process.stdout.close()


async def _spawn(stdin: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
    # A coroutine only to run on the background loop's thread: on Linux the child dies with the
    # *thread* that started it, and the caller's may be a short-lived worker.
    return subprocess.Popen(
        [sys.executable, "-I", "-S", local_server.__file__, str(os.getpid())],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=log,
        start_new_session=True,
    )


_processes: dict[tuple[Path, ServerOptions], LocalProcess] = {}


def process_of(
    name: str, weights: Path, library_path: Path, options: ServerOptions
) -> LocalProcess:
    """Return this process's one child for these weights and options; it is not started yet."""
    if not _processes:
        atexit.register(stop_all)  # twice in a race, which does no harm
    fresh = LocalProcess(name, weights, library_path, options)
    return _processes.setdefault((weights, options), fresh)


def stop_all() -> None:
    """End all children of this process."""
    for process in list(_processes.values()):
        process.stop()


def _forget_after_fork() -> None:
    for process in _processes.values():
        process.forget()


os.register_at_fork(after_in_child=_forget_after_fork)
