"""Files of traces and spans, kept by the storage of the server itself."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from opik_eval.ids import derived_id
from opik_eval.records import Attachment, utc_now
from opik_eval.server.bodies import Body
from opik_eval.server.context import Context
from opik_eval.server.failures import RefusedError, not_found
from opik_eval.server.paging import PageWanted
from opik_eval.server.payloads import Payload, identifier, identifiers, required_text
from opik_eval.server.receiving import received_file
from opik_eval.server.replies import done, json_reply
from opik_eval.server.schemas import documents
from opik_eval.server.schemas.language import takes, takes_bytes

router = APIRouter(prefix="/v1/private/attachment", tags=["Attachments"])
_LOCAL_MODE = "BEMinIO"
"""The upload id by which clients know that one PUT to this server takes the whole file."""
_ENTITIES = ("trace", "span")
_PLAIN = "application/octet-stream"


@router.post("/upload-start", **takes(documents.UPLOAD_START))
def start_upload(request: Request, context: Context, body: Body) -> Response:  # noqa: ARG001 - access is checked
    """Tell where a file is to be sent."""
    payload = body.object()
    query = {
        "file_name": required_text(payload, "file_name"),
        "entity_type": _entity_type(required_text(payload, "entity_type")),
        "entity_id": identifier(payload.get("entity_id"), "entity_id"),
        **{n: str(payload[n]) for n in ("project_name", "mime_type") if payload.get(n)},
    }
    url = f"{_base_url(request, payload)}/v1/private/attachment/upload?{urlencode(query)}"
    return json_reply({"upload_id": _LOCAL_MODE, "pre_sign_urls": [url]})


@router.put("/upload", status_code=204, **takes_bytes())
async def upload(
    request: Request,
    context: Context,
    file_name: Annotated[str, Query(min_length=1)],
    entity_type: Annotated[str, Query()],
    entity_id: Annotated[str, Query()],
    mime_type: Annotated[str | None, Query()] = None,
) -> Response:
    """Store a file; one of the same name on the same entity is replaced."""
    kind, entity = _entity_type(entity_type), identifier(entity_id, "entity_id")
    async with received_file(request) as file:
        attachment = Attachment(
            id=derived_id("attachment", kind, entity, file_name),
            entity_type=kind,
            entity_id=entity,
            file_name=file_name,
            mime_type=mime_type or _PLAIN,
            sha256=file.sha256,
            size_bytes=file.size_bytes,
            created_at=utc_now(),
        )
        await file.in_thread(context.storage.put_attachment, attachment, file.path)
    return done()


@router.post("/upload-complete", status_code=204, **takes(documents.UPLOAD_COMPLETE))
def complete_upload(context: Context, body: Body) -> Response:  # noqa: ARG001 - access is checked
    """Accept the end of an upload; here the PUT of the file has already ended it."""
    body.object()
    return done()


@router.get("/list")
def list_attachments(
    request: Request,
    context: Context,
    page: PageWanted,
    entity_type: Annotated[str, Query()],
    entity_id: Annotated[str, Query()],
    path: Annotated[str | None, Query()] = None,
) -> Response:
    """List the files of a trace or span, with links to them."""
    kind, entity = _entity_type(entity_type), identifier(entity_id, "entity_id")
    rows, total = page.cut(context.storage.list_attachments(kind, entity))
    base = _base_url(request, {"path": path})
    content = [
        {
            "link": f"{base}/v1/private/attachment/download?{urlencode(_address(row))}",
            "file_name": row.file_name,
            "file_size": row.size_bytes,
            "mime_type": row.mime_type,
        }
        for row in rows
    ]
    return page.reply(content, total)


@router.get("/download")
def download(
    context: Context,
    entity_type: Annotated[str, Query()],
    entity_id: Annotated[str, Query()],
    file_name: Annotated[str, Query()],
) -> Response:
    """Return the bytes of a file, as something to save and never to show."""
    kind, entity = _entity_type(entity_type), identifier(entity_id, "entity_id")
    for row in context.storage.list_attachments(kind, entity):
        if row.file_name == file_name:
            content = context.storage.read_attachment(row.id)
            headers = {
                "Content-Disposition": "attachment",
                "X-Content-Type-Options": "nosniff",
            }
            return Response(content, headers=headers, media_type=_safe_type(row.mime_type))
    raise not_found("Attachment", file_name)


@router.post("/delete", status_code=204, **takes(documents.ATTACHMENT_DELETE))
def delete_attachments(context: Context, body: Body) -> Response:  # noqa: ARG001 - access is checked
    """Refuse to delete single files, which go with their trace."""
    identifiers({"ids": [body.object().get("entity_id")]})
    raise RefusedError(501, "Attachments are deleted with their trace")


def _address(attachment: Attachment) -> dict[str, str]:
    return {
        "entity_type": attachment.entity_type,
        "entity_id": attachment.entity_id,
        "file_name": attachment.file_name,
    }


def _entity_type(value: str) -> str:
    if value not in _ENTITIES:
        raise RefusedError(422, f"entity_type must be one of {', '.join(_ENTITIES)}")
    return value


def _base_url(request: Request, payload: Payload) -> str:
    """Return the root of the interface as the client reaches it, which it tells in ``path``."""
    told = payload.get("path")
    if isinstance(told, str):
        try:
            url = base64.b64decode(told, validate=True).decode()
        except (binascii.Error, ValueError):
            url = ""
        if urlsplit(url).scheme in ("http", "https"):
            return url.rstrip("/")
    root = str(request.base_url).rstrip("/")
    return f"{root}{request.scope.get('mount', '')}"


def _safe_type(mime_type: str) -> str:
    return mime_type if mime_type.isascii() and mime_type.isprintable() else _PLAIN
