"""Running Python programs in child processes with limits.

This keeps accidents small; it is no security boundary. A program that wants to do harm can read
every file that you can read, and more. Programs of unknown origin belong into a container or a
virtual machine: write a ``CodeRunner`` that sends them there.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from opik_eval.errors import MetricError
from opik_eval.metrics.arguments import require_choice

_NOT_CUT_OFF = "opik-eval: this system does not let a program be cut off from the network"

# Runs in the child before the program. Limits are set there, because code between fork and exec of
# a process with threads can hang. A new user and network namespace needs no rights on most Linux
# systems; its id maps keep files writable.
_BOOTSTRAP = """
import os, resource, runpy, sys
memory, seconds, size, network, not_cut_off, path = sys.argv[1:]
def limit(kind, value):
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))
def cut_off():
    import ctypes
    maps = {"setgroups": "deny", "uid_map": "%d %d 1", "gid_map": "%d %d 1"}
    ids = {"setgroups": (), "uid_map": (os.geteuid(),) * 2, "gid_map": (os.getegid(),) * 2}
    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000 | 0x40000000):
        return False
    for name, text in maps.items():
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text % ids[name])
    return True
if network != "open":
    try:
        alone = cut_off()
    except (AttributeError, ImportError, OSError):
        alone = False
    if network == "required" and not alone:
        sys.exit(not_cut_off)
limit(resource.RLIMIT_CORE, 0)
limit(resource.RLIMIT_CPU, int(seconds))
limit(resource.RLIMIT_FSIZE, int(size))
try:
    limit(resource.RLIMIT_AS, int(memory))
except (OSError, ValueError):
    pass
sys.argv = [path]
runpy.run_path(path, run_name="__main__")
"""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a program ended.

    Attributes:
        exit_code: 0 if it ended well; negative: the signal that ended it; ``None``: it ran out of
            time.
        stdout: What it wrote, undecodable bytes replaced.
        stderr: What it complained of.
    """

    exit_code: int | None
    stdout: str = ""
    stderr: str = ""


class CodeRunner(Protocol):
    """Runs programs somewhere.

    Must be usable from several threads at once. A program that fails, crashes or runs too long is
    an ``Execution``; an exception means that the runner itself does not work.
    """

    def run(self, program: str) -> Execution:
        """Run a Python program to its end or to a limit."""
        ...


@dataclass(frozen=True, kw_only=True)
class SubprocessRunner:
    r"""Runs programs in child processes of this interpreter; **no security boundary**.

    Each program has a process group and a temporary folder of its own, no input, and none of the
    environment's variables (so no keys). POSIX only. The memory limit has no effect on macOS.

    Attributes:
        timeout_seconds: Limit of the wall clock; what is left of the process group is killed then.
        memory_bytes: Limit of the address space of each process.
        output_bytes: Limit of each file, and so of what it prints.
        network: ``open``; ``blocked``: cut off where the platform allows it (Linux with
            unprivileged user namespaces), else open; ``required``: cut off, or not run at all.

    Example:
        >>> SubprocessRunner().run("print(6 * 7)").stdout
        '42\n'
    """

    timeout_seconds: float = 10.0
    memory_bytes: int = 1 << 30
    output_bytes: int = 1 << 20
    network: Literal["open", "blocked", "required"] = "blocked"

    def __post_init__(self) -> None:
        require_choice(self.network, "network", ("open", "blocked", "required"), metric="runner")
        if min(self.timeout_seconds, self.memory_bytes, self.output_bytes) <= 0:
            raise MetricError(
                f"a limit of {self} is not above 0", remedy="give limits above 0, or leave them out"
            )

    def run(self, program: str) -> Execution:
        """Run a Python program to its end or to a limit.

        Raises:
            MetricError: The network was to be cut off and cannot be, or there are no POSIX limits.
        """
        if os.name != "posix":
            raise MetricError(
                "programs can be run with limits on POSIX systems only",
                remedy="give a CodeRunner that runs them in a container",
            )
        with (
            tempfile.TemporaryDirectory(prefix="opik-eval-code-") as folder,
            tempfile.TemporaryFile() as stdout,
            tempfile.TemporaryFile() as stderr,
        ):
            path = Path(folder, "program.py")
            path.write_text(program, encoding="utf-8", errors="replace")
            exit_code = self._run(path, stdout, stderr)
            complaint = self._text(stderr)
            if complaint.startswith(_NOT_CUT_OFF):
                raise MetricError(
                    complaint.strip(),
                    remedy="run where unprivileged user namespaces are allowed, or in a container",
                )
            return Execution(exit_code=exit_code, stdout=self._text(stdout), stderr=complaint)

    def _run(self, path: Path, stdout: BinaryIO, stderr: BinaryIO) -> int | None:
        seconds = math.ceil(self.timeout_seconds) + 1
        given = (self.memory_bytes, seconds, self.output_bytes, self.network, _NOT_CUT_OFF, path)
        child = subprocess.Popen(
            [sys.executable, "-I", "-c", _BOOTSTRAP, *map(str, given)],
            cwd=path.parent,
            env={
                **{"HOME": str(path.parent), "TMPDIR": str(path.parent), "LANG": "C.UTF-8"},
                **{"PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"},
            },
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        try:
            return child.wait(self.timeout_seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with suppress(ProcessLookupError, PermissionError):  # nothing is left of the group
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()

    def _text(self, file: BinaryIO) -> str:
        file.seek(0)
        return file.read(self.output_bytes).decode("utf-8", errors="replace")


__all__ = ["CodeRunner", "Execution", "SubprocessRunner"]
