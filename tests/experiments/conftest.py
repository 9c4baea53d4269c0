"""Small results to test with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest

from opik_eval.experiments import EvaluationResult, TestCase, TestResult
from opik_eval.metrics.base import ScoreResult
from opik_eval.records import ErrorInfo

TIMEOUT = ErrorInfo(exception_type="TimeoutError", message="no reply", traceback="Traceback ...")


def make_run(
    name: str,
    metrics: Mapping[str, Sequence[float | str | None]],
    *,
    trials: int = 1,
    prefix: str = "item-",
    errors: Sequence[int] = (),
    **fields: object,
) -> EvaluationResult:
    """Return a run whose i-th result has the i-th value of every metric.

    A text instead of a value is the reason of a failed score; ``errors`` are the places of results
    whose task raised.
    """
    count = len(next(iter(metrics.values())))
    results = []
    for place in range(count):
        item = place // trials
        item_id = f"{prefix}{item}"
        content = {"id": item_id, "input": f"question {item}", "expected_output": f"right {item}"}
        raised = place in errors
        scores = [_score(metric, values[place]) for metric, values in metrics.items()]
        results.append(
            TestResult(
                TestCase(
                    trace_id=f"trace-{place}",
                    dataset_item_id=item_id,
                    task_output=None if raised else {"output": f"{name} answer {item}"},
                    dataset_item_content=content,
                ),
                [] if raised else scores,
                trial_id=place % trials,
                task_execution_time=0.5,
                error=TIMEOUT if raised else None,
            )
        )
    return EvaluationResult(name, "dataset", name, results, None, trials, **fields)


def _score(metric: str, value: float | str | None) -> ScoreResult:
    if isinstance(value, str):
        return ScoreResult(metric, None, reason=value, scoring_failed=True)
    return ScoreResult(metric, value)


@pytest.fixture
def run() -> Callable[..., EvaluationResult]:
    """Return ``make_run``."""
    return make_run
