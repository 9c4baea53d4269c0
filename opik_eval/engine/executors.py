"""Beyond one process: shards of units through joblib's backends. The coordinator alone writes."""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import pickle
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import TimeoutError as NoReplyError
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from opik_eval.concurrency import run_sync
from opik_eval.engine.failures import InterruptError, lost
from opik_eval.engine.runner import UnitRunner
from opik_eval.engine.threads import DaemonThreads
from opik_eval.engine.units import Executed, Finished, WorkUnit
from opik_eval.errors import ConfigError, OpikEvalError, TaskError

if TYPE_CHECKING:
    from opik_eval.engine.scheduling import Scheduling

_SHARD_SECONDS = 0.5
_MAX_SHARD = 64
_METRIC_THREADS = 32


@dataclass(frozen=True)
class Backend:
    """A joblib backend.

    Attributes:
        package: Distribution that must be installed.
        prepare: ``module:function`` that makes the backend ready, or raises ``ValueError``.
        needs: What the user must have done before, in words.
    """

    name: str
    package: str | None = None
    prepare: str | None = None
    needs: str = ""


BACKENDS = {
    backend.name: backend
    for backend in (
        Backend("loky"),
        Backend(
            "dask",
            package="dask[distributed]",
            prepare="dask.distributed:get_client",
            needs="connect to a cluster first: dask.distributed.Client(...)",
        ),
        Backend("ray", package="ray", prepare="ray.util.joblib:register_ray"),
    )
}


def check_executor(name: str | None, *, has_budget: bool, has_cache: bool) -> None:
    """Check an executor before anything runs.

    Raises:
        ConfigError: It is unknown, not installed, or cannot keep what else was asked for.
    """
    if name is None:
        return
    if name not in BACKENDS:
        raise ConfigError(
            f"executor={name!r} is unknown", remedy=f"use one of {sorted(BACKENDS)}, or None"
        )
    if has_budget or has_cache:
        what = "budget" if has_budget else "cache"
        raise ConfigError(
            f"executor={name!r} runs tasks in other processes, where {what}= would have no effect",
            remedy=f"leave out {what}=, or leave out executor=: threads wait for models as well",
        )
    _prepare(BACKENDS[name])


async def run_in_processes(shared: Scheduling, name: str) -> None:
    """Run a feed in other processes, shard by shard; results arrive as shards finish."""
    thread = DaemonThreads(1, name="opik-eval-coordinator")
    coordinator = _Coordinator(shared, name)
    try:
        await asyncio.get_running_loop().run_in_executor(thread, coordinator.run)
    finally:
        coordinator.stop()
        thread.shutdown(wait=False)


def run_shard(runner: UnitRunner, units: list[WorkUnit]) -> list[bytes]:
    """Run units one after the other; called in the worker process.

    Returns:
        The finished units, each pickled by itself: one that cannot be is a failed unit.
    """
    threads = DaemonThreads(_METRIC_THREADS, name="opik-eval-worker")
    try:
        return [_run_unit(runner, unit, threads) for unit in units]
    except KeyboardInterrupt as error:
        raise InterruptError("a task raised KeyboardInterrupt") from error
    finally:
        threads.shutdown(wait=False)


class _Coordinator:
    """Deals units to the workers, in shards of about half a second."""

    def __init__(self, shared: Scheduling, name: str) -> None:
        self._shared = shared
        self._name = name
        self._stopped = threading.Event()
        self._seconds = 0.0
        self._finished = 0

    def run(self) -> None:
        """Deliver everything; called in a thread of its own."""
        import joblib

        _prepare(BACKENDS[self._name])
        parallel = joblib.Parallel(
            n_jobs=self._shared.workers,
            backend=self._name,
            return_as="generator_unordered",
            pre_dispatch="2*n_jobs",
            batch_size=1,
        )
        started = time.perf_counter()
        results = cast(
            "Iterator[list[bytes]]",
            parallel(joblib.delayed(run_shard)(self._shared.runner, u) for u in self._shards()),
        )
        shards = _explained(results)
        try:
            for shard in shards:
                self._finished += len(shard)
                self._seconds = (time.perf_counter() - started) * self._shared.workers
                for packed in shard:
                    self._shared.deliver(pickle.loads(packed))
                if self._stopped.is_set():
                    return
        finally:
            with warnings.catch_warnings():  # joblib warns of what is meant here
                warnings.simplefilter("ignore", UserWarning)
                shards.close()  # ends workers that are still at it

    def stop(self) -> None:
        """Deal no more, and end the workers as soon as the next of them answers."""
        self._shared.feed.shut()
        self._stopped.set()

    def _shards(self) -> Iterator[list[WorkUnit]]:
        while units := self._shared.feed.take(self._size()):
            yield units

    def _size(self) -> int:
        # One by one, until it is known how long a unit takes: what is in a shard is not yet safe.
        if not self._finished:
            return 1
        return max(1, min(_MAX_SHARD, int(_SHARD_SECONDS * self._finished / self._seconds)))


def _explained(results: Iterator[list[bytes]]) -> Generator[list[bytes]]:
    """Hand on what the workers return; say what to do where they cannot be used at all."""
    try:
        yield from results
    except (InterruptError, OpikEvalError):
        raise
    except Exception as error:
        raise TaskError(
            f"the worker processes failed: {type(error).__name__}: {error}",
            remedy="results that have arrived are stored, and resume keeps them. Task and metrics "
            "must be picklable, importable in a new process and must not exhaust its memory; "
            "without executor= they run in threads of this process",
        ) from error


def _run_unit(runner: UnitRunner, unit: WorkUnit, threads: DaemonThreads) -> bytes:
    finished = _finish(runner, unit, threads)
    from joblib.externals.loky.backend.reduction import dumps  # also takes classes of __main__

    try:
        return bytes(dumps(finished))
    except Exception as error:  # noqa: BLE001 - __reduce__ of whatever the task returned
        problem = TaskError(
            f"the result cannot be sent back from the worker process: {error}",
            remedy="return plain values from the task, or leave out executor=",
        )
        problem.__cause__ = error
        failed = runner.finish(runner.score(lost(unit, problem)))
        return bytes(dumps(failed))


def _finish(runner: UnitRunner, unit: WorkUnit, threads: DaemonThreads) -> Finished:
    started = time.perf_counter()
    try:
        executed = _execute(runner, unit)
    except NoReplyError:
        return runner.expire(unit, time.perf_counter() - started)
    if executed.output is None or runner.scoring.is_inline:
        return runner.finish(runner.score(executed))
    return runner.finish(run_sync(lambda: runner.ascore(executed, threads)))


def _execute(runner: UnitRunner, unit: WorkUnit) -> Executed:
    try:
        if runner.is_async:
            return run_sync(lambda: runner.aexecute(unit))
        if runner.timeout_seconds is None:
            return runner.execute(unit)
        # A thread of its own, which nobody misses if it never comes back.
        thread = DaemonThreads(1, name="opik-eval-task")
        running = thread.submit(contextvars.copy_context().run, runner.execute, unit)
        thread.shutdown(wait=False)
        return running.result(runner.timeout_seconds)
    except asyncio.CancelledError as error:  # of an event loop of the user's
        return lost(unit, error)


def _prepare(backend: Backend) -> None:
    if backend.prepare is None:
        return
    module, _, function = backend.prepare.partition(":")
    try:
        cast("Callable[[], object]", getattr(importlib.import_module(module), function))()
    except ImportError as error:
        raise ConfigError(
            f"executor={backend.name!r} needs the package {backend.package}",
            remedy=f'pip install "{backend.package}"',
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"executor={backend.name!r} is not ready: {error}", remedy=backend.needs
        ) from error
