"""Experiments, prompts, optimizations and cached values in a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from typing_extensions import override

from opik_eval.records import (
    Experiment,
    ExperimentItem,
    Optimization,
    Prompt,
    PromptVersion,
    ScoreSummary,
)
from opik_eval.storage.base import CacheStore, ExperimentStore, OptimizationStore, PromptStore
from opik_eval.storage.file_store import FileStore
from opik_eval.storage.file_summary import summarize
from opik_eval.storage.file_tables import (
    EXPERIMENT_ITEMS,
    EXPERIMENTS,
    OPTIMIZATIONS,
    PROMPT_VERSIONS,
    PROMPTS,
)

_GIVEN_IDS = "(SELECT value FROM json_each(:ids))"


class FileExperiments(ExperimentStore):
    """The ``ExperimentStore`` part of the file backend."""

    _store: FileStore

    @override
    def find_experiment(self, experiment_id: str) -> Experiment | None:
        return self._store.find(EXPERIMENTS, "id = ?", experiment_id)

    @override
    def list_experiments(
        self,
        *,
        name: str | None = None,
        dataset_name: str | None = None,
        optimization_id: str | None = None,
        newest_first: bool = False,
    ) -> Iterator[Experiment]:
        condition, parameters = _equal(
            {"name": name, "dataset_name": dataset_name, "optimization_id": optimization_id}
        )
        order = "id DESC" if newest_first else "id"
        return self._store.select(EXPERIMENTS, condition, parameters, order=order)

    @override
    def list_experiment_items(self, experiment_id: str) -> Iterator[ExperimentItem]:
        return self._store.select(EXPERIMENT_ITEMS, "experiment_id = ?", (experiment_id,))

    @override
    def delete_experiment_items(self, item_ids: Sequence[str]) -> None:
        self._store.delete(f"DELETE FROM experiment_items WHERE id IN {_GIVEN_IDS}", ids=item_ids)

    @override
    def summarize_scores(self, experiment_ids: Sequence[str]) -> list[ScoreSummary]:
        return summarize(self._store.database, experiment_ids)

    @override
    def delete_experiments(self, experiment_ids: Sequence[str]) -> None:
        self._store.delete(
            f"DELETE FROM experiment_items WHERE experiment_id IN {_GIVEN_IDS}",
            f"DELETE FROM experiments WHERE id IN {_GIVEN_IDS}",
            ids=experiment_ids,
        )


class FilePrompts(PromptStore):
    """The ``PromptStore`` part of the file backend."""

    _store: FileStore

    @override
    def find_prompt(self, name: str) -> Prompt | None:
        return self._store.find(PROMPTS, "name = ?", name)

    @override
    def list_prompts(self) -> Iterator[Prompt]:
        return self._store.select(PROMPTS)

    @override
    def list_prompt_versions(self, prompt_id: str) -> Iterator[PromptVersion]:
        return self._store.select(
            PROMPT_VERSIONS, "prompt_id = ?", (prompt_id,), order="number, id"
        )

    @override
    def delete_prompts(self, prompt_ids: Sequence[str]) -> None:
        self._store.delete(
            f"DELETE FROM prompt_versions WHERE prompt_id IN {_GIVEN_IDS}",
            f"DELETE FROM prompts WHERE id IN {_GIVEN_IDS}",
            ids=prompt_ids,
        )


class FileOptimizations(OptimizationStore):
    """The ``OptimizationStore`` part of the file backend."""

    _store: FileStore

    @override
    def find_optimization(self, optimization_id: str) -> Optimization | None:
        return self._store.find(OPTIMIZATIONS, "id = ?", optimization_id)

    @override
    def list_optimizations(
        self, *, name: str | None = None, dataset_name: str | None = None
    ) -> Iterator[Optimization]:
        condition, parameters = _equal({"name": name, "dataset_name": dataset_name})
        return self._store.select(OPTIMIZATIONS, condition, parameters)

    @override
    def delete_optimizations(self, optimization_ids: Sequence[str]) -> None:
        self._store.delete(
            f"DELETE FROM optimizations WHERE id IN {_GIVEN_IDS}", ids=optimization_ids
        )


class FileCache(CacheStore):
    """The ``CacheStore`` part of the file backend."""

    _store: FileStore

    @override
    def read_cached(self, key: str) -> bytes | None:
        rows = self._store.database.rows("SELECT value FROM cache WHERE key = ?", (key,))
        return bytes(rows[0][0]) if rows else None

    @override
    def write_cached(self, key: str, value: bytes) -> None:
        with self._store.database.transaction() as connection:
            connection.execute(
                "INSERT INTO cache (key, value) VALUES (?, ?) "
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (key, value),
            )


def _equal(values: Mapping[str, str | None]) -> tuple[str, list[str]]:
    """Return the condition that columns have given values; ``None`` = any."""
    given = {column: value for column, value in values.items() if value is not None}
    return " AND ".join(("TRUE", *(f"{column} = ?" for column in given))), [*given.values()]
