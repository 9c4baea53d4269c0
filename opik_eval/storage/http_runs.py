"""Experiments, prompts and optimizations over HTTP."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from opik_eval.records import (
    Experiment,
    ExperimentItem,
    Optimization,
    Prompt,
    PromptVersion,
    ScoreSummary,
)
from opik_eval.storage.experiment_uploads import ExperimentUploads, FinishedItem, UploadedItems
from opik_eval.storage.http_state import HttpState


class HttpExperiments:
    """``ExperimentStore`` over HTTP."""

    _state: HttpState

    def find_experiment(self, experiment_id: str) -> Experiment | None:
        """Return the experiment of that id; see ``ExperimentStore``."""
        return self._state.find(Experiment, experiment_id)

    def list_experiments(
        self,
        *,
        name: str | None = None,
        dataset_name: str | None = None,
        optimization_id: str | None = None,
        newest_first: bool = False,
    ) -> Iterator[Experiment]:
        """Yield experiments; see ``ExperimentStore``."""
        arguments = {
            "name": name,
            "dataset_name": dataset_name,
            "optimization_id": optimization_id,
            "newest_first": newest_first,
        }
        return self._state.select(Experiment, arguments)

    def list_experiment_items(self, experiment_id: str) -> Iterator[ExperimentItem]:
        """Yield the items of an experiment; see ``ExperimentStore``."""
        arguments = {"experiment_id": experiment_id}
        return self._state.select(ExperimentItem, arguments)

    @property
    def takes_experiments(self) -> bool:
        """True on a real Opik server; ours takes all records of a write at once."""
        return isinstance(self._state.dialect(), ExperimentUploads)

    def upload_experiment(
        self, experiment: Experiment, items: Iterable[FinishedItem]
    ) -> Iterator[UploadedItems]:
        """Send finished items; see ``ExperimentUploads``."""
        return cast("ExperimentUploads", self._state.dialect()).upload_experiment(experiment, items)

    def delete_experiment_items(self, item_ids: Sequence[str]) -> None:
        """Delete items of experiments; see ``ExperimentStore``."""
        self._state.dialect().delete("experiment_item", item_ids)

    def summarize_scores(self, experiment_ids: Sequence[str]) -> list[ScoreSummary]:
        """Return the scores of experiments; see ``ExperimentStore``."""
        arguments = {"experiment_ids": [*experiment_ids]}
        return list(self._state.select(ScoreSummary, arguments))

    def delete_experiments(self, experiment_ids: Sequence[str]) -> None:
        """Delete experiments; see ``ExperimentStore``."""
        self._state.dialect().delete("experiment", experiment_ids)


class HttpPrompts:
    """``PromptStore`` over HTTP."""

    _state: HttpState

    def find_prompt(self, name: str) -> Prompt | None:
        """Return the prompt of that exact name; see ``PromptStore``."""
        return self._state.find(Prompt, name)

    def list_prompts(self) -> Iterator[Prompt]:
        """Yield all prompts; see ``PromptStore``."""
        return self._state.select(Prompt, {})

    def list_prompt_versions(self, prompt_id: str) -> Iterator[PromptVersion]:
        """Yield the versions by number; see ``PromptStore``."""
        return self._state.select(PromptVersion, {"prompt_id": prompt_id})

    def delete_prompts(self, prompt_ids: Sequence[str]) -> None:
        """Delete prompts; see ``PromptStore``."""
        self._state.dialect().delete("prompt", prompt_ids)


class HttpOptimizations:
    """``OptimizationStore`` over HTTP."""

    _state: HttpState

    def find_optimization(self, optimization_id: str) -> Optimization | None:
        """Return the optimization of that id; see ``OptimizationStore``."""
        return self._state.find(Optimization, optimization_id)

    def list_optimizations(
        self, *, name: str | None = None, dataset_name: str | None = None
    ) -> Iterator[Optimization]:
        """Yield optimizations; see ``OptimizationStore``."""
        arguments = {"name": name, "dataset_name": dataset_name}
        return self._state.select(Optimization, arguments)

    def delete_optimizations(self, optimization_ids: Sequence[str]) -> None:
        """Delete optimizations; see ``OptimizationStore``."""
        self._state.dialect().delete("optimization", optimization_ids)
