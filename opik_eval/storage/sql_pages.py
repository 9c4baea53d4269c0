"""Pages of traces and spans in a database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from typing_extensions import override

from opik_eval.records import Record, Span, Trace
from opik_eval.storage.merge import project_key
from opik_eval.storage.pages import PageStore
from opik_eval.storage.query import Filter
from opik_eval.storage.sql_filter import CompiledFilter, TracedEntity, compile_filter
from opik_eval.storage.sql_store import SqlStore
from opik_eval.storage.sql_tables import (
    DATASETS,
    EXPERIMENT_ITEMS,
    PROMPT_VERSIONS,
    PROMPTS,
    SPANS,
    TRACES,
    Table,
)

R = TypeVar("R", bound=Record)
_BY_ID: Mapping[type[Record], Table[Any]] = {
    table.kind: table for table in (DATASETS, EXPERIMENT_ITEMS, PROMPTS, PROMPT_VERSIONS)
}


class SqlPages(PageStore):
    """The ``PageStore`` part of a database."""

    _store: SqlStore

    @override
    def page_traces(
        self,
        *,
        project_name: str | None = None,
        where: Filter | None = None,
        before_id: str | None = None,
        skip: int = 0,
        limit: int,
    ) -> Iterator[Trace]:
        compiled = narrowed(
            self._store, "trace", where, project_name=project_name, before_id=before_id
        )
        return self._store.select_where(TRACES, compiled, newest_first=True, limit=limit, skip=skip)

    @override
    def count_traces(self, *, project_name: str | None = None, where: Filter | None = None) -> int:
        compiled = narrowed(self._store, "trace", where, project_name=project_name)
        return self._store.count_where(TRACES, compiled)

    @override
    def page_spans(
        self,
        *,
        project_name: str | None = None,
        trace_ids: Sequence[str] | None = None,
        where: Filter | None = None,
        before_id: str | None = None,
        skip: int = 0,
        limit: int,
    ) -> Iterator[Span]:
        compiled = narrowed(
            self._store,
            "span",
            where,
            project_name=project_name,
            trace_ids=trace_ids,
            before_id=before_id,
        )
        return self._store.select_where(SPANS, compiled, newest_first=True, limit=limit, skip=skip)

    @override
    def count_spans(
        self,
        *,
        project_name: str | None = None,
        trace_ids: Sequence[str] | None = None,
        where: Filter | None = None,
    ) -> int:
        compiled = narrowed(
            self._store, "span", where, project_name=project_name, trace_ids=trace_ids
        )
        return self._store.count_where(SPANS, compiled)

    @override
    def thread_keys(self) -> Iterator[tuple[str, str]]:
        text = self._store.dialect.text
        return self._store.database.stream(
            "SELECT DISTINCT project_key, thread_id FROM traces "
            "WHERE thread_id IS NOT NULL AND thread_id <> ''",
            (),
            lambda rows: [(str(text(key)), str(text(thread))) for key, thread in rows],
        )

    @override
    def find_by_id(self, kind: type[R], identifier: str) -> R | None:
        table = cast("Table[R]", _BY_ID[kind])
        return self._store.find(table, "id = ?", identifier)

    @override
    def datasets_of_items(self, item_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        dialect = self._store.dialect
        found: dict[str, list[str]] = {}
        for dataset_id, item_id in self._store.database.rows(
            "SELECT i.dataset_id, i.id FROM datasets d JOIN dataset_items i "
            f"ON i.dataset_id = d.id WHERE i.end_version IS NULL AND {dialect.within('i.id')} "
            "ORDER BY i.dataset_id, i.position",
            [dialect.array(item_ids)],
        ):
            found.setdefault(dataset_id, []).append(item_id)
        return found


def narrowed(
    store: SqlStore,
    entity: TracedEntity,
    where: Filter | None,
    *,
    project_name: str | None = None,
    trace_ids: Sequence[str] | None = None,
    before_id: str | None = None,
) -> CompiledFilter:
    """Return a filter that also holds only for what is given: a project, traces, smaller ids."""
    dialect = store.dialect
    compiled = compile_filter(where, entity, dialect, store.database.are_rare)
    conditions, parameters = list[str](), list[object]()
    if trace_ids is not None:
        conditions.append(dialect.within("trace_id"))
        parameters.append(dialect.array(trace_ids))
    if project_name is not None:
        conditions.append("project_key = ?")
        parameters.append(project_key(project_name))
    if before_id is not None:
        conditions.append("id < ?")
        parameters.append(before_id)
    return replace(
        compiled,
        sql=" AND ".join([*conditions, compiled.sql]),
        parameters=[*parameters, *compiled.parameters],
    )
