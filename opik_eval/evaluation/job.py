"""A job: one evaluation with everything that is known before it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from opik_eval.datasets.dataset import ItemSource
from opik_eval.engine.progress import Listener
from opik_eval.engine.resume import Earlier, sort_out
from opik_eval.engine.runner import RunLabels
from opik_eval.engine.scoring import ScoringPlan
from opik_eval.engine.task import Task
from opik_eval.engine.units import WorkUnit
from opik_eval.evaluation.options import EvaluateOptions
from opik_eval.evaluation.selection import Selection
from opik_eval.records import Experiment, ExperimentItem
from opik_eval.storage.base import Storage
from opik_eval.storage.opening import open_storage


@dataclass(frozen=True, kw_only=True)
class Job:
    """One evaluation, ready to run.

    Attributes:
        storage: Where everything goes.
        experiment: The experiment's record; ``None`` for a run that is not an experiment.
        task: The task; ``None`` where stored outputs are scored again.
        task_key: Fingerprint of the task.
        earlier: What an earlier run of the experiment left.
        labels: What the records carry.
        units: The units whose stored outputs are scored again; else they come from ``selection``.
        late: Where spans go that end after the run; a target where ``storage`` is then closed.
        is_fatal: Tells whether an exception of the task would meet every item.
        listeners: Hear of results once they are stored.
        warnings: What the user should know; more is added while it runs.
    """

    storage: Storage
    selection: Selection
    experiment: Experiment | None
    task: Task | None
    scoring: ScoringPlan
    labels: RunLabels
    options: EvaluateOptions
    task_key: str = ""
    earlier: Earlier | None = None
    units: Sequence[WorkUnit] | None = None
    late: Storage | str | None = None
    is_fatal: Callable[[BaseException], bool] | None = None
    listeners: Sequence[Listener] = ()
    warnings: list[str] = field(default_factory=list)


@contextmanager
def storage_for(options: EvaluateOptions, dataset: object = None) -> Iterator[Storage]:
    """Give the storage that the options name, or that the dataset came from; close what is opened.

    Args:
        options: Resolved options.
        dataset: What is evaluated.
    """
    given = _given_storage(options, dataset)
    storage = open_storage(given)
    try:
        yield storage
    finally:
        if storage is not given:
            storage.close()


def late_target(
    storage: Storage, options: EvaluateOptions, dataset: object = None
) -> Storage | str:
    """Return where to store what comes after ``storage_for`` has closed what it opened."""
    return storage if storage is _given_storage(options, dataset) else storage.location


def _given_storage(options: EvaluateOptions, dataset: object) -> Storage | str | None:
    given = options.get("storage")
    if given is None and isinstance(dataset, ItemSource):
        return dataset.dataset.storage  # a dataset is evaluated in the store it came from
    return given


def stored_items(storage: Storage, experiment_id: str) -> list[ExperimentItem]:
    """Return the items of an experiment, the newest of each (item, trial)."""
    newest: dict[tuple[str, int], ExperimentItem] = {}
    for item in storage.list_experiment_items(experiment_id):
        newest[item.dataset_item_id, item.trial_id] = item
    return list(newest.values())


def earlier_of(storage: Storage, experiment: Experiment, metrics_key: str) -> Earlier:
    """Return what an interrupted run of an experiment left."""
    return sort_out(stored_items(storage, experiment.id), metrics_key=metrics_key)
