"""Projects, traces, spans, threads and scores in a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from typing_extensions import override

from opik_eval.records import FeedbackScore, Project, ScoredEntity, Span, Thread, Trace
from opik_eval.storage.base import TraceStore
from opik_eval.storage.file_attachments import FileAttachments
from opik_eval.storage.file_store import FileStore
from opik_eval.storage.file_tables import FEEDBACK_SCORES, PROJECTS, SPANS, TRACES, json_array
from opik_eval.storage.merge import project_key
from opik_eval.storage.query import Filter, check_filter, fields_of, matches
from opik_eval.storage.sql_filter import compile_filter
from opik_eval.storage.threads import derive_threads

_ScoresByName = dict[str, list[float]]

_PROJECT_OF_SCORE = """CASE
    WHEN project_name IS NOT NULL OR entity_type = 'thread' THEN project_key(project_name)
    WHEN entity_type = 'trace' THEN (SELECT t.project_key FROM traces t WHERE t.id = entity_id)
    ELSE (SELECT s.project_key FROM spans s WHERE s.id = entity_id)
END"""

_DELETE_TRACES = (
    """DELETE FROM feedback_scores WHERE entity_type = 'span' AND entity_id IN (
        SELECT id FROM spans WHERE trace_id IN (SELECT value FROM json_each(:ids)))""",
    """DELETE FROM attachments WHERE entity_type = 'span' AND entity_id IN (
        SELECT id FROM spans WHERE trace_id IN (SELECT value FROM json_each(:ids)))""",
    """DELETE FROM feedback_scores WHERE entity_type = 'trace'
        AND entity_id IN (SELECT value FROM json_each(:ids))""",
    """DELETE FROM attachments WHERE entity_type = 'trace'
        AND entity_id IN (SELECT value FROM json_each(:ids))""",
    "DELETE FROM spans WHERE trace_id IN (SELECT value FROM json_each(:ids))",
    "DELETE FROM traces WHERE id IN (SELECT value FROM json_each(:ids))",
)


class FileTraces(FileAttachments, TraceStore):
    """The ``TraceStore`` part of the file backend."""

    _store: FileStore

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
        condition, parameters = compile_filter(where, "trace")
        if project_name is not None:
            condition, parameters = (
                f"project_key = ? AND {condition}",
                [
                    project_key(project_name),
                    *parameters,
                ],
            )
        return self._store.select(
            TRACES, condition, parameters, order=_order(newest_first=newest_first), limit=limit
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
        condition, parameters = compile_filter(where, "span")
        if project_name is not None:
            condition = f"project_key = ? AND {condition}"
            parameters = [project_key(project_name), *parameters]
        if trace_ids is not None:
            condition = f"trace_id IN (SELECT value FROM json_each(?)) AND {condition}"
            parameters = [json_array(trace_ids), *parameters]
        return self._store.select(
            SPANS, condition, parameters, order=_order(newest_first=newest_first), limit=limit
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
        condition = "entity_type = ?"
        parameters: list[object] = [entity_type]
        if entity_ids is not None:
            condition += " AND entity_id IN (SELECT value FROM json_each(?))"
            parameters.append(json_array(entity_ids))
        if project_name is not None:
            condition += f" AND ifnull({_PROJECT_OF_SCORE}, project_key(NULL)) = ?"
            parameters.append(project_key(project_name))
        return self._store.select(
            FEEDBACK_SCORES,
            condition,
            parameters,
            order="entity_id, name, author_key, project_key",
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
        sql = """DELETE FROM feedback_scores WHERE entity_type = ? AND entity_id = ?
            AND name IN (SELECT value FROM json_each(?))"""
        parameters = [entity_type, entity_id, json_array(names)]
        if entity_type == "thread" and project_name is not None:
            sql, parameters = f"{sql} AND project_key = ?", [*parameters, project_key(project_name)]
        with self._store.database.transaction() as connection:
            connection.execute(sql, parameters)

    @override
    def delete_traces(self, trace_ids: Sequence[str]) -> None:
        self._store.delete(*_DELETE_TRACES, ids=trace_ids)

    def _thread_scores(self) -> dict[tuple[str, str], _ScoresByName]:
        """Return all scores of threads, by project and thread id."""
        found: dict[tuple[str, str], _ScoresByName] = {}
        for score in self.list_feedback_scores("thread"):
            key = (project_key(score.project_name), score.entity_id)
            found.setdefault(key, {}).setdefault(score.name, []).append(score.value)
        return found


def _order(*, newest_first: bool) -> str:
    return "id DESC" if newest_first else "id"


def _thread_of(trace: Trace) -> tuple[str, str]:
    return project_key(trace.project_name), trace.thread_id or ""
