"""From a scored unit to its result and to the records that the store keeps of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, cast

from opik_eval.engine.metric_calls import model_use_of
from opik_eval.experiments.model_use import NOTHING, ModelUse
from opik_eval.experiments.result import TestCase, TestResult
from opik_eval.ids import new_id
from opik_eval.metrics.base import ScoreResult
from opik_eval.records import (
    Columns,
    ErrorInfo,
    ExperimentItem,
    FeedbackScore,
    ItemScore,
    utc_now,
)
from opik_eval.storage.base import Writable

if TYPE_CHECKING:
    from opik_eval.engine.runner import RunLabels
    from opik_eval.engine.units import Finished, Scored, WorkUnit

_Said = dict[str, object]
"""What a record inside an item says, by field."""


def result_of(scored: Scored) -> TestResult:
    """Return the result of a scored unit as the user sees it."""
    executed, unit = scored.executed, scored.executed.unit
    stored = unit.stored
    trace_id = executed.trace.id if executed.trace else (stored and stored.trace_id) or ""
    if stored is not None:
        use = ModelUse(0, stored.usage, stored.cost_usd, stored.unpriced_calls or 0)
    else:  # the trace alone has used nothing
        use = model_use_of(executed.spans) if len(executed.spans) > 1 else NOTHING
    return TestResult(
        test_case=TestCase(
            trace_id=trace_id,
            dataset_item_id=unit.dataset_item.id,
            task_output=dict(executed.output) if executed.output is not None else None,
            dataset_item_content=unit.item,
            mapped_scoring_inputs=dict(scored.inputs) if scored.inputs is not None else None,
        ),
        score_results=scored.scores,
        trial_id=unit.trial,
        task_execution_time=executed.seconds,
        scoring_time=scored.seconds,
        error=executed.error,
        usage=dict(use.usage) if use.usage else None,
        cost_usd=use.cost_usd,
        unpriced_calls=use.unpriced_calls,
    )


def result_of_stored(item: ExperimentItem, unit: WorkUnit) -> TestResult:
    """Return the result that a stored experiment item stands for."""
    return TestResult(
        test_case=TestCase(
            trace_id=item.trace_id,
            dataset_item_id=item.dataset_item_id,
            task_output=cast("Mapping[str, object] | None", item.output),
            dataset_item_content=unit.item,
        ),
        score_results=[score_of(score) for score in item.scores or ()],
        trial_id=item.trial_id,
        task_execution_time=item.task_seconds,
        scoring_time=item.scoring_seconds,
        error=item.error_info,
        usage=item.usage,
        cost_usd=item.cost_usd,
        unpriced_calls=item.unpriced_calls or 0,
    )


def score_of(score: ItemScore) -> ScoreResult:
    """Return the score that a stored one stands for."""
    return ScoreResult(
        score.name,
        score.value,
        score.reason,
        score.category_name,
        score.metadata,
        score.scoring_failed,
    )


def records_of(batch: Sequence[Finished], labels: RunLabels) -> list[Writable]:
    """Return everything the store keeps of some units: traces, spans, scores, experiment items."""
    now = utc_now()
    records: list[Writable] = [record for finished in batch for record in finished.records]
    judged = [
        (finished.result.test_case.trace_id, score)
        for finished in batch
        for score in finished.result.score_results
        if score.is_scored and finished.result.test_case.trace_id
    ]
    if judged:
        records.append(_feedback(judged, labels, now))
    if labels.experiment_id is not None:
        records.append(_items(batch, labels, now))
    return records


def _feedback(
    judged: Sequence[tuple[str, ScoreResult]], labels: RunLabels, now: datetime
) -> Columns[FeedbackScore]:
    count = len(judged)
    return Columns(
        FeedbackScore,
        {
            "entity_type": ["trace"] * count,
            "entity_id": [trace_id for trace_id, _ in judged],
            "name": [score.name for _, score in judged],
            "value": [float(score.value or 0.0) for _, score in judged],
            "category_name": [score.category_name for _, score in judged],
            "reason": [score.reason for _, score in judged],
            "project_name": [labels.project_name] * count,
            "last_updated_at": [now] * count,
        },
    )


def _items(batch: Sequence[Finished], labels: RunLabels, now: datetime) -> Columns[ExperimentItem]:
    count = len(batch)
    units = [finished.unit for finished in batch]
    results = [finished.result for finished in batch]
    earlier = [unit.stored for unit in units]
    return Columns(
        ExperimentItem,
        {
            "id": [new_id() if stored is None else stored.id for stored in earlier],
            "experiment_id": [labels.experiment_id] * count,
            "dataset_item_id": [unit.dataset_item.id for unit in units],
            "trace_id": [result.test_case.trace_id or None for result in results],
            "trial_id": [unit.trial for unit in units],
            "resume_key": [_resume_key(unit, labels) for unit in units],
            "project_name": [labels.project_name] * count,
            "input": [unit.item if labels.keep_input else None for unit in units],
            "output": [result.test_case.task_output for result in results],
            "error_info": [result.error and _said(result.error) for result in results],
            "scores": [*map(_item_scores, results, earlier)],
            "task_seconds": [result.task_execution_time for result in results],
            "scoring_seconds": [result.scoring_time for result in results],
            "usage": [result.usage for result in results],
            "cost_usd": [result.cost_usd for result in results],
            "unpriced_calls": [result.unpriced_calls for result in results],
            "created_at": [now if stored is None else stored.created_at for stored in earlier],
            "last_updated_at": [now] * count,
        },
    )


def _resume_key(unit: WorkUnit, labels: RunLabels) -> str | None:
    if not labels.metrics_key and unit.stored is not None:
        return unit.stored.resume_key  # other metrics beside the run's own: the run stays complete
    return f"{unit.key}:{labels.metrics_key}"


def _item_scores(result: TestResult, earlier: ExperimentItem | None) -> list[_Said]:
    new = {score.name: _item_score(score) for score in result.score_results}
    old = earlier.scores if earlier is not None else None
    return [*(_said(score) for score in old or () if score.name not in new), *new.values()]


def _item_score(score: ScoreResult) -> _Said:
    said: _Said = {"name": score.name}
    if score.is_scored:
        said["value"] = score.value
    if score.reason is not None:
        said["reason"] = score.reason
    if score.category_name is not None:
        said["category_name"] = score.category_name
    if score.metadata is not None:
        said["metadata"] = score.metadata
    said["scoring_failed"] = bool(score.scoring_failed)
    return said


def _said(record: ItemScore | ErrorInfo) -> _Said:
    return {name: value for name, value in vars(record).items() if value is not None}
