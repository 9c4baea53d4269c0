"""One finished (item, trial) of an evaluation, and its form in files and tables."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from opik_eval.experiments.model_use import ModelUse, model_use_of_score, total_use
from opik_eval.metrics.base import ScoreResult
from opik_eval.records import DatasetItem, ErrorInfo


@dataclass(slots=True)
class TestCase:
    """One item and what the task made of it.

    Attributes:
        trace_id: Trace of the task's run; ``None`` if it was not traced.
        dataset_item_id: The item.
        task_output: What the task returned; ``None`` if it raised.
        dataset_item_content: What the task received: the user's fields and the item's ``id``.
        mapped_scoring_inputs: What the metrics received, if keys were mapped.
        dataset_item: The stored item.
    """

    __test__: ClassVar[bool] = False  # not a test of pytest

    trace_id: str | None
    dataset_item_id: str
    task_output: Mapping[str, object] | None
    dataset_item_content: Mapping[str, object] = field(default_factory=dict)
    mapped_scoring_inputs: Mapping[str, object] | None = None
    dataset_item: DatasetItem | None = None


@dataclass(slots=True)
class TestResult:
    """One finished (item, trial).

    Attributes:
        test_case: The item and the task's output.
        score_results: Scores of all metrics, failed ones included; empty if the task raised.
        trial_id: 0 .. trial_count-1.
        task_execution_time: Seconds inside the task.
        scoring_time: Seconds inside the metrics.
        error: The task's exception, if it raised.
        usage: Token counts of the model calls inside the task.
        cost_usd: What those calls cost; ``None`` = unknown.
        unpriced_calls: How many of them have no known price.
    """

    __test__: ClassVar[bool] = False

    test_case: TestCase
    score_results: list[ScoreResult]
    trial_id: int
    task_execution_time: float | None = None
    scoring_time: float | None = None
    error: ErrorInfo | None = None
    usage: dict[str, int] | None = None
    cost_usd: float | None = None
    unpriced_calls: int = 0

    @property
    def scoring_use(self) -> ModelUse:
        """What the model calls of the metrics used, judges above all."""
        return total_use(map(model_use_of_score, self.score_results))


def flat_row(result: TestResult) -> dict[str, object]:
    """Return a result as one row of a table."""
    case = result.test_case
    row: dict[str, object] = {
        "dataset_item_id": case.dataset_item_id,
        "trial_id": result.trial_id,
        "trace_id": case.trace_id,
    }
    row.update({f"item.{key}": value for key, value in case.dataset_item_content.items()})
    row.update({f"output.{key}": value for key, value in (case.task_output or {}).items()})
    for score in result.score_results:
        row[f"score.{score.name}"] = score.value if score.is_scored else math.nan
        row[f"reason.{score.name}"] = score.reason
        row[f"failed.{score.name}"] = score.scoring_failed
        use = model_use_of_score(score)
        if use.calls:
            row[f"tokens.{score.name}"] = use.total_tokens
            row[f"cost_usd.{score.name}"] = use.cost_usd
    error = result.error
    row["error"] = None if error is None else f"{error.exception_type}: {error.message or ''}"
    row["task_seconds"] = result.task_execution_time
    row["scoring_seconds"] = result.scoring_time
    row["cost_usd"] = result.cost_usd
    return row


def _present(instance: object) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a dataclass that say something."""
    for part in dataclasses.fields(instance):  # type: ignore[arg-type]
        value = getattr(instance, part.name)
        if value is not None:
            yield part.name, value


def row_of(result: TestResult) -> dict[str, object]:
    """Return a result as a JSON object without fields that say nothing."""
    row = dict(_present(result))
    row["test_case"] = case = dict(_present(result.test_case))
    row["score_results"] = [dict(_present(score)) for score in result.score_results]
    for holder, key in ((row, "error"), (case, "dataset_item")):
        if key in holder:
            holder[key] = {name: value for name, value in holder[key] if value is not None}
    return row


def score_from(raw: dict[str, Any]) -> ScoreResult:
    """Return the score that a JSON object stands for."""
    value = raw.pop("value", None)  # NaN and the infinities are texts in JSON
    return ScoreResult(value=None if value is None else float(value), **raw)


def result_from_row(row: dict[str, Any]) -> TestResult:
    """Return the result that ``row_of`` turned into a JSON object."""
    case = row.pop("test_case")
    case.setdefault("trace_id", None)
    case.setdefault("task_output", None)
    item, error = case.pop("dataset_item", None), row.pop("error", None)
    return TestResult(
        test_case=TestCase(
            **case, dataset_item=None if item is None else DatasetItem.model_validate(item)
        ),
        score_results=[score_from(raw) for raw in row.pop("score_results")],
        error=None if error is None else ErrorInfo.model_validate(error),
        **row,
    )
