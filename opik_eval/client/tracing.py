"""Traces, spans, threads and feedback scores of the client."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import TypedDict, Unpack, cast

from opik_eval.client.connection import Connection, id_list
from opik_eval.client.found import FoundSpan, FoundThread, FoundTrace, with_scores
from opik_eval.client.handles import HandleFields, SpanHandle, TraceHandle
from opik_eval.errors import ConfigError, NotFoundError
from opik_eval.records import FeedbackScore, ScoredEntity, utc_now
from opik_eval.storage.base import Storage
from opik_eval.storage.query import Entity, Filter, parse_filter
from opik_eval.tracing.state import TraceFields, TraceState

_REQUIRED = frozenset({"id", "name", "value"})


class FeedbackScoreDict(TypedDict, total=False):
    """A score to log: ``id``, ``name`` and ``value`` are required."""

    id: str
    name: str
    value: float
    reason: str | None
    category_name: str | None
    project_name: str | None


class Traces(Connection):
    """Write and find traces, spans and threads, and score them.

    Reading waits until what this client has traced is stored, so it finds that too.
    """

    def trace(
        self,
        name: str | None = None,
        *,
        id: str | None = None,
        start_time: datetime | None = None,
        **fields: Unpack[TraceFields],
    ) -> TraceHandle:
        """Start a trace.

        Args:
            name: What is traced.
            id: UUIDv7; a fresh one if absent.
            start_time: Now if absent.
            **fields: See ``TraceFields``.

        Example:
            >>> from opik_eval import Opik
            >>> client = Opik(storage="memory:")
            >>> trace = client.trace("ask", input={"question": "2+2"})
            >>> trace.span("think", type="llm", output={"answer": 4}).end()
            >>> trace.end(output={"answer": 4})
            >>> [found.name for found in client.search_traces()]
            ['ask']
        """
        fields["project_name"] = fields.get("project_name") or self.project_name
        return TraceHandle(TraceState(self._tracer, name, id=id, start_time=start_time, **fields))

    def span(
        self,
        trace_id: str | None = None,
        name: str | None = None,
        *,
        parent_span_id: str | None = None,
        project_name: str | None = None,
        **fields: Unpack[HandleFields],
    ) -> SpanHandle:
        """Start a span of a trace that was started elsewhere, or of a new trace.

        Args:
            trace_id: The trace; without it the span gets one of its own, which ends with it.
            name: What the span stands for.
            parent_span_id: The span it lies in; directly below the trace if absent.
            project_name: Project of the trace; the client's if absent.
            **fields: See ``HandleFields``.
        """
        trace = TraceState(
            self._tracer,
            name if trace_id is None else None,
            id=trace_id,
            remote=trace_id is not None,
            remote_parent_id=parent_span_id,
            project_name=project_name or self.project_name,
        )
        if trace_id is None:
            trace.store()
        return SpanHandle.start(trace, name, owns_trace=trace_id is None, fields=fields)

    def search_traces(
        self,
        project_name: str | None = None,
        filter_string: str | None = None,
        max_results: int | None = None,
    ) -> list[FoundTrace]:
        """Return traces with their feedback scores, newest first.

        Args:
            project_name: Project; the client's if absent.
            filter_string: Such as ``duration > 1000 and feedback_scores.accuracy < 0.5``.
            max_results: At most that many; all of them if absent.

        Raises:
            ConfigError: The filter cannot be read.
        """
        found = self._settled().list_traces(
            project_name=project_name or self.project_name,
            where=_filter(filter_string, "trace"),
            limit=max_results,
            newest_first=True,
        )
        return with_scores(self._storage, FoundTrace, "trace", found)

    def search_spans(
        self,
        project_name: str | None = None,
        trace_id: str | None = None,
        filter_string: str | None = None,
        max_results: int | None = None,
    ) -> list[FoundSpan]:
        """Return spans with their feedback scores, newest first.

        Args:
            project_name: Project; the client's if absent.
            trace_id: Only the spans of that trace.
            filter_string: Such as ``type = "llm" and usage.total_tokens > 1000``.
            max_results: At most that many; all of them if absent.

        Raises:
            ConfigError: The filter cannot be read.
        """
        found = self._settled().list_spans(
            project_name=project_name or self.project_name,
            trace_ids=None if trace_id is None else [trace_id],
            where=_filter(filter_string, "span"),
            limit=max_results,
            newest_first=True,
        )
        return with_scores(self._storage, FoundSpan, "span", found)

    def search_threads(
        self,
        project_name: str | None = None,
        filter_string: str | None = None,
        max_results: int | None = None,
    ) -> list[FoundThread]:
        """Return conversations with their feedback scores, by thread id.

        Args:
            project_name: Project; the client's if absent.
            filter_string: Such as ``number_of_messages > 4``.
            max_results: At most that many; all of them if absent.

        Raises:
            ConfigError: The filter cannot be read.
        """
        project = project_name or self.project_name
        found = self._settled().list_threads(
            project_name=project, where=_filter(filter_string, "thread")
        )
        chosen = islice(found, max_results)
        return with_scores(self._storage, FoundThread, "thread", chosen, project_name=project)

    def get_trace_content(self, id: str) -> FoundTrace:
        """Return a trace with its feedback scores.

        Raises:
            NotFoundError: There is none of that id.
        """
        found = self._settled().find_trace(id)
        if found is None:
            raise NotFoundError(f"there is no trace {id!r} in {self._storage.location}")
        return with_scores(self._storage, FoundTrace, "trace", [found])[0]

    def get_span_content(self, id: str) -> FoundSpan:
        """Return a span with its feedback scores.

        Raises:
            NotFoundError: There is none of that id.
        """
        found = self._settled().find_span(id)
        if found is None:
            raise NotFoundError(f"there is no span {id!r} in {self._storage.location}")
        return with_scores(self._storage, FoundSpan, "span", [found])[0]

    def get_feedback_scores(
        self,
        entity_id: str,
        entity_type: ScoredEntity = "trace",
        project_name: str | None = None,
    ) -> list[FeedbackScore]:
        """Return the scores of a trace, span or thread.

        Args:
            entity_id: Id of the trace, span or thread.
            entity_type: ``trace``, ``span`` or ``thread``.
            project_name: Project of the thread, as ids of threads are unique in a project only; the
                client's if absent.
        """
        project = (project_name or self.project_name) if entity_type == "thread" else None
        return list(
            self._settled().list_feedback_scores(entity_type, [entity_id], project_name=project)
        )

    def log_traces_feedback_scores(
        self, scores: Iterable[FeedbackScoreDict], project_name: str | None = None
    ) -> None:
        """Score traces; a score of the same name is replaced.

        Raises:
            ConfigError: A score is malformed; then none is stored.
        """
        self._storage.write([_score("trace", score, project_name) for score in scores])

    def log_spans_feedback_scores(
        self, scores: Iterable[FeedbackScoreDict], project_name: str | None = None
    ) -> None:
        """Score spans; a score of the same name is replaced.

        Raises:
            ConfigError: A score is malformed; then none is stored.
        """
        self._storage.write([_score("span", score, project_name) for score in scores])

    def log_threads_feedback_scores(
        self, scores: Iterable[FeedbackScoreDict], project_name: str | None = None
    ) -> None:
        """Score conversations of a project, the client's if absent; see ``log_traces_...``.

        Raises:
            ConfigError: A score is malformed; then none is stored.
        """
        project = project_name or self.project_name
        self._storage.write([_score("thread", score, project) for score in scores])

    def delete_traces(self, trace_ids: Sequence[str]) -> None:
        """Delete traces with their spans, scores and attachments. Unknown ids are no error."""
        self._settled().delete_traces(id_list(trace_ids))

    def _settled(self) -> Storage:
        """Return the storage, once what was traced so far is in it."""
        self._tracer.flush()
        return self._storage


def _filter(text: str | None, entity: Entity) -> Filter | None:
    return None if text is None else parse_filter(text, entity)


def _score(
    entity_type: ScoredEntity, score: FeedbackScoreDict, project_name: str | None
) -> FeedbackScore:
    given: Mapping[str, object] = {**score}
    missing, unknown = _REQUIRED - set(given), set(given) - set(FeedbackScoreDict.__annotations__)
    if missing or unknown:
        problem = f"lacks {sorted(missing)}" if missing else f"has unknown {sorted(unknown)}"
        raise ConfigError(
            f"feedback score {given!r} {problem}",
            remedy="give every score id, name and value, and optionally reason and category_name",
        )
    return FeedbackScore(
        entity_type=entity_type,
        entity_id=score["id"],
        name=score["name"],
        value=_finite(given),
        reason=score.get("reason"),
        category_name=score.get("category_name"),
        project_name=score.get("project_name") or project_name,
        last_updated_at=utc_now(),
    )


def _finite(score: Mapping[str, object]) -> float:
    given = score["value"]
    try:
        value = math.nan if isinstance(given, str) else float(cast("float", given))
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(
            f"feedback score {score['name']!r} of {score['id']} has the value {given!r}",
            remedy="give it a finite number; leave out scores that could not be computed",
        )
    return value
