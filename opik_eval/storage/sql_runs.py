"""Experiments, prompts, optimizations and cached values in a database."""

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
from opik_eval.storage.sql_dialect import Transaction
from opik_eval.storage.sql_store import SqlStore
from opik_eval.storage.sql_tables import (
    EXPERIMENT_ITEMS,
    EXPERIMENTS,
    OPTIMIZATIONS,
    PROMPT_VERSIONS,
    PROMPTS,
)
from opik_eval.storage.sql_totals import TOTALS_LOCK, summarize, totals_kept

_OF_EXPERIMENTS = (
    ("score_totals", "experiment_id"),
    ("experiment_items", "experiment_id"),
    ("experiments", "id"),
)


class SqlExperiments(ExperimentStore):
    """The ``ExperimentStore`` part of a database."""

    _store: SqlStore

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
        dialect = self._store.dialect

        def delete(transaction: Transaction) -> None:
            with totals_kept(transaction, dialect, item_ids=item_ids):
                transaction.run(
                    f"DELETE FROM experiment_items WHERE {dialect.within('id')}",
                    [dialect.array(item_ids)],
                )

        self._store.database.transact(delete)

    @override
    def summarize_scores(self, experiment_ids: Sequence[str]) -> list[ScoreSummary]:
        return summarize(self._store.database, experiment_ids)

    @override
    def delete_experiments(self, experiment_ids: Sequence[str]) -> None:
        dialect = self._store.dialect

        def delete(transaction: Transaction) -> None:
            transaction.lock(TOTALS_LOCK)
            for table, column in _OF_EXPERIMENTS:
                transaction.run(
                    f"DELETE FROM {table} WHERE {dialect.within(column)}",
                    [dialect.array(experiment_ids)],
                )

        self._store.database.transact(delete)


class SqlPrompts(PromptStore):
    """The ``PromptStore`` part of a database."""

    _store: SqlStore

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
        self._store.delete(("prompt_versions", "prompt_id"), ("prompts", "id"), values=prompt_ids)


class SqlOptimizations(OptimizationStore):
    """The ``OptimizationStore`` part of a database."""

    _store: SqlStore

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
        self._store.delete(("optimizations", "id"), values=optimization_ids)


class SqlCache(CacheStore):
    """The ``CacheStore`` part of a database."""

    _store: SqlStore

    @override
    def read_cached(self, key: str) -> bytes | None:
        rows = self._store.database.rows("SELECT value FROM cache WHERE key = ?", (key,))
        return bytes(rows[0][0]) if rows else None

    @override
    def write_cached(self, key: str, value: bytes) -> None:
        sql = (
            "INSERT INTO cache (key, value) VALUES (?, ?) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        )
        self._store.database.transact(lambda transaction: transaction.run(sql, (key, value)))


def _equal(values: Mapping[str, str | None]) -> tuple[str, list[str]]:
    """Return the condition that columns have given values; ``None`` = any."""
    given = {column: value for column, value in values.items() if value is not None}
    return " AND ".join(("TRUE", *(f"{column} = ?" for column in given))), [*given.values()]
