"""Projects, traces, spans, threads and scores in a database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from typing_extensions import override

from opik_eval.records import FeedbackScore, Project, ScoredEntity, Span, Thread, Trace
from opik_eval.storage.base import TraceStore
from opik_eval.storage.merge import project_key
from opik_eval.storage.query import Filter, check_filter, fields_of, matches
from opik_eval.storage.sql_attachments import SqlAttachments
from opik_eval.storage.sql_deleting import delete_traces
from opik_eval.storage.sql_dialect import Transaction
from opik_eval.storage.sql_pages import narrowed
from opik_eval.storage.sql_store import SqlStore
from opik_eval.storage.sql_tables import FEEDBACK_SCORES, PROJECTS, SPANS, TRACES
from opik_eval.storage.sql_totals import totals_kept
from opik_eval.storage.threads import derive_threads

_ScoresByName = dict[str, list[float]]

_PROJECT_OF_ENTITY = """CASE entity_type
    WHEN 'trace' THEN (SELECT t.project_key FROM traces t WHERE t.id = entity_id)
    WHEN 'span' THEN (SELECT s.project_key FROM spans s WHERE s.id = entity_id)
END"""


class SqlTraces(SqlAttachments, TraceStore):
    """The ``TraceStore`` part of a database."""

    _store: SqlStore

    @override
    def find_project(self, name: str) -> Project | None:
        return self._store.find(PROJECTS, "project_key = ?", project_key(name))

    @override
    def list_projects(self) -> Iterator[Project]:
        return self._store.select(PROJECTS)

    @override
    def find_trace(self, trace_id: str) -> Trace | None:
        return self._store.find(TRACES, "id = ?", trace_id)

    @override
    def find_span(self, span_id: str) -> Span | None:
        return self._store.find(SPANS, "id = ?", span_id)

    @override
    def list_traces(
        self,
        *,
        project_name: str | None = None,
        where: Filter | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[Trace]:
        return self._store.select_where(
            TRACES,
            narrowed(self._store, "trace", where, project_name=project_name),
            newest_first=newest_first,
            limit=limit,
        )

    @override
    def list_spans(
        self,
        *,
        project_name: str | None = None,
        trace_ids: Sequence[str] | None = None,
        where: Filter | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[Span]:
        return self._store.select_where(
            SPANS,
            narrowed(self._store, "span", where, project_name=project_name, trace_ids=trace_ids),
            newest_first=newest_first,
            limit=limit,
        )

    @override
    def list_threads(
        self, *, project_name: str | None = None, where: Filter | None = None
    ) -> Iterator[Thread]:
        check_filter(where, "thread")
        condition, parameters = "thread_id IS NOT NULL", []
        if project_name is not None:
            condition, parameters = f"project_key = ? AND {condition}", [project_key(project_name)]
        scores = self._thread_scores() if "feedback_scores" in fields_of(where) else {}
        traces = self._store.select(
            TRACES, condition, parameters, order="project_key, thread_id, id"
        )
        return (
            thread
            for (project, thread_id), group in groupby(traces, key=_thread_of)
            for thread in derive_threads(group)
            if matches(where, thread, {"feedback_scores": scores.get((project, thread_id), {})})
        )

    @override
    def list_feedback_scores(
        self,
        entity_type: ScoredEntity,
        entity_ids: Sequence[str] | None = None,
        *,
        project_name: str | None = None,
    ) -> Iterator[FeedbackScore]:
        dialect, codec = self._store.dialect, self._store.codec(FEEDBACK_SCORES)
        condition = "entity_type = ?"
        parameters: list[object] = [entity_type]
        if entity_ids is not None:
            condition += f" AND {dialect.within('entity_id')}"
            parameters.append(dialect.array(entity_ids))
        project = "NULL" if project_name is None else _PROJECT_OF_ENTITY
        found = self._store.database.stream(
            f"SELECT {codec.selection}, {project} FROM feedback_scores WHERE {condition} "
            "ORDER BY entity_id, name, author_key, project_key",
            parameters,
            lambda rows: zip(codec.decode_many(rows), [row[-1] for row in rows], strict=True),
        )
        return (
            score
            for score, entity_project in found
            if project_name is None or _is_in(project_name, score, dialect.text(entity_project))
        )

    @override
    def delete_feedback_scores(
        self,
        entity_type: ScoredEntity,
        entity_id: str,
        names: Sequence[str],
        *,
        project_name: str | None = None,
    ) -> None:
        dialect = self._store.dialect
        condition = f"entity_type = ? AND entity_id = ? AND {dialect.within('name')}"
        parameters = [entity_type, entity_id, dialect.array(names)]
        if entity_type == "thread" and project_name is not None:
            condition, parameters = (
                f"{condition} AND project_key = ?",
                [*parameters, project_key(project_name)],
            )
        trace_ids = [entity_id] if entity_type == "trace" else []

        def delete(transaction: Transaction) -> None:
            with totals_kept(transaction, dialect, trace_ids=trace_ids):
                transaction.run(f"DELETE FROM feedback_scores WHERE {condition}", parameters)

        self._store.database.transact(delete)

    @override
    def delete_traces(self, trace_ids: Sequence[str]) -> None:
        delete_traces(self._store, trace_ids)

    def _thread_scores(self) -> dict[tuple[str, str], _ScoresByName]:
        """Return all scores of threads, by project and thread id."""
        found: dict[tuple[str, str], _ScoresByName] = {}
        for score in self.list_feedback_scores("thread"):
            key = (project_key(score.project_name), score.entity_id)
            found.setdefault(key, {}).setdefault(score.name, []).append(score.value)
        return found


def _is_in(project_name: str, score: FeedbackScore, entity_project: object) -> bool:
    """Return whether a score belongs to a project: that which it names, or its entity's."""
    if score.project_name is not None or score.entity_type == "thread":
        own: object = project_key(score.project_name)
    else:
        own = project_key(None) if entity_project is None else entity_project
    return own == project_key(project_name)


def _thread_of(trace: Trace) -> tuple[str, str]:
    return project_key(trace.project_name), trace.thread_id or ""
