"""Projects, traces, spans, threads and scores in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from typing_extensions import override

from opik_eval.records import FeedbackScore, Project, ScoredEntity, Span, Thread, Trace
from opik_eval.storage.base import TraceStore
from opik_eval.storage.memory_attachments import MemoryAttachments
from opik_eval.storage.memory_filters import FilterValues, is_in
from opik_eval.storage.memory_state import MemoryState, score_group
from opik_eval.storage.merge import project_key
from opik_eval.storage.query import Filter, check_filter, matches
from opik_eval.storage.threads import derive_threads


class MemoryTraces(MemoryAttachments, TraceStore):
    """The ``TraceStore`` part of the memory backend."""

    _state: MemoryState

    @override
    def find_project(self, name: str) -> Project | None:
        with self._state.locked():
            return self._state.projects.find((project_key(name),))

    @override
    def list_projects(self) -> Iterator[Project]:
        with self._state.locked():
            return iter(sorted(self._state.projects.records(), key=lambda project: project.id))

    @override
    def find_trace(self, trace_id: str) -> Trace | None:
        with self._state.locked():
            return self._state.traces.find((trace_id,))

    @override
    def find_span(self, span_id: str) -> Span | None:
        with self._state.locked():
            return self._state.spans.find((span_id,))

    @override
    def list_traces(
        self,
        *,
        project_name: str | None = None,
        where: Filter | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[Trace]:
        check_filter(where, "trace")
        traces = self._state.traces
        with self._state.locked():
            rows = traces.snapshot(_project_groups(project_name))
            extras = FilterValues(self._state, where).of_traces(traces.decode(rows))
        found = traces.decode(reversed(rows) if newest_first else rows)
        return islice((t for t in found if matches(where, t, extras.get(t.id, {}))), limit)

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
        check_filter(where, "span")
        spans = self._state.spans
        with self._state.locked():
            rows = spans.snapshot(trace_ids)
            extras = FilterValues(self._state, where).of_spans(spans.decode(rows))
        found = spans.decode(reversed(rows) if newest_first else rows)
        return islice(
            (
                span
                for span in found
                if is_in(project_name, span.project_name)
                and matches(where, span, extras.get(span.id, {}))
            ),
            limit,
        )

    @override
    def list_threads(
        self, *, project_name: str | None = None, where: Filter | None = None
    ) -> Iterator[Thread]:
        check_filter(where, "thread")
        with self._state.locked():
            traces = self._state.traces.records(_project_groups(project_name))
            values = FilterValues(self._state, where)
            kept = [t for t in derive_threads(traces) if matches(where, t, values.of_thread(t))]
        return iter(kept)

    @override
    def list_feedback_scores(
        self,
        entity_type: ScoredEntity,
        entity_ids: Sequence[str] | None = None,
        *,
        project_name: str | None = None,
    ) -> Iterator[FeedbackScore]:
        scores = self._state.scores
        with self._state.locked():
            if entity_ids is None:
                found = [s for s in scores.records() if s.entity_type == entity_type]
            else:
                found = list(scores.records(score_group(entity_type, i) for i in entity_ids))
            if project_name is not None:
                found = [s for s in found if is_in(project_name, self._project_of(s))]
        return iter(found)

    @override
    def delete_feedback_scores(
        self,
        entity_type: ScoredEntity,
        entity_id: str,
        names: Sequence[str],
        *,
        project_name: str | None = None,
    ) -> None:
        with self._state.locked():
            for key in self._state.scores.keys(score_group(entity_type, entity_id)):
                _, _, name, _, project = key
                elsewhere = entity_type == "thread" and not is_in(project_name, project)
                if name in names and not elsewhere:
                    self._state.scores.drop(key)

    @override
    def delete_traces(self, trace_ids: Sequence[str]) -> None:
        state = self._state
        with state.locked():
            spans = [key for trace_id in trace_ids for key in state.spans.keys(trace_id)]
            gone = {("trace", i) for i in trace_ids} | {("span", i) for (i,) in spans}
            for entity_type, entity_id in gone:
                state.scores.drop_group(score_group(entity_type, entity_id))
            for attachment_id, (attachment, _) in list(state.attachments.items()):
                if (attachment.entity_type, attachment.entity_id) in gone:
                    del state.attachments[attachment_id]
            for trace_id in trace_ids:
                state.spans.drop_group(trace_id)
                state.traces.drop((trace_id,))

    def _project_of(self, score: FeedbackScore) -> str | None:
        if score.project_name is not None or score.entity_type == "thread":
            return score.project_name
        table = self._state.traces if score.entity_type == "trace" else self._state.spans
        entity = table.find((score.entity_id,))
        return None if entity is None else entity.project_name


def _project_groups(project_name: str | None) -> list[str] | None:
    return None if project_name is None else [project_key(project_name)]
