"""Worker processes, each in the environment of its program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from queue import Empty, SimpleQueue

from benchmarks.optimizers.contest import Job, Outcome

_HERE = Path(__file__).resolve().parent
OURS = "ours"
_OWN = frozenset({OURS, "plain"})


class ContestantError(RuntimeError):
    """A contestant failed; the message names the job."""


def run_jobs(
    jobs: Sequence[Job],
    *,
    pythons: Mapping[str, str],
    processes: int = 1,
    on_outcome: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Run jobs and return their outcomes in the order of the jobs.

    Args:
        jobs: What to run.
        pythons: Interpreter for each program; this one for our own, if they are not named.
        processes: How many jobs run at once.
        on_outcome: Called with each outcome as it comes.

    Raises:
        ContestantError: A program has no interpreter, or a job failed.
    """
    outcomes: dict[int, Outcome] = {}
    failures: list[ContestantError] = []
    for program in dict.fromkeys(job.program for job in jobs):
        queue: SimpleQueue[tuple[int, Job]] = SimpleQueue()
        for number, job in enumerate(jobs):
            if job.program == program:
                queue.put((number, job))

        def serve(program: str = program, queue: SimpleQueue[tuple[int, Job]] = queue) -> None:
            try:
                for number, outcome in _serve(program, queue, pythons):
                    outcomes[number] = outcome
                    on_outcome(outcome)
            except ContestantError as error:
                failures.append(error)

        threads = [threading.Thread(target=serve) for _ in range(processes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
    return [outcomes[number] for number in range(len(jobs))]


def _serve(
    program: str, queue: SimpleQueue[tuple[int, Job]], pythons: Mapping[str, str]
) -> Iterator[tuple[int, Outcome]]:
    with _start(program, pythons) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while True:
            try:
                number, job = queue.get_nowait()
            except Empty:
                process.stdin.close()
                return
            process.stdin.write(json.dumps(asdict(job)) + "\n")
            process.stdin.flush()
            reply = json.loads(process.stdout.readline() or '{"error": "the process died"}')
            if "error" in reply:
                process.kill()
                raise ContestantError(f"{job}: {reply['error']}")
            yield number, Outcome.from_json(reply)


def _start(program: str, pythons: Mapping[str, str]) -> subprocess.Popen[str]:
    python = pythons.get(program, sys.executable if program in _OWN else None)
    if python is None:
        raise ContestantError(f"no interpreter for {program}: pass --peer-python {program}=PATH")
    path = {"PYTHONPATH": str(_HERE.parents[1])} if program == OURS else {}
    return subprocess.Popen(
        [python, "-P", str(_HERE / "worker.py"), program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, **path},
    )
