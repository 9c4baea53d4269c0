"""Traces: written in batches or one by one, read by id, by page and as a stream."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from opik_eval.records import Trace
from opik_eval.server.batches import write_batch
from opik_eval.server.bodies import Body
from opik_eval.server.context import Context
from opik_eval.server.failures import not_found
from opik_eval.server.paging import PageWanted
from opik_eval.server.payloads import identifier, identifiers, objects
from opik_eval.server.replies import created, done, json_reply, lines_reply
from opik_eval.server.routes.traced_lists import (
    TRACED_FIELDS,
    TRACES,
    ListWanted,
    excluded,
)
from opik_eval.server.schemas import language, tracing
from opik_eval.server.schemas.language import takes
from opik_eval.server.views.traces import TraceViews
from opik_eval.server.writing import merged_tags, new_trace, update_traces

router = APIRouter(prefix="/v1/private/traces", tags=["Traces"])


@router.post("/batch", status_code=204, **takes(tracing.TRACES))
async def write_traces(context: Context, body: Body) -> Response:
    """Write traces; those that are there already are merged field by field."""
    await body.in_turn(
        context, lambda: write_batch(context, Trace, objects(body.object(), "traces"))
    )
    return done()


@router.post("", status_code=201, **takes(tracing.TRACE))
def write_trace(context: Context, body: Body) -> Response:
    """Write one trace."""
    trace = new_trace(body.object())
    context.storage.write([trace])
    return created(f"v1/private/traces/{trace.id}")


@router.patch("/batch", status_code=204, **takes(tracing.TRACE_UPDATES))
def patch_traces(context: Context, body: Body) -> Response:
    """Update several traces alike."""
    payload = body.object()
    (update,) = objects({"update": [payload.get("update")]}, "update")
    update = merged_tags(update, merge_tags=payload.get("merge_tags") is True)
    update_traces(context, identifiers(payload), update)
    return done()


@router.patch("/{trace_id}", status_code=204, **takes(tracing.TRACE_UPDATE))
def patch_trace(context: Context, trace_id: str, body: Body) -> Response:
    """Update a trace; one that is not there yet begins with what the update says."""
    update_traces(context, [identifier(trace_id)], body.object())
    return done()


@router.post("/search", **takes(tracing.SEARCH))
def search_traces(context: Context, request: Request, body: Body) -> Response:
    """Stream traces of a project, newest first, one JSON object a line."""
    payload = body.object()
    found = TRACES.stream(context, request, payload)
    return lines_reply(TraceViews(context, excluded(payload.get("exclude"))).of(found))


@router.post("/delete", status_code=204, **takes(language.IDS))
def delete_traces(context: Context, body: Body) -> Response:
    """Delete traces with their spans, scores and attachments."""
    context.storage.delete_traces(identifiers(body.object()))
    return done()


@router.get("")
def list_traces(context: Context, page: PageWanted, wanted: ListWanted) -> Response:
    """List traces of a project, newest first or in a given order."""
    found, total = TRACES.page(context, page, wanted)
    return page.reply(TraceViews(context, excluded(wanted.exclude)).of(found), total, TRACED_FIELDS)


@router.get("/{trace_id}")
def read_trace(context: Context, trace_id: str) -> Response:
    """Return a trace with what its spans, scores and comments add up to."""
    found = context.storage.find_trace(identifier(trace_id))
    if found is None:
        raise not_found("Trace", trace_id)
    return json_reply(TraceViews(context).of([found])[0])


@router.delete("/{trace_id}", status_code=204)
def delete_trace(context: Context, trace_id: str) -> Response:
    """Delete a trace with its spans, scores and attachments."""
    context.storage.delete_traces([identifier(trace_id)])
    return done()
