"""Exit codes."""

from __future__ import annotations

from opik_eval.experiments.result import EvaluationResult

DONE = 0
ERROR = 1
INCOMPLETE = 3
REGRESSION = 4
INTERRUPTED = 130

# click itself exits with 2 on wrong usage.
EXIT_CODES = """\
Exit codes:
  0    done
  1    an error, explained on standard error
  2    wrong usage of the command line
  3    a run is incomplete: stopped by a limit, failed tasks or scores,
       or records that were not delivered
  4    a comparison found a regression
  130  interrupted"""


def code_for(result: EvaluationResult) -> int:
    """Return the exit code of a run: incomplete if anything is missing, failed or undelivered."""
    is_delivered = result.flush is None or result.flush.complete
    has_failed_scores = any(
        score.scoring_failed for found in result.test_results for score in found.score_results
    )
    is_whole = result.status == "completed" and not result.task_errors and not has_failed_scores
    return DONE if is_delivered and is_whole else INCOMPLETE
