"""Exit codes, as ``opik-eval --help`` documents them."""

from __future__ import annotations

from opik_eval.experiments.result import EvaluationResult

DONE = 0
ERROR = 1
INCOMPLETE = 3
REGRESSION = 4
INTERRUPTED = 130


def code_for(result: EvaluationResult) -> int:
    """Return the exit code of a run: incomplete if anything is missing or undelivered."""
    is_delivered = result.flush is None or result.flush.complete
    is_whole = result.status == "completed" and result.task_errors == 0
    return DONE if is_delivered and is_whole else INCOMPLETE
