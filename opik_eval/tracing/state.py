"""Traces and spans while they run: mutable until they end, then emitted as records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TypedDict, Unpack

from opik_eval.records import ErrorInfo, Span, SpanType, Trace, utc_now
from opik_eval.tracing.attachments import Attachment
from opik_eval.tracing.running import RunningState
from opik_eval.tracing.sink import NullSink, Sink


class StateFields(TypedDict, total=False):
    """What may be said of a trace or span; ``None`` says nothing.

    Attributes:
        feedback_scores: Mappings with ``name``, ``value`` and optionally ``reason``,
            ``category_name``.
    """

    input: object
    output: object
    metadata: Mapping[str, object] | None
    tags: Iterable[str] | None
    error_info: ErrorInfo | Mapping[str, str] | None
    ttft_seconds: float | None
    feedback_scores: Iterable[Mapping[str, object]] | None
    attachments: Iterable[Attachment] | None


class TraceFields(StateFields, total=False):
    """What may be said of a trace."""

    project_name: str | None
    thread_id: str | None
    source: str | None
    environment: str | None


class SpanFields(StateFields, total=False):
    """What may be said of a span."""

    type: SpanType | str | None
    model: str | None
    provider: str | None
    usage: Mapping[str, object] | None
    cost_usd: float | None


class TraceState(RunningState):
    """A trace that runs.

    Args:
        sink: Takes the trace, its spans and their scores.
        name: What is traced.
        id: UUIDv7; a fresh one if absent.
        start_time: Now if absent.
        remote: The trace was started by another process, which also ends it: here only what
            ``update`` is told is emitted, at once.
        remote_parent_id: Span of that process under which spans of this one belong.
        **fields: See ``TraceFields``.
    """

    __slots__ = (
        "environment",
        "project_name",
        "remote",
        "remote_parent_id",
        "sink",
        "source",
        "thread_id",
    )
    kind = "trace"
    texts = frozenset({"name", "project_name", "thread_id", "source", "environment"})

    def __init__(
        self,
        sink: Sink,
        name: str | None = None,
        *,
        id: str | None = None,
        start_time: datetime | None = None,
        remote: bool = False,
        remote_parent_id: str | None = None,
        **fields: Unpack[TraceFields],
    ) -> None:
        super().__init__(name, id, start_time, starts_now=not remote)
        self.sink = sink
        self.remote = remote
        self.remote_parent_id = remote_parent_id
        self.project_name: str | None = None
        self.thread_id: str | None = None
        self.source: str | None = None if remote else "sdk"
        self.environment: str | None = None
        if fields:
            self._change(fields)

    def update(self, *, name: str | None = None, **fields: Unpack[TraceFields]) -> None:
        """Add what is given: mappings and tags merge, all else replaces; ``None`` says nothing."""
        self._say({"name": name, **fields})

    def record(self) -> Trace:
        """Return the trace as it stands."""
        make = Trace.unchecked if self.is_plain else Trace
        return make(
            id=self.id,
            project_name=self.project_name,
            name=self.name,
            start_time=self.start_time,
            end_time=self.end_time,
            input=self.input,
            output=self.output,
            metadata=self.metadata,
            tags=self.tags,
            error_info=self.error_info,
            thread_id=self.thread_id,
            ttft_seconds=self.ttft_seconds,
            source=self.source,
            environment=self.environment,
            last_updated_at=utc_now(),
        )

    def end(self, at: datetime | None = None) -> None:
        """Emit the finished trace with its scores and files; a second call does nothing."""
        if self.end_time is None and not self.remote:
            self._finish(at)
            self._emit()

    def _is_over(self) -> bool:
        return self.remote or super()._is_over()

    def _emit(self) -> None:
        self._extract_payloads()
        self._emit_to(self.sink, self.record(), self.project_name)


class SpanState(RunningState):
    """A span that runs.

    Args:
        trace: The trace it belongs to.
        name: What the span stands for.
        parent: The span it lies in; ``None`` for one directly below the trace.
        id: UUIDv7; a fresh one if absent.
        start_time: Now if absent.
        owns_trace: The trace was started for this span and ends with it.
        **fields: See ``SpanFields``.
    """

    __slots__ = ("cost_usd", "model", "owns_trace", "parent", "provider", "trace", "type", "usage")
    kind = "span"
    texts = frozenset({"name", "model", "provider"})

    def __init__(
        self,
        trace: TraceState,
        name: str | None = None,
        *,
        parent: SpanState | None = None,
        id: str | None = None,
        start_time: datetime | None = None,
        owns_trace: bool = False,
        **fields: Unpack[SpanFields],
    ) -> None:
        super().__init__(name, id, start_time)
        self.trace = trace
        self.parent = parent
        self.owns_trace = owns_trace
        self.type = SpanType.GENERAL
        self.model: str | None = None
        self.provider: str | None = None
        self.usage: dict[str, int] | None = None
        self.cost_usd: float | None = None
        if fields:
            self._change(fields)

    @property
    def parent_span_id(self) -> str | None:
        """Id of the span it lies in, here or in the process that started the trace."""
        return self.trace.remote_parent_id if self.parent is None else self.parent.id

    def update(self, *, name: str | None = None, **fields: Unpack[SpanFields]) -> None:
        """Add what is given: mappings and tags merge, all else replaces; ``None`` says nothing."""
        self._say({"name": name, **fields})

    def record(self) -> Span:
        """Return the span as it stands."""
        trace = self.trace
        make = Span.unchecked if self.is_plain and trace.is_plain else Span
        return make(
            id=self.id,
            trace_id=trace.id,
            parent_span_id=self.parent_span_id,
            project_name=trace.project_name,
            name=self.name,
            type=self.type,
            start_time=self.start_time,
            end_time=self.end_time,
            input=self.input,
            output=self.output,
            metadata=self.metadata,
            tags=self.tags,
            model=self.model,
            provider=self.provider,
            usage=self.usage,
            cost_usd=self.cost_usd,
            error_info=self.error_info,
            ttft_seconds=self.ttft_seconds,
            source=trace.source,
            environment=trace.environment,
            last_updated_at=utc_now(),
        )

    def end(self, at: datetime | None = None) -> None:
        """Emit the finished span, and the trace if it belongs to the span; once."""
        if self.end_time is not None:
            return
        self._finish(at)
        self._emit()
        if self.owns_trace:
            self._end_trace()

    def _emit(self) -> None:
        self._extract_payloads()
        self._emit_to(self.trace.sink, self.record(), self.trace.project_name)

    def _end_trace(self) -> None:
        """End the trace with the span's input, output and error where it has none of its own."""
        trace = self.trace
        trace.input = self.input if trace.input is None else trace.input
        trace.output = self.output if trace.output is None else trace.output
        trace.error_info = trace.error_info or self.error_info
        trace.ttft_seconds = trace.ttft_seconds or self.ttft_seconds
        trace.end(self.end_time)


def idle_span(name: str | None = None) -> SpanState:
    """Return a span that nothing records, for code that runs while tracing is off."""
    return SpanState(TraceState(NullSink()), name)
