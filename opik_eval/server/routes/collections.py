"""Named objects that the server only keeps, such as environments and feedback definitions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from opik_eval.records import Document, utc_now
from opik_eval.server.bodies import Body
from opik_eval.server.context import Context, RequestContext
from opik_eval.server.failures import RefusedError, conflict, not_found
from opik_eval.server.paging import PageWanted, field_of, ordered, sorting_in
from opik_eval.server.payloads import Payload, identifier, identifiers, required_text
from opik_eval.server.replies import created, done, json_reply
from opik_eval.server.schemas import documents, language
from opik_eval.server.schemas.language import Schema, takes
from opik_eval.server.views.notes import note_view

router = APIRouter(prefix="/v1/private", tags=["Collections"])
_SORTABLE = ("id", "name", "created_at", "last_updated_at", "type")
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z0-9_-]{1,150}")
_NOT_BODY = ("id", "name", "created_at", "last_updated_at")


@dataclass(frozen=True)
class Collection:
    """A family of named objects.

    Attributes:
        kind: Kind of their documents.
        path: Last part of their path.
        title: What one is called in errors.
        schema: What creates one.
        check: Raises ``RefusedError`` for a payload that makes no sense.
        has_unique_names: No two may have the same name.
        answers_with_body: A creation is answered with the object.
        replaces: A change replaces the whole object (PUT) instead of the named fields (PATCH).
    """

    kind: str
    path: str
    title: str
    schema: Schema
    check: Callable[[Payload], None]
    has_unique_names: bool = True
    answers_with_body: bool = False
    replaces: bool = False

    def find(self, context: RequestContext, document_id: str) -> Document:
        """Return an object.

        Raises:
            RefusedError: There is none of that id (404).
        """
        found = context.documents.find_document(self.kind, document_id)
        if found is None:
            raise not_found(self.title, document_id)
        return found

    def put(
        self, context: RequestContext, payload: Payload, document_id: str, known: Document | None
    ) -> Document:
        """Write an object.

        Raises:
            RefusedError: It makes no sense (422), or its name is taken (409).
        """
        kept: Mapping[str, object] = {} if known is None or self.replaces else known.body
        named = {name: value for name, value in payload.items() if name not in _NOT_BODY}
        body = {**kept, **{name: value for name, value in named.items() if value is not None}}
        name = payload.get("name") if known is None else payload.get("name", known.name)
        self.check({**body, "name": name})
        name = required_text({"name": name}, "name")
        if self.has_unique_names:
            others = context.documents.list_documents(self.kind, name=name)
            if any(other.id != document_id for other in others):
                raise conflict(f"{self.title} already exists: {name}")
        document = Document(
            id=document_id,
            kind=self.kind,
            name=name,
            body={"created_by": context.user, **body, "last_updated_by": context.user},
            created_at=known.created_at if known else utc_now(),
            last_updated_at=utc_now(),
        )
        context.documents.put_documents([document])
        return document


def named_view(document: Document) -> dict[str, object]:
    """Return an object as clients see it."""
    return {"name": document.name, **note_view(document)}


def _add_writing_routes(collection: Collection) -> None:
    path = f"/{collection.path}"

    @router.post(path, status_code=201, **takes(collection.schema))
    def create(context: Context, body: Body) -> Response:
        payload = body.object()
        document_id = identifier(payload.get("id"))
        with context.lock:
            if context.documents.find_document(collection.kind, document_id) is not None:
                raise conflict(f"{collection.title} already exists: {document_id}")
            document = collection.put(context, payload, document_id, None)
        if collection.answers_with_body:
            return json_reply(named_view(document), 201)
        return created(f"v1/private/{collection.path}/{document_id}")

    def change(context: Context, document_id: str, body: Body) -> Response:
        with context.lock:
            known = collection.find(context, document_id)
            collection.put(context, body.object(), document_id, known)
        return done()

    optional = language.optional(collection.schema)
    for method in ("put", "patch"):
        add = getattr(router, method)
        add(f"{path}/{{document_id}}", status_code=204, **takes(optional))(change)

    @router.delete(f"{path}/{{document_id}}", status_code=204)
    def delete(context: Context, document_id: str) -> Response:
        context.documents.delete_documents(collection.kind, [document_id])
        return done()

    @router.post(f"{path}/delete", status_code=204, **takes(language.IDS))
    def delete_many(context: Context, body: Body) -> Response:
        context.documents.delete_documents(collection.kind, identifiers(body.object()))
        return done()


def _add_reading_routes(collection: Collection) -> None:
    path = f"/{collection.path}"

    @router.get(path)
    def list_all(
        context: Context,
        page: PageWanted,
        name: Annotated[str | None, Query()] = None,
        sorting: Annotated[str | None, Query()] = None,
    ) -> Response:
        order = sorting_in(sorting, _SORTABLE)
        documents = list(context.documents.list_documents(collection.kind))
        views = [
            named_view(document)
            for document in reversed(documents)
            if (name or "").casefold() in (document.name or "").casefold()
        ]
        rows, total = page.cut(ordered(views, order, field_of))
        return page.reply(rows, total, _SORTABLE)

    @router.get(f"{path}/{{document_id}}")
    def read(context: Context, document_id: str) -> Response:
        return json_reply(named_view(collection.find(context, document_id)))


def _check_environment(payload: Payload) -> None:
    name = required_text(payload, "name")
    if not _ENVIRONMENT_NAME.fullmatch(name):
        raise RefusedError(422, "name must be 1 to 150 letters, digits, - and _")


def _check_definition(payload: Payload) -> None:
    required_text(payload, "name")
    if payload.get("type") not in ("numerical", "categorical", "boolean"):
        raise RefusedError(422, "type must be numerical, categorical or boolean")


def _check_alert(payload: Payload) -> None:
    webhook = payload.get("webhook")
    if not isinstance(webhook, dict):
        raise RefusedError(422, "webhook must be an object")
    required_text(webhook, "url")


def _check_named(payload: Payload) -> None:
    required_text(payload, "name")


COLLECTIONS = (
    Collection(
        "environment", "environments", "Environment", documents.ENVIRONMENT, _check_environment
    ),
    Collection(
        "feedback_definition",
        "feedback-definitions",
        "Feedback definition",
        documents.FEEDBACK_DEFINITION,
        _check_definition,
        replaces=True,
    ),
    Collection(
        "alert",
        "alerts",
        "Alert",
        documents.ALERT,
        _check_alert,
        has_unique_names=False,
        replaces=True,
    ),
    Collection(
        "dashboard",
        "dashboards",
        "Dashboard",
        documents.DASHBOARD,
        _check_named,
        has_unique_names=False,
        answers_with_body=True,
    ),
)
"""The families."""

for _collection in COLLECTIONS:
    _add_writing_routes(_collection)
    _add_reading_routes(_collection)
