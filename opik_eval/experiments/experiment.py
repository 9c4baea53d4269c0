"""A handle on one stored experiment."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opik_eval import records
from opik_eval.errors import NotFoundError
from opik_eval.experiments.loading import completed_by_trace, load_result
from opik_eval.experiments.result import EvaluationResult
from opik_eval.ids import derived_id
from opik_eval.metrics.base import ScoreResult
from opik_eval.records import ExperimentItem, utc_now
from opik_eval.storage.base import Storage

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class ExperimentItemReferences:
    """A link from an item of a dataset to the trace that a task left for it."""

    dataset_item_id: str
    trace_id: str
    project_name: str | None = None


@dataclass(slots=True)
class ExperimentItemContent:
    """One finished (item, trial) as the store has it.

    Attributes:
        dataset_item_data: What the task received.
        evaluation_task_output: What it returned; ``None`` if it raised.
        feedback_scores: Its scores, failed ones included.
    """

    id: str
    dataset_item_id: str
    trace_id: str | None
    dataset_item_data: dict[str, object] | None
    evaluation_task_output: object
    feedback_scores: list[ScoreResult] = field(default_factory=list)


class Experiment:
    """Reads and extends one experiment. Keeps nothing: every call sees what is stored now.

    Args:
        storage: The store that has it.
        experiment_id: Its id.
    """

    def __init__(self, storage: Storage, experiment_id: str) -> None:
        self._storage = storage
        self._id = experiment_id

    @property
    def id(self) -> str:
        """The experiment's id."""
        return self._id

    @property
    def name(self) -> str | None:
        """The experiment's name."""
        return self.get_experiment_data().name

    @property
    def dataset_name(self) -> str | None:
        """Name of the dataset it was run on."""
        return self.get_experiment_data().dataset_name

    @property
    def dataset_id(self) -> str | None:
        """Id of the dataset it was run on."""
        return self.get_experiment_data().dataset_id

    @property
    def project_name(self) -> str | None:
        """Project of its traces."""
        return self.get_experiment_data().project_name

    @property
    def tags(self) -> list[str]:
        """Its tags."""
        return list(self.get_experiment_data().tags or ())

    def get_experiment_data(self) -> records.Experiment:
        """Return the stored record.

        Raises:
            NotFoundError: The experiment is not, or no longer, in the store.
        """
        record = self._storage.find_experiment(self._id)
        if record is None:
            raise NotFoundError(f"there is no experiment {self._id} in {self._storage.location}")
        return record

    def get_items(self, max_results: int | None = None) -> list[ExperimentItemContent]:
        """Return the finished items by id, all of them unless ``max_results`` says otherwise."""
        items = self._storage.list_experiment_items(self._id)
        return [
            ExperimentItemContent(
                id=item.id,
                dataset_item_id=item.dataset_item_id,
                trace_id=item.trace_id,
                dataset_item_data=item.input,
                evaluation_task_output=item.output,
                feedback_scores=[ScoreResult(**dict(score)) for score in item.scores or ()],
            )
            for item in (
                completed_by_trace(self._storage, item)
                for item in itertools.islice(items, max_results)
            )
        ]

    def insert(self, experiment_items_references: Iterable[ExperimentItemReferences]) -> None:
        """Link traces to items of the dataset. Linking the same pair again changes nothing."""
        self._storage.write(
            ExperimentItem(
                id=derived_id(self._id, reference.dataset_item_id, reference.trace_id),
                experiment_id=self._id,
                dataset_item_id=reference.dataset_item_id,
                trace_id=reference.trace_id,
                project_name=reference.project_name,
            )
            for reference in experiment_items_references
        )

    def log_experiment_scores(self, scores: Sequence[ScoreResult]) -> None:
        """Add scores of the experiment as a whole; equal names replace, failed scores are left out.

        Raises:
            NotFoundError: The experiment is not, or no longer, in the store.
        """
        known = self.get_experiment_data().experiment_scores or {}
        new = {s.name: float(s.value) for s in scores if s.value is not None and s.is_scored}
        self._storage.write(
            [
                records.Experiment(
                    id=self._id, experiment_scores={**known, **new}, last_updated_at=utc_now()
                )
            ]
        )

    def load(self) -> EvaluationResult:
        """Return the experiment as a result, with statistics and comparison."""
        return load_result(self._storage, self._id)

    def to_pandas(self) -> pd.DataFrame:
        """Return one row per finished (item, trial); see ``EvaluationResult.to_pandas``."""
        return self.load().to_pandas()

    def __repr__(self) -> str:
        return f"Experiment({self._id!r}, storage={self._storage.location!r})"
