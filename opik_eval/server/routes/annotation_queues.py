"""Annotation queues: lists of traces or threads that people are to judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from opik_eval.ids import derived_id
from opik_eval.records import Document, utc_now
from opik_eval.server.bodies import Body
from opik_eval.server.context import Context, RequestContext
from opik_eval.server.failures import RefusedError, conflict, not_found
from opik_eval.server.filters import wanted_of
from opik_eval.server.paging import PageWanted
from opik_eval.server.payloads import Payload, identifier, identifiers, required_text, texts
from opik_eval.server.projects import Projects
from opik_eval.server.replies import created, done, json_reply
from opik_eval.server.routes.collections import named_view
from opik_eval.server.routes.queue_members import MEMBER, QUEUE
from opik_eval.server.schemas import documents, language
from opik_eval.server.schemas.language import takes
from opik_eval.storage.query import FieldKind

router = APIRouter(prefix="/v1/private/annotation-queues", tags=["Annotation queues"])
_SCOPES = ("trace", "thread")
_FILTERED: Mapping[str, FieldKind] = {
    **dict.fromkeys(("id", "name", "description", "instructions", "project_id"), "string"),
    "scope": "enum",
}
_FIELDS = ("description", "instructions", "comments_enabled", "feedback_definition_names")


@router.post("", status_code=201, **takes(documents.QUEUE))
def create_queue(context: Context, body: Body) -> Response:
    """Create a queue."""
    payload = body.object()
    queue_id = identifier(payload.get("id"))
    project = Projects(context).get(required_text(payload, "project_id"))
    if payload.get("scope") not in _SCOPES:
        raise RefusedError(422, f"scope must be one of {', '.join(_SCOPES)}")
    if context.documents.find_document(QUEUE, queue_id) is not None:
        raise conflict(f"Annotation queue already exists: {queue_id}")
    body_of_queue: dict[str, object] = {
        "project_id": project.id,
        "project_name": project.name,
        "scope": payload["scope"],
        **_named(payload),
        "created_by": context.user,
    }
    context.documents.put_documents(
        [_document(queue_id, required_text(payload, "name"), body_of_queue, None)]
    )
    return created(f"v1/private/annotation-queues/{queue_id}")


@router.get("")
def list_queues(
    context: Context,
    page: PageWanted,
    name: Annotated[str | None, Query()] = None,
    filters: Annotated[str | None, Query()] = None,
) -> Response:
    """List queues, newest first."""
    where = wanted_of(filters, _FILTERED)
    counts = Counter(str(m.body["queue_id"]) for m in context.documents.list_documents(MEMBER))
    views = [
        {**named_view(queue), "items_count": counts[queue.id]}
        for queue in context.documents.list_documents(QUEUE)
        if (name or "").casefold() in (queue.name or "").casefold()
    ]
    rows, total = page.cut(where.decide(reversed(views), lambda view: view))
    return page.reply(rows, total)


@router.post("/delete", status_code=204, **takes(language.IDS))
def delete_queues(context: Context, body: Body) -> Response:
    """Delete queues; what they list stays."""
    ids = identifiers(body.object())
    members = context.documents.list_documents(MEMBER)
    gone = [member.id for member in members if member.body["queue_id"] in ids]
    context.documents.delete_documents(MEMBER, gone)
    context.documents.delete_documents(QUEUE, ids)
    return done()


@router.get("/{queue_id}")
def read_queue(context: Context, queue_id: str) -> Response:
    """Return a queue."""
    queue = _find(context, queue_id)
    members = context.documents.list_documents(MEMBER)
    count = sum(member.body["queue_id"] == queue_id for member in members)
    return json_reply({**named_view(queue), "items_count": count})


@router.patch("/{queue_id}", status_code=204, **takes(documents.QUEUE_UPDATE))
def patch_queue(context: Context, queue_id: str, body: Body) -> Response:
    """Change a queue."""
    payload = body.object()
    with context.lock:
        queue = _find(context, queue_id)
        name = queue.name if payload.get("name") is None else required_text(payload, "name")
        changed = {**queue.body, **_named(payload)}
        context.documents.put_documents([_document(queue_id, name, changed, queue)])
    return done()


@router.post("/{queue_id}/items/add", status_code=204, **takes(documents.QUEUE_ITEMS))
def add_items(context: Context, queue_id: str, body: Body) -> Response:
    """Put traces or threads into a queue; those in it already are no error."""
    _find(context, queue_id)
    members = [
        Document(
            id=derived_id("queue_member", queue_id, entity_id),
            kind=MEMBER,
            name=entity_id,
            body={"queue_id": queue_id},
            created_at=utc_now(),
        )
        for entity_id in texts(body.object(), "ids")
    ]
    context.documents.put_documents(members)
    return done()


@router.post("/{queue_id}/items/delete", status_code=204, **takes(documents.QUEUE_ITEMS))
def delete_items(context: Context, queue_id: str, body: Body) -> Response:
    """Take traces or threads out of a queue."""
    _find(context, queue_id)
    ids = texts(body.object(), "ids")
    members = [derived_id("queue_member", queue_id, entity_id) for entity_id in ids]
    context.documents.delete_documents(MEMBER, members)
    return done()


def _find(context: RequestContext, queue_id: str) -> Document:
    found = context.documents.find_document(QUEUE, queue_id)
    if found is None:
        raise not_found("Annotation queue", queue_id)
    return found


def _named(payload: Payload) -> dict[str, object]:
    return {name: payload[name] for name in _FIELDS if payload.get(name) is not None}


def _document(
    queue_id: str, name: str | None, body: dict[str, object], known: Document | None
) -> Document:
    return Document(
        id=queue_id,
        kind=QUEUE,
        name=name,
        body=body,
        created_at=known.created_at if known else utc_now(),
        last_updated_at=utc_now(),
    )
