"""Experiments and optimizations of the client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TypedDict, Unpack

from opik_eval import records
from opik_eval.client.connection import Connection, check_keywords, id_list
from opik_eval.client.prompts import ChatPrompt, Prompt
from opik_eval.datasets.dataset import get_dataset
from opik_eval.errors import NotFoundError
from opik_eval.experiments.experiment import Experiment
from opik_eval.experiments.loading import get_experiment
from opik_eval.ids import new_id
from opik_eval.records import Optimization, utc_now


class ExperimentFields(TypedDict, total=False):
    """What may be said of a new experiment.

    Attributes:
        experiment_config: Anything worth remembering.
        type: ``regular``, ``trial`` or ``mini-batch``.
        optimization_id: Optimization that it is a trial of.
    """

    experiment_config: Mapping[str, object] | None
    prompts: Sequence[Prompt | ChatPrompt] | None
    type: str
    evaluation_method: str
    optimization_id: str | None
    tags: Sequence[str] | None
    project_name: str | None


class Experiments(Connection):
    """Create and find experiments and optimizations."""

    def create_experiment(
        self, dataset_name: str, name: str | None = None, **fields: Unpack[ExperimentFields]
    ) -> Experiment:
        """Create an experiment on a dataset, to fill with ``insert``.

        Args:
            dataset_name: A stored dataset.
            name: Name of the experiment; made from the time if absent.
            **fields: See ``ExperimentFields``.

        Raises:
            NotFoundError: There is no such dataset.
            TypeError: There is no such keyword.
        """
        check_keywords("create_experiment", fields, ExperimentFields)
        dataset = get_dataset(self._storage, dataset_name)
        version, now = dataset.version, utc_now()
        prompts = fields.get("prompts") or ()
        record = records.Experiment(
            id=new_id(),
            name=name or f"experiment-{now:%Y%m%d-%H%M%S}-{new_id()[-4:]}",
            dataset_id=dataset.id,
            dataset_name=dataset_name,
            dataset_version_id=version.id if version else None,
            project_name=fields.get("project_name") or self.project_name,
            type=fields.get("type") or "regular",
            evaluation_method=fields.get("evaluation_method") or "dataset",
            optimization_id=fields.get("optimization_id"),
            config=dict(fields.get("experiment_config") or {}) or None,
            tags=tuple(fields.get("tags") or ()) or None,
            prompt_version_ids=tuple(p.version_id for p in prompts) or None,
            created_at=now,
            last_updated_at=now,
        )
        self._storage.write([record])
        return Experiment(self._storage, record.id)

    def get_experiment_by_id(self, id: str) -> Experiment:
        """Return the experiment of that id.

        Raises:
            NotFoundError: There is none.
        """
        if self._storage.find_experiment(id) is None:
            raise NotFoundError(f"there is no experiment {id!r} in {self._storage.location}")
        return Experiment(self._storage, id)

    def get_experiment_by_name(self, name: str) -> Experiment:
        """Return the only experiment of that name.

        Raises:
            NotFoundError: There is none.
            ConfigError: There are several.
        """
        return Experiment(self._storage, get_experiment(self._storage, name).id)

    def get_experiments_by_name(self, name: str) -> list[Experiment]:
        """Return all experiments of that name, newest first.

        Raises:
            NotFoundError: There is none.
        """
        found = list(self._storage.list_experiments(name=name, newest_first=True))
        if not found:
            raise NotFoundError(f"there is no experiment {name!r} in {self._storage.location}")
        return [Experiment(self._storage, record.id) for record in found]

    def get_dataset_experiments(
        self, dataset_name: str, max_results: int | None = None
    ) -> list[Experiment]:
        """Return the experiments on a dataset, newest first."""
        found = self._storage.list_experiments(dataset_name=dataset_name, newest_first=True)
        return [Experiment(self._storage, record.id) for record in islice(found, max_results)]

    def update_experiment(
        self,
        id: str,
        name: str | None = None,
        experiment_config: Mapping[str, object] | None = None,
    ) -> None:
        """Change the name or configuration of an experiment."""
        record = self.get_experiment_by_id(id).get_experiment_data()
        config = None if experiment_config is None else dict(experiment_config)
        change = records.Experiment(
            id=record.id, name=name, config=config, last_updated_at=utc_now()
        )
        self._storage.write([change])

    def delete_experiments(self, ids: Sequence[str]) -> None:
        """Delete experiments with their items; their traces stay."""
        self._storage.delete_experiments(id_list(ids))

    def create_optimization(
        self,
        dataset_name: str,
        objective_name: str,
        name: str | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> Optimization:
        """Store the start of an optimization and return its record."""
        now = utc_now()
        record = Optimization(
            id=new_id(),
            name=name,
            dataset_name=dataset_name,
            objective_name=objective_name,
            project_name=self.project_name,
            status="running",
            metadata=None if metadata is None else dict(metadata),
            created_at=now,
            last_updated_at=now,
        )
        self._storage.write([record])
        return record

    def get_optimization_by_id(self, id: str) -> Optimization:
        """Return the optimization of that id.

        Raises:
            NotFoundError: There is none.
        """
        found = self._storage.find_optimization(id)
        if found is None:
            raise NotFoundError(f"there is no optimization {id!r} in {self._storage.location}")
        return found

    def delete_optimizations(self, ids: Sequence[str]) -> None:
        """Delete optimizations; their trials stay."""
        self._storage.delete_optimizations(id_list(ids))
