"""Units, runners and a control for tests of the engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from opik_eval.engine.failures import find_cause
from opik_eval.engine.runner import RunLabels, UnitRunner
from opik_eval.engine.scheduling import Scheduling
from opik_eval.engine.scorers import prepare_scorers
from opik_eval.engine.scoring import ScoringPlan
from opik_eval.engine.units import Executed, Feed, Finished, WorkUnit
from opik_eval.errors import BudgetExceededError
from opik_eval.records import DatasetItem

PATIENCE_SECONDS = 20.0


class ListSink:
    """Keeps what is emitted."""

    def __init__(self) -> None:
        self.records: list[object] = []

    def emit(self, record: object) -> None:
        self.records.append(record)


class Stops:
    """A control that ends the run when a task or metric finds the budget spent."""

    def __init__(self) -> None:
        self.feed: Feed | None = None
        self.ended: list[Executed] = []
        self.metric_stops = 0

    def budget_exceeded(self) -> None:
        self.metric_stops += 1
        self._shut()

    def ends_with(self, executed: Executed) -> bool:
        if find_cause(executed.exception, BudgetExceededError) is None:
            return False
        self.ended.append(executed)
        self._shut()
        return True

    def _shut(self) -> None:
        assert self.feed is not None
        self.feed.shut()


def unit(index: int = 0, *, trial: int = 0, **fields: object) -> WorkUnit:
    """Return a unit whose item has the field ``n``."""
    data = {"n": index, **fields}
    item = DatasetItem(id=f"item-{index}", data=data)
    return WorkUnit(
        index=index, item={"id": item.id, **data}, dataset_item=item, trial=trial, key=f"k{index}"
    )


def units(count: int) -> list[WorkUnit]:
    return [unit(index) for index in range(count)]


def runner(
    task: Callable[..., object] | None,
    metrics: Sequence[object] = (),
    *,
    timeout_seconds: float | None = None,
    mapping: dict[str, Any] | None = None,
    experiment_id: str | None = "experiment",
) -> UnitRunner:
    return UnitRunner(
        task=task,
        scoring=ScoringPlan(prepare_scorers(metrics, ()), mapping or {}),
        labels=RunLabels(experiment_id=experiment_id, project_name="p", metrics_key="m"),
        fallback=ListSink(),  # type: ignore[arg-type]
        timeout_seconds=timeout_seconds,
    )


class Run:
    """A scheduling over some units that keeps what is delivered."""

    def __init__(
        self, runner: UnitRunner, work: Iterable[WorkUnit], *, workers: int, total: int | None
    ) -> None:
        self.control = Stops()
        self.delivered: list[Finished] = []
        self.changed = threading.Condition()
        self.scheduling = Scheduling(
            runner=runner,
            feed=Feed(work),
            deliver=self._deliver,
            control=self.control,
            workers=workers,
            total=total,
        )
        self.control.feed = self.scheduling.feed

    def _deliver(self, finished: Finished) -> None:
        with self.changed:
            self.delivered.append(finished)
            self.changed.notify_all()

    @property
    def indices(self) -> list[int]:
        return sorted(finished.unit.index for finished in self.delivered)


def schedule(
    runner: UnitRunner, work: Sequence[WorkUnit], *, workers: int = 2, total: int | None = None
) -> Run:
    return Run(runner, work, workers=workers, total=len(work) if total is None else total)
