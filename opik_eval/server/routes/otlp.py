"""Traces of OpenTelemetry exporters, over HTTP."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from opik_eval.records import Span, utc_now
from opik_eval.server.bodies import Body, RawBody
from opik_eval.server.context import Context, RequestContext
from opik_eval.server.costs import priced
from opik_eval.server.failures import FrameworkError
from opik_eval.server.payloads import project_or_default
from opik_eval.server.schemas.language import ANYTHING, many, one

router = APIRouter(prefix="/v1/private/otel/v1", tags=["OpenTelemetry"])
_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_SHOWN_PROBLEMS = 5
_SPANS = one(resourceSpans=many(ANYTHING, least=0))
_TAKES = {
    "requestBody": {
        "required": True,
        "content": {
            _PROTOBUF: {"schema": {"type": "string", "format": "binary"}},
            _JSON: {"schema": _SPANS},
        },
    }
}


@router.post("/traces", openapi_extra=_TAKES)
async def write_otel_spans(request: Request, context: Context, body: Body) -> Response:
    """Write spans of an OpenTelemetry exporter; the header ``projectName`` says where to.

    Spans that cannot be taken are counted and explained in the answer, as OTLP has it.
    """
    return await body.in_turn(context, _write, request, context, body)


def _write(request: Request, context: RequestContext, body: RawBody) -> Response:
    # A server without OpenTelemetry's package does all else.
    from opik_eval.server.otlp import conversion, decoding, ids

    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (_PROTOBUF, _JSON):
        raise FrameworkError(415, f"Unsupported content type {kind!r}", f"{_PROTOBUF} or {_JSON}")
    data = body.data()
    message = decoding.from_json(data) if kind == _JSON else decoding.from_protobuf(data)
    spans, problems = conversion.exported_spans(message)
    body.charge(len(spans))
    begins = conversion.begins_of(spans, utc_now())
    trace_ids = ids.trace_ids(context.documents, context.lock, begins)
    project = project_or_default({"project_name": request.headers.get("projectname")})
    records = conversion.records_of(spans, trace_ids, project)
    context.storage.write([priced(r) if isinstance(r, Span) else r for r in records])
    return _answer(kind, problems)


def _answer(kind: str, problems: list[str]) -> Response:
    from google.protobuf.json_format import MessageToJson
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    answer = ExportTraceServiceResponse()
    if problems:
        answer.partial_success.rejected_spans = len(problems)
        answer.partial_success.error_message = "; ".join(problems[:_SHOWN_PROBLEMS])
    if kind == _JSON:
        return Response(MessageToJson(answer), media_type=_JSON)
    return Response(answer.SerializeToString(), media_type=_PROTOBUF)
