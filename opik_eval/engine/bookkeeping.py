"""From a scored unit to its result and to the records that the store keeps of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, cast

from opik_eval.engine.metric_calls import model_use_of
from opik_eval.experiments.model_use import NOTHING, ModelUse
from opik_eval.experiments.result import TestCase, TestResult
from opik_eval.ids import new_id
from opik_eval.metrics.base import ScoreResult
from opik_eval.records import (
    ExperimentItem,
    FeedbackScore,
    ItemScore,
    utc_now,
)
from opik_eval.storage.base import Writable

if TYPE_CHECKING:
    from opik_eval.engine.runner import RunLabels
    from opik_eval.engine.units import Scored, WorkUnit

_IS_SCORED = attrgetter("is_scored")


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


def records_of(scored: Scored, result: TestResult, labels: RunLabels) -> list[Writable]:
    """Return everything the store keeps of one unit: trace, spans, scores, experiment item."""
    executed = scored.executed
    records: list[Writable] = [*executed.spans, *scored.calls]
    now = utc_now()
    if trace_id := result.test_case.trace_id:
        scores = filter(_IS_SCORED, scored.scores)
        records += [_feedback(score, trace_id, labels, now) for score in scores]
    if labels.experiment_id is not None:
        stored = executed.unit.stored
        records.append(
            ExperimentItem.unchecked(
                id=stored.id if stored else new_id(),
                experiment_id=labels.experiment_id,
                dataset_item_id=executed.unit.dataset_item.id,
                trace_id=trace_id or None,
                trial_id=executed.unit.trial,
                resume_key=_resume_key(executed.unit, labels),
                project_name=labels.project_name,
                input=dict(executed.unit.item) if labels.keep_input else None,
                output=executed.output,
                error_info=executed.error,
                scores=_item_scores(scored.scores, stored),
                task_seconds=executed.seconds,
                scoring_seconds=scored.seconds,
                usage=result.usage,
                cost_usd=result.cost_usd,
                unpriced_calls=result.unpriced_calls,
                created_at=stored.created_at if stored else now,
                last_updated_at=now,
            )
        )
    return records


def _feedback(score: ScoreResult, trace_id: str, labels: RunLabels, now: datetime) -> FeedbackScore:
    return FeedbackScore.unchecked(
        entity_id=trace_id,
        name=score.name,
        value=float(score.value or 0.0),
        category_name=score.category_name,
        reason=score.reason,
        project_name=labels.project_name,
        last_updated_at=now,
    )


def _resume_key(unit: WorkUnit, labels: RunLabels) -> str | None:
    if not labels.metrics_key and unit.stored is not None:
        return unit.stored.resume_key  # other metrics beside the run's own: the run stays complete
    return f"{unit.key}:{labels.metrics_key}"


def _item_scores(
    scores: Iterable[ScoreResult], stored: ExperimentItem | None
) -> tuple[ItemScore, ...]:
    new = {score.name: _item_score(score) for score in scores}
    if stored is None or not stored.scores:
        return tuple(new.values())
    return (*(old for old in stored.scores if old.name not in new), *new.values())


def _item_score(score: ScoreResult) -> ItemScore:
    return ItemScore.unchecked(
        name=score.name,
        value=score.value if score.is_scored else None,
        reason=score.reason,
        category_name=score.category_name,
        metadata=score.metadata,
        scoring_failed=bool(score.scoring_failed),
    )
