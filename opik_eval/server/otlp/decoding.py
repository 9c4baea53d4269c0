"""Bodies of OTLP over HTTP, protobuf or JSON, as one kind of message."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from opik_eval.server.bodies import parse_json
from opik_eval.server.failures import FrameworkError

_IDS = frozenset(["traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"])


def from_protobuf(data: bytes) -> ExportTraceServiceRequest:
    """Return the request that a protobuf body holds.

    Raises:
        FrameworkError: It holds none (400).
    """
    try:
        return ExportTraceServiceRequest.FromString(data)
    except DecodeError as error:
        raise FrameworkError(400, "Unable to process protobuf", str(error)) from None


def from_json(data: bytes) -> ExportTraceServiceRequest:
    """Return the request that a JSON body holds.

    OTLP's JSON is protobuf's, but for ids, which are in hexadecimals.

    Raises:
        FrameworkError: It holds none (400).
    """
    value = parse_json(data)
    if not isinstance(value, dict):
        raise FrameworkError(400, "Unable to process JSON", "the body is not an object")
    try:
        _spell_ids(value)
        return ParseDict(value, ExportTraceServiceRequest(), ignore_unknown_fields=True)
    except (ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise FrameworkError(400, "Unable to process OTLP JSON", str(error)[:300]) from None


def _spell_ids(value: dict[str, object]) -> None:
    """Replace ids in hexadecimals by those in base64, which is what protobuf's JSON has."""
    for holder in _holders_of_ids(value):
        for name in holder.keys() & _IDS:
            text = holder[name]
            if isinstance(text, str):
                holder[name] = base64.b64encode(bytes.fromhex(text)).decode()


def _holders_of_ids(value: dict[str, object]) -> Iterator[dict[str, object]]:
    for resource in _objects(value, "resourceSpans", "resource_spans"):
        for scope in _objects(resource, "scopeSpans", "scope_spans"):
            for span in _objects(scope, "spans", "spans"):
                yield span
                yield from _objects(span, "links", "links")


def _objects(holder: dict[str, object], *names: str) -> Iterator[dict[str, object]]:
    found = next((holder[name] for name in names if name in holder), None)
    for element in found if isinstance(found, list) else ():
        if isinstance(element, dict):
            yield element
