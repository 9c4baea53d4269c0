"""Exported spans, turned into records: a span each, and a trace for each one without a parent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtelSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from opik_eval.records import ErrorInfo, Span, Trace
from opik_eval.server.otlp.ids import uuid7
from opik_eval.server.otlp.mapping import Mapped, mapped
from opik_eval.server.otlp.values import attributes_of
from opik_eval.server.payloads import is_identifier

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TRACE_ID_BYTES, _SPAN_ID_BYTES = 16, 8
_EXCEPTION = "exception"
_SOURCE = "sdk"


@dataclass(frozen=True)
class Exported:
    """One exported span.

    Attributes:
        span: As it came.
        parts: What its attributes say.
        scope: Name of the instrumentation that made it.
    """

    span: OtelSpan
    parts: Mapped
    scope: str

    @property
    def trace(self) -> str:
        """OpenTelemetry's id of the trace, in hexadecimals."""
        return self.span.trace_id.hex()

    @property
    def begin(self) -> datetime | None:
        """When it began."""
        return _moment(self.span.start_time_unix_nano)

    @property
    def end(self) -> datetime | None:
        """When it ended."""
        return _moment(self.span.end_time_unix_nano)


def exported_spans(request: ExportTraceServiceRequest) -> tuple[list[Exported], list[str]]:
    """Return the spans of a request, and what is wrong with those that are none."""
    found: list[Exported] = []
    problems: list[str] = []
    groups = [group for resource in request.resource_spans for group in resource.scope_spans]
    for scope, span in [(group.scope.name, span) for group in groups for span in group.spans]:
        if problem := _problem(span):
            problems.append(f"span {span.name[:80]!r}: {problem}")
        else:
            parts = mapped(attributes_of(span.attributes))
            found.append(Exported(span, parts, scope))
    return found, problems


def begins_of(spans: Iterable[Exported], now: datetime) -> dict[str, datetime]:
    """Return the earliest start among the spans of each trace that has no id of ours yet."""
    begins: dict[str, datetime] = {}
    for exported in spans:
        if "opik.trace_id" not in exported.parts.ids:
            begin = exported.begin or now
            begins[exported.trace] = min(begin, begins.get(exported.trace, begin))
    return begins


def records_of(
    spans: Sequence[Exported], trace_ids: Mapping[str, str], project: str
) -> list[Trace | Span]:
    """Return the records of spans.

    Args:
        spans: Spans of any traces.
        trace_ids: Our ids of those traces that do not say theirs.
        project: Name of the project that they go to.
    """
    said = {
        (exported.trace, exported.span.span_id): exported.parts.ids["opik.span_id"]
        for exported in spans
        if "opik.span_id" in exported.parts.ids
    }

    def span_id(exported: Exported, otel_id: bytes) -> str:
        known = said.get((exported.trace, otel_id))
        return known or uuid7(otel_id.hex(), _time_inside(_trace_id(exported, trace_ids)))

    records: list[Trace | Span] = []
    for exported in spans:
        trace_id = _trace_id(exported, trace_ids)
        records.append(_trace(exported, trace_id, project))
        records.append(_span(exported, trace_id, project, span_id))
    return records


def _span(
    exported: Exported, trace_id: str, project: str, span_id: Callable[[Exported, bytes], str]
) -> Span:
    span, parts = exported.span, exported.parts
    parent = parts.ids.get("opik.parent_span_id")
    if parent is None and span.parent_span_id:
        parent = span_id(exported, span.parent_span_id)
    return Span(
        id=span_id(exported, span.span_id),
        trace_id=trace_id,
        parent_span_id=parent,
        project_name=project,
        name=span.name,
        type=parts.type,
        start_time=exported.begin,
        end_time=exported.end,
        input=parts.input or None,
        output=parts.output or None,
        metadata=_metadata(exported) or None,
        tags=tuple(parts.tags) or None,
        model=parts.model,
        provider=parts.provider,
        usage=parts.usage or None,
        error_info=_error(span),
        source=_SOURCE,
    )


def _trace(exported: Exported, trace_id: str, project: str) -> Trace:
    """Return what a span says of its trace: all there is to know, if it is the root of it.

    Another span only makes sure that the trace is there, and yields to whatever else is written.
    """
    span, parts = exported.span, exported.parts
    if span.parent_span_id or "opik.parent_span_id" in parts.ids:
        return Trace(
            id=trace_id, project_name=project, thread_id=parts.thread_id, last_updated_at=EPOCH
        )
    return Trace(
        id=trace_id,
        project_name=project,
        name=span.name,
        start_time=exported.begin,
        end_time=exported.end,
        input=parts.input or None,
        output=parts.output or None,
        metadata=_metadata(exported) or None,
        tags=tuple(parts.tags) or None,
        thread_id=parts.thread_id,
        error_info=_error(span),
        source=_SOURCE,
    )


def _metadata(exported: Exported) -> dict[str, object]:
    metadata = dict(exported.parts.metadata)
    if exported.scope and "logfire" not in exported.scope:
        metadata.setdefault("integration", exported.scope)
    events = [
        {"name": event.name, **_event_time(event), "attributes": attributes_of(event.attributes)}
        for event in exported.span.events
        if event.name != _EXCEPTION
    ]
    if events:
        metadata.setdefault("events", events)
    return metadata


def _event_time(event: OtelSpan.Event) -> dict[str, str]:
    moment = _moment(event.time_unix_nano)
    return {} if moment is None else {"time": moment.isoformat()}


def _error(span: OtelSpan) -> ErrorInfo | None:
    """Return the last exception that a span recorded, or the error that its status tells."""
    for event in reversed(span.events):
        if event.name == _EXCEPTION:
            said = {name: str(v) for name, v in attributes_of(event.attributes).items()}
            kind = said.get("exception.type") or "Exception"
            message = said.get("exception.message")
            traceback = said.get("exception.stacktrace") or message or kind
            return ErrorInfo(exception_type=kind, message=message, traceback=traceback)
    if span.status.code != Status.STATUS_CODE_ERROR:
        return None
    message = span.status.message or None
    return ErrorInfo(exception_type="Error", message=message, traceback=message or "Error")


def _problem(span: OtelSpan) -> str | None:
    for name, value, size in (
        ("trace_id", span.trace_id, _TRACE_ID_BYTES),
        ("span_id", span.span_id, _SPAN_ID_BYTES),
        ("parent_span_id", span.parent_span_id or b"\1" * _SPAN_ID_BYTES, _SPAN_ID_BYTES),
    ):
        if len(value) != size or not any(value):
            return f"{name} must be {size} bytes that are not all zero"
    for name in ("opik.trace_id", "opik.span_id", "opik.parent_span_id"):
        for pair in span.attributes:
            if pair.key == name and not is_identifier(pair.value.string_value):
                return f"{name} must be a version 7 UUID"
    return None


def _trace_id(exported: Exported, trace_ids: Mapping[str, str]) -> str:
    return exported.parts.ids.get("opik.trace_id") or trace_ids[exported.trace]


def _time_inside(identifier: str) -> datetime:
    milliseconds = int(identifier.replace("-", "")[:12], 16)
    return EPOCH + timedelta(milliseconds=milliseconds)


def _moment(nanoseconds: int) -> datetime | None:
    if not nanoseconds:
        return None
    return EPOCH + timedelta(microseconds=nanoseconds // 1000)
