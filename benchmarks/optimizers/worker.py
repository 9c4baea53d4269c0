"""Runs jobs of one program in that program's environment: JSON lines in, JSON lines out.

Started as a file, ``PYTHON -P worker.py PROGRAM``, never with the repository on the path: a peer's
environment may hold another package of the name ``opik_optimizer``. Therefore only the package
``benchmarks`` is made known here.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import types
from pathlib import Path


def main(program: str) -> None:
    """Answer each job on standard input with an outcome, or with an error."""
    package = types.ModuleType("benchmarks")
    package.__path__ = [str(Path(__file__).resolve().parents[1])]
    sys.modules["benchmarks"] = package
    from benchmarks.optimizers.contest import Job, run_job

    # The libraries may write to standard output; the outcomes keep it for themselves.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    contestant = importlib.import_module(f"benchmarks.optimizers.peers.{program}_peer").run
    for line in sys.stdin:
        try:
            reply = run_job(Job(**json.loads(line)), contestant).to_json()
        except Exception as error:  # noqa: BLE001 - a contestant's failure is reported, not ours
            reply = {"error": f"{type(error).__name__}: {error}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main(sys.argv[1])
