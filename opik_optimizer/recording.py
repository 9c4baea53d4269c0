"""Keeps a run in the store: one optimization, and one experiment for each candidate's evaluation.

Ids are derived from the run's id and the evaluation's content, so that a resumed run writes the
same records again instead of new ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from opik_eval.ids import derived_id, time_of
from opik_eval.records import (
    ErrorInfo,
    Experiment,
    ExperimentItem,
    FeedbackScore,
    ItemScore,
    Optimization,
    Trace,
    utc_now,
)
from opik_optimizer.events import (
    BaselineEvaluated,
    Event,
    RunFailed,
    RunFinished,
    RunStarted,
    TrialRecorded,
    WinnerSelected,
)
from opik_optimizer.write_behind import WriteBehind

if TYPE_CHECKING:
    from opik_eval.storage.base import Storage, Writable
    from opik_optimizer.evaluation import Evaluation, ItemResult
    from opik_optimizer.result import OptimizationResult


def experiment_id_of(optimization_id: str, evaluation_id: str) -> str:
    """Return the id of the experiment that keeps an evaluation of a run."""
    return derived_id("trial", optimization_id, evaluation_id, at=time_of(optimization_id))


@dataclass
class StoreRecorder:
    """Writes what the events of a run tell.

    Attributes:
        storage: Where to.
        optimization_id: The run.
        optimizer: Name of the optimizer's class.
        metric_name: Name of the objective.
        name: Name of the run.
        dataset_name: Dataset that the items come from.
        dataset_item_ids: Id in that dataset by content id; a content id that is missing stands for
            itself.
        inputs: The items' fields by content id.
        experiment_config: The user's own, merged into every experiment's.
        metadata: Facts about the run for its record.
    """

    storage: Storage
    optimization_id: str
    optimizer: str
    metric_name: str
    name: str | None = None
    dataset_name: str | None = None
    dataset_id: str | None = None
    project_name: str | None = None
    dataset_item_ids: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    experiment_config: Mapping[str, object] = field(default_factory=dict)
    metadata: Mapping[str, object] = field(default_factory=dict)

    KINDS: ClassVar[tuple[type[Event], ...]] = (
        RunStarted,
        BaselineEvaluated,
        TrialRecorded,
        WinnerSelected,
        RunFinished,
        RunFailed,
    )
    """Events that tell something to keep."""

    def behind(self) -> WriteBehind:
        """Return a listener that has the events stored in another thread."""
        return WriteBehind(self.on_event, self.KINDS)

    def on_event(self, event: Event) -> None:
        """Store what an event tells, if it tells something to keep."""
        match event:
            case RunStarted():
                self._write_status("running")
            case BaselineEvaluated():
                self._write_evaluation(event.evaluation, label="baseline", complete=True)
            case TrialRecorded():
                complete = event.trial.decision in ("accepted", "rejected")
                label = f"trial {event.trial.index}"
                self._write_evaluation(event.evaluation, label=label, complete=complete)
            case WinnerSelected():
                self._write_evaluation(event.selection.winner, label="winner", complete=True)
            case RunFinished():
                self._write_status("completed", result=event.result)
            case RunFailed():
                self._write_status(event.status, error=event.error)
            case _:
                pass

    def _write_status(
        self,
        status: str,
        *,
        result: OptimizationResult | None = None,
        error: BaseException | None = None,
    ) -> None:
        metadata: dict[str, object] = {"optimizer": self.optimizer, **self.metadata}
        if result is not None:
            metadata["result"] = {
                "score": result.score,
                "initial_score": result.initial_score,
                "estimate": result.estimate.mean,
                "p_value": result.p_value,
                "stop_reason": result.stop_reason,
                "candidate_id": result.candidate_id,
            }
        if error is not None:
            metadata["error"] = f"{type(error).__name__}: {error}"
        self.storage.write(
            [
                Optimization(
                    id=self.optimization_id,
                    name=self.name,
                    dataset_name=self.dataset_name,
                    objective_name=self.metric_name,
                    project_name=self.project_name,
                    status=status,
                    metadata=metadata,
                    last_updated_at=utc_now(),
                )
            ]
        )

    def _write_evaluation(self, evaluation: Evaluation, *, label: str, complete: bool) -> None:
        self.storage.write(list(self._records(evaluation, label, complete)))

    def _records(self, evaluation: Evaluation, label: str, complete: bool) -> Iterator[Writable]:
        experiment_id = experiment_id_of(self.optimization_id, evaluation.id)
        begun = time_of(self.optimization_id)
        prompts = evaluation.candidate.to_dict()
        yield Experiment(
            id=experiment_id,
            name=f"{self.name or self.optimizer} {label}",
            dataset_id=self.dataset_id,
            dataset_name=self.dataset_name,
            project_name=self.project_name,
            type="trial" if complete else "mini-batch",
            status="completed",
            optimization_id=self.optimization_id,
            config={
                **self.experiment_config,
                "optimizer": self.optimizer,
                "metric": self.metric_name,
                "split": evaluation.split,
                "candidate_id": evaluation.candidate.id,
                "configuration": prompts,
            },
            experiment_scores={self.metric_name: evaluation.score},
        )
        for result in evaluation.results:
            yield from self._item_records(experiment_id, evaluation, result, begun)

    def _item_records(
        self, experiment_id: str, evaluation: Evaluation, result: ItemResult, begun: datetime
    ) -> Iterator[Writable]:
        parts = (experiment_id, result.item_id, str(result.repeat))
        trace_id = derived_id("trace", *parts, at=begun)
        error = None
        if result.error is not None:
            error = ErrorInfo(exception_type="Error", message=result.error, traceback=result.error)
        item = dict(self.inputs.get(result.item_id, {}))
        yield Trace(
            id=trace_id,
            project_name=self.project_name,
            name="evaluation_task",
            start_time=begun,
            end_time=begun,
            input=item,
            output={"llm_output": result.output},
            error_info=error,
            tags=(self.optimizer, self.optimization_id, "Evaluation"),
            metadata={"seconds": result.seconds, "candidate_id": evaluation.candidate.id},
            source="optimization",
        )
        values = {self.metric_name: result.score, **result.scores}
        for name, value in values.items():
            if value is not None and (name != self.metric_name or result.is_scored):
                yield FeedbackScore(
                    entity_id=trace_id,
                    name=name,
                    value=value,
                    reason=result.reason if name == self.metric_name else None,
                    project_name=self.project_name,
                )
        yield ExperimentItem(
            id=derived_id("item", *parts, at=begun),
            experiment_id=experiment_id,
            dataset_item_id=self.dataset_item_ids.get(result.item_id, result.item_id),
            trace_id=trace_id,
            trial_id=result.repeat,
            project_name=self.project_name,
            input=item,
            output={"output": result.output},
            error_info=error,
            scores=tuple(
                ItemScore(name=name, value=value, scoring_failed=value is None)
                for name, value in values.items()
            ),
            task_seconds=result.seconds,
            usage={k: v for k, v in vars(result.usage).items() if v is not None} or None,
            cost_usd=result.cost_usd,
        )
