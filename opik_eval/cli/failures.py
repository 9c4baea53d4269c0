"""What went wrong in a run, item by item: failed tasks, then scores that could not be computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from opik_eval.experiments.result import EvaluationResult
from opik_eval.experiments.table import shorten


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One thing that failed.

    Attributes:
        kind: ``task`` or ``score``.
        name: Class of the task's exception, or name of the score.
        message: What it said.
    """

    kind: str
    dataset_item_id: str
    trial_id: int
    trace_id: str | None
    name: str
    message: str


def failures_of(result: EvaluationResult) -> list[Failure]:
    """Return all failures: those of tasks first, each kind in the order of the dataset."""
    return [*_task_failures(result), *_score_failures(result)]


def failure_lines(failures: Sequence[Failure], most: int, width: int) -> Iterator[str]:
    """Yield lines that show the first ``most`` failures, and how many there are.

    Args:
        failures: All of them.
        most: How many to show.
        width: Characters per line.
    """
    if not failures:
        return
    yield f"Failures: {len(failures)}" + (
        f", the first {most}:" if 0 < most < len(failures) else ":" if most else ""
    )
    for failure in failures[:most]:
        trial = f", trial {failure.trial_id}" if failure.trial_id else ""
        what = "task raised" if failure.kind == "task" else "score failed:"
        yield f"- item {shorten(failure.dataset_item_id, 40)}{trial}: {what} {failure.name}"
        yield f"    {shorten(failure.message, width - 4)}"


def _task_failures(result: EvaluationResult) -> Iterator[Failure]:
    for found in result.test_results:
        if found.error is not None:
            yield Failure(
                kind="task",
                dataset_item_id=found.test_case.dataset_item_id,
                trial_id=found.trial_id,
                trace_id=found.test_case.trace_id,
                name=found.error.exception_type,
                message=found.error.message or "",
            )


def _score_failures(result: EvaluationResult) -> Iterator[Failure]:
    for found in result.test_results:
        for score in found.score_results:
            if score.scoring_failed:
                yield Failure(
                    kind="score",
                    dataset_item_id=found.test_case.dataset_item_id,
                    trial_id=found.trial_id,
                    trace_id=found.test_case.trace_id,
                    name=score.name,
                    message=score.reason or "",
                )
