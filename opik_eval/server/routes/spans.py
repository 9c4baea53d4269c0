"""Spans: written in batches or one by one, read by id, by page and as a stream."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from opik_eval.records import Span
from opik_eval.server.batches import write_batch
from opik_eval.server.bodies import Body
from opik_eval.server.context import Context
from opik_eval.server.failures import FrameworkError, not_found
from opik_eval.server.paging import PageWanted
from opik_eval.server.payloads import identifier, identifiers, objects
from opik_eval.server.replies import created, done, json_reply, lines_reply
from opik_eval.server.routes.traced_lists import (
    SPANS,
    TRACED_FIELDS,
    ListWanted,
    excluded,
)
from opik_eval.server.schemas import tracing
from opik_eval.server.schemas.language import takes
from opik_eval.server.views.traces import SpanViews
from opik_eval.server.writing import merged_tags, new_span, update_spans

router = APIRouter(prefix="/v1/private/spans", tags=["Spans"])


@router.post("/batch", status_code=204, **takes(tracing.SPANS))
async def write_spans(context: Context, body: Body) -> Response:
    """Write spans; those that are there already are merged field by field."""
    await body.in_turn(context, lambda: write_batch(context, Span, objects(body.object(), "spans")))
    return done()


@router.post("", status_code=201, **takes(tracing.SPAN))
def write_span(context: Context, body: Body) -> Response:
    """Write one span."""
    span = new_span(body.object())
    context.storage.write([span])
    return created(f"v1/private/spans/{span.id}")


@router.patch("/batch", status_code=204, **takes(tracing.SPAN_UPDATES))
def patch_spans(context: Context, body: Body) -> Response:
    """Update several spans alike."""
    payload = body.object()
    (update,) = objects({"update": [payload.get("update")]}, "update")
    update = merged_tags(update, merge_tags=payload.get("merge_tags") is True)
    update_spans(context, identifiers(payload), update)
    return done()


@router.patch("/{span_id}", status_code=204, **takes(tracing.SPAN_UPDATE))
def patch_span(context: Context, span_id: str, body: Body) -> Response:
    """Update a span; one that is not there yet begins with what the update says."""
    update_spans(context, [identifier(span_id)], body.object())
    return done()


@router.post("/search", **takes(tracing.SEARCH))
def search_spans(context: Context, request: Request, body: Body) -> Response:
    """Stream spans of a project, newest first, one JSON object a line."""
    payload = body.object()
    found = SPANS.stream(context, request, payload)
    return lines_reply(SpanViews(context, excluded(payload.get("exclude"))).of(found))


@router.get("")
def list_spans(context: Context, page: PageWanted, wanted: ListWanted) -> Response:
    """List spans of a project, newest first or in a given order."""
    found, total = SPANS.page(context, page, wanted)
    return page.reply(SpanViews(context, excluded(wanted.exclude)).of(found), total, TRACED_FIELDS)


@router.get("/{span_id}")
def read_span(context: Context, span_id: str) -> Response:
    """Return a span with its scores and comments."""
    found = context.storage.find_span(identifier(span_id))
    if found is None:
        raise not_found("Span", span_id)
    return json_reply(SpanViews(context).of([found])[0])


@router.delete("/{span_id}", status_code=501)
def delete_span(context: Context, span_id: str) -> Response:  # noqa: ARG001 - refused to everybody
    """Refuse to delete a single span; traces are deleted as wholes."""
    raise FrameworkError(501, "Spans cannot be deleted one by one", "delete their trace")
