"""Traces, spans, scores and attachments of the client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TypedDict, Unpack, cast

from opik_eval.client.connection import Connection
from opik_eval.errors import ConfigError, NotFoundError
from opik_eval.records import FeedbackScore, ScoredEntity, Span, Thread, Trace, utc_now
from opik_eval.storage.query import parse_filter
from opik_eval.tracing.state import SpanFields, SpanState, TraceFields, TraceState


class FeedbackScoreDict(TypedDict, total=False):
    """A score to log: ``id``, ``name`` and ``value`` are required."""

    id: str
    name: str
    value: float
    reason: str | None
    category_name: str | None
    project_name: str | None


class SpanHandle:
    """A span that the program ends itself."""

    def __init__(self, state: SpanState) -> None:
        self._state = state

    @property
    def id(self) -> str:
        """Id of the span."""
        return self._state.id

    @property
    def trace_id(self) -> str:
        """Id of its trace."""
        return self._state.trace.id

    def span(self, name: str | None = None, **fields: Unpack[SpanFields]) -> SpanHandle:
        """Start a span inside this one."""
        return SpanHandle(SpanState(self._state.trace, name, parent=self._state, **fields))

    def update(self, **fields: Unpack[SpanFields]) -> None:
        """Add to what is known of the span."""
        self._state.update(**fields)

    def end(self, **fields: Unpack[SpanFields]) -> None:
        """End the span; from now on it is in the store."""
        self._state.update(**fields)
        self._state.end()

    def log_feedback_score(
        self, name: str, value: float, reason: str | None = None, category_name: str | None = None
    ) -> None:
        """Score the span."""
        self._state.score(name, value, reason=reason, category_name=category_name)


class TraceHandle:
    """A trace that the program ends itself."""

    def __init__(self, state: TraceState) -> None:
        self._state = state

    @property
    def id(self) -> str:
        """Id of the trace."""
        return self._state.id

    def span(self, name: str | None = None, **fields: Unpack[SpanFields]) -> SpanHandle:
        """Start a span directly below the trace."""
        return SpanHandle(SpanState(self._state, name, **fields))

    def update(self, **fields: Unpack[TraceFields]) -> None:
        """Add to what is known of the trace."""
        self._state.update(**fields)

    def end(self, **fields: Unpack[TraceFields]) -> None:
        """End the trace; from now on it is in the store."""
        self._state.update(**fields)
        self._state.end()

    def log_feedback_score(
        self, name: str, value: float, reason: str | None = None, category_name: str | None = None
    ) -> None:
        """Score the trace."""
        self._state.score(name, value, reason=reason, category_name=category_name)


class Traces(Connection):
    """Write and find traces, spans and threads, and score them."""

    def trace(
        self, name: str | None = None, *, id: str | None = None, **fields: Unpack[TraceFields]
    ) -> TraceHandle:
        """Start a trace."""
        fields["project_name"] = fields.get("project_name") or self.project_name
        return TraceHandle(TraceState(self._tracer, name, id=id, **fields))

    def span(
        self, trace_id: str | None = None, name: str | None = None, **fields: Unpack[SpanFields]
    ) -> SpanHandle:
        """Start a span of a trace that was started elsewhere, or of a new trace."""
        if trace_id is None:
            return self.trace(name).span(name, **fields)
        trace = TraceState(self._tracer, id=trace_id, remote=True, project_name=self.project_name)
        return SpanHandle(SpanState(trace, name, **fields))

    def search_traces(
        self,
        project_name: str | None = None,
        filter_string: str | None = None,
        max_results: int | None = 1000,
    ) -> list[Trace]:
        """Return traces, newest first.

        Args:
            project_name: Project; the client's if absent.
            filter_string: Such as ``duration > 1000 and feedback_scores.accuracy < 0.5``.
            max_results: At most that many; ``None`` = all.
        """
        self._storage.flush()
        return list(
            self._storage.list_traces(
                project_name=project_name or self.project_name,
                where=parse_filter(filter_string, "trace") if filter_string else None,
                limit=max_results,
                newest_first=True,
            )
        )

    def search_spans(
        self,
        project_name: str | None = None,
        trace_id: str | None = None,
        filter_string: str | None = None,
        max_results: int | None = 1000,
    ) -> list[Span]:
        """Return spans, newest first; of one trace if ``trace_id`` is given."""
        return list(
            self._storage.list_spans(
                project_name=project_name or self.project_name,
                trace_ids=None if trace_id is None else [trace_id],
                where=parse_filter(filter_string, "span") if filter_string else None,
                limit=max_results,
                newest_first=True,
            )
        )

    def search_threads(
        self,
        project_name: str | None = None,
        filter_string: str | None = None,
        max_results: int | None = 1000,
    ) -> list[Thread]:
        """Return conversations."""
        found = self._storage.list_threads(
            project_name=project_name or self.project_name,
            where=parse_filter(filter_string, "thread") if filter_string else None,
        )
        return list(islice(found, max_results))

    def get_trace_content(self, id: str) -> Trace:
        """Return a trace.

        Raises:
            NotFoundError: There is none of that id.
        """
        found = self._storage.find_trace(id)
        if found is None:
            raise NotFoundError(f"there is no trace {id!r} in {self._storage.location}")
        return found

    def get_span_content(self, id: str) -> Span:
        """Return a span.

        Raises:
            NotFoundError: There is none of that id.
        """
        found = self._storage.find_span(id)
        if found is None:
            raise NotFoundError(f"there is no span {id!r} in {self._storage.location}")
        return found

    def get_feedback_scores(
        self, entity_id: str, entity_type: ScoredEntity = "trace"
    ) -> list[FeedbackScore]:
        """Return the scores of a trace, span or thread."""
        return list(self._storage.list_feedback_scores(entity_type, [entity_id]))

    def log_traces_feedback_scores(
        self, scores: Iterable[FeedbackScoreDict], project_name: str | None = None
    ) -> None:
        """Score traces; a score of the same name is replaced."""
        self._log("trace", scores, project_name)

    def log_spans_feedback_scores(
        self, scores: Iterable[FeedbackScoreDict], project_name: str | None = None
    ) -> None:
        """Score spans; a score of the same name is replaced."""
        self._log("span", scores, project_name)

    def log_threads_feedback_scores(
        self, scores: Iterable[FeedbackScoreDict], project_name: str | None = None
    ) -> None:
        """Score conversations; a score of the same name is replaced."""
        self._log("thread", scores, project_name)

    def delete_traces(self, trace_ids: Sequence[str]) -> None:
        """Delete traces with their spans, scores and attachments."""
        self._storage.delete_traces(trace_ids)

    def _log(
        self,
        entity_type: ScoredEntity,
        scores: Iterable[FeedbackScoreDict],
        project_name: str | None,
    ) -> None:
        rows = [self._score(entity_type, score, project_name) for score in scores]
        self._storage.write(rows)

    def _score(
        self, entity_type: ScoredEntity, score: FeedbackScoreDict, project_name: str | None
    ) -> FeedbackScore:
        given = cast("Mapping[str, object]", score)
        if missing := {"id", "name", "value"} - set(given):
            raise ConfigError(
                f"feedback score {dict(given)!r} lacks {sorted(missing)}",
                remedy="give every score id, name and value",
            )
        return FeedbackScore(
            entity_type=entity_type,
            entity_id=score["id"],
            name=score["name"],
            value=float(score["value"]),
            reason=score.get("reason"),
            category_name=score.get("category_name"),
            project_name=score.get("project_name") or project_name or self.project_name,
            last_updated_at=utc_now(),
        )
