"""Experiments, prompts and optimizations in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from typing_extensions import override

from opik_eval.records import (
    Experiment,
    ExperimentItem,
    Optimization,
    Prompt,
    PromptVersion,
    ScoreSummary,
)
from opik_eval.storage.base import ExperimentStore, OptimizationStore, PromptStore
from opik_eval.storage.memory_state import MemoryState, score_group
from opik_eval.storage.scores import summarize_items


class MemoryExperiments(ExperimentStore):
    """The ``ExperimentStore`` part of the memory backend."""

    _state: MemoryState

    @override
    def find_experiment(self, experiment_id: str) -> Experiment | None:
        with self._state.locked():
            return self._state.experiments.find((experiment_id,))

    @override
    def list_experiments(
        self,
        *,
        name: str | None = None,
        dataset_name: str | None = None,
        optimization_id: str | None = None,
        newest_first: bool = False,
    ) -> Iterator[Experiment]:
        with self._state.locked():
            rows = self._state.experiments.snapshot()
        found = self._state.experiments.decode(reversed(rows) if newest_first else rows)
        return (
            experiment
            for experiment in found
            if name in (None, experiment.name)
            and dataset_name in (None, experiment.dataset_name)
            and optimization_id in (None, experiment.optimization_id)
        )

    @override
    def list_experiment_items(self, experiment_id: str) -> Iterator[ExperimentItem]:
        with self._state.locked():
            return self._state.experiment_items.records([experiment_id])

    @override
    def delete_experiment_items(self, item_ids: Sequence[str]) -> None:
        with self._state.locked():
            for item_id in item_ids:
                self._state.experiment_items.drop((item_id,))

    @override
    def summarize_scores(self, experiment_ids: Sequence[str]) -> list[ScoreSummary]:
        with self._state.locked():
            items = list(self._state.experiment_items.records(experiment_ids))
            groups = {score_group("trace", item.trace_id) for item in items if item.trace_id}
            values: dict[str, dict[str, list[float]]] = {}
            for score in self._state.scores.records(groups):
                by_name = values.setdefault(score.entity_id, {})
                by_name.setdefault(score.name, []).append(score.value)
        return summarize_items(items, values)

    @override
    def delete_experiments(self, experiment_ids: Sequence[str]) -> None:
        with self._state.locked():
            for experiment_id in experiment_ids:
                self._state.experiments.drop((experiment_id,))
                self._state.experiment_items.drop_group(experiment_id)


class MemoryPrompts(PromptStore):
    """The ``PromptStore`` part of the memory backend."""

    _state: MemoryState

    @override
    def find_prompt(self, name: str) -> Prompt | None:
        with self._state.locked():
            return next(self._state.prompts.records([name]), None)

    @override
    def list_prompts(self) -> Iterator[Prompt]:
        with self._state.locked():
            return self._state.prompts.records()

    @override
    def list_prompt_versions(self, prompt_id: str) -> Iterator[PromptVersion]:
        with self._state.locked():
            found = self._state.prompt_versions.records([prompt_id])
        return iter(sorted(found, key=lambda version: (version.number, version.id)))

    @override
    def delete_prompts(self, prompt_ids: Sequence[str]) -> None:
        with self._state.locked():
            for prompt_id in prompt_ids:
                self._state.prompts.drop((prompt_id,))
                self._state.prompt_versions.drop_group(prompt_id)


class MemoryOptimizations(OptimizationStore):
    """The ``OptimizationStore`` part of the memory backend."""

    _state: MemoryState

    @override
    def find_optimization(self, optimization_id: str) -> Optimization | None:
        with self._state.locked():
            return self._state.optimizations.find((optimization_id,))

    @override
    def list_optimizations(
        self, *, name: str | None = None, dataset_name: str | None = None
    ) -> Iterator[Optimization]:
        with self._state.locked():
            found = self._state.optimizations.records()
        return (
            optimization
            for optimization in found
            if name in (None, optimization.name)
            and dataset_name in (None, optimization.dataset_name)
        )

    @override
    def delete_optimizations(self, optimization_ids: Sequence[str]) -> None:
        with self._state.locked():
            for optimization_id in optimization_ids:
                self._state.optimizations.drop((optimization_id,))
