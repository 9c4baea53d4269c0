"""Files of traces and spans: through the server, or past it into a bucket."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from opik_eval.errors import NotFoundError
from opik_eval.ids import derived_id
from opik_eval.records import Attachment, utc_now
from opik_eval.server.bodies import Body
from opik_eval.server.context import Context
from opik_eval.server.failures import RefusedError, conflict, not_found
from opik_eval.server.paging import PageWanted
from opik_eval.server.payloads import (
    Payload,
    identifier,
    identifiers,
    number,
    objects,
    required_text,
    text,
)
from opik_eval.server.receiving import received_file
from opik_eval.server.replies import done, json_reply
from opik_eval.server.schemas import documents
from opik_eval.server.schemas.language import takes, takes_bytes
from opik_eval.server.settings import ServerSettings

router = APIRouter(prefix="/v1/private/attachment", tags=["Attachments"])
_LOCAL_MODE = "BEMinIO"
"""The upload id by which clients know that one PUT to this server takes the whole file."""
_ENTITIES = ("trace", "span")
_MOST_PARTS = 10_000
_PLAIN = "application/octet-stream"


@router.post("/upload-start", **takes(documents.UPLOAD_START))
def start_upload(request: Request, context: Context, body: Body) -> Response:
    """Tell where a file is to be sent: whole to this server, or in parts to a bucket."""
    payload = body.object()
    query = {
        "file_name": required_text(payload, "file_name"),
        "entity_type": _entity_type(required_text(payload, "entity_type")),
        "entity_id": identifier(payload.get("entity_id"), "entity_id"),
        **{n: str(payload[n]) for n in ("project_name", "mime_type") if payload.get(n)},
    }
    if context.files.uploads is not None:
        count = number(payload, "num_of_file_parts", least=1, most=_MOST_PARTS)
        started = context.files.uploads.start(count)
        return json_reply({"upload_id": started.upload_id, "pre_sign_urls": started.part_urls})
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
        name = _Name(kind, entity, file_name)
        attachment = name.attachment(mime_type, file.sha256, file.size_bytes)
        await file.in_thread(context.storage.put_attachment, attachment, file.path)
    return done()


@router.post("/upload-complete", status_code=204, **takes(documents.UPLOAD_COMPLETE))
def complete_upload(request: Request, context: Context, body: Body) -> Response:
    """End an upload in parts; one to this server has ended with the PUT of the file."""
    payload, uploads = body.object(), context.files.uploads
    upload_id = required_text(payload, "upload_id")
    if upload_id == _LOCAL_MODE or uploads is None:
        return done()
    entity = identifier(payload.get("entity_id"), "entity_id")
    kind = _entity_type(required_text(payload, "entity_type"))
    name = _Name(kind, entity, required_text(payload, "file_name"))
    settings: ServerSettings = request.app.state.settings
    size = number(payload, "file_size", least=0, most=settings.max_attachment_bytes)
    try:
        with uploads.received(upload_id, _parts(payload)) as upload:
            if upload.size_bytes != size:
                raise conflict(f"file_size is {size}, but {upload.size_bytes} bytes were sent")
            attachment = name.attachment(
                text(payload, "mime_type"), upload.sha256, upload.size_bytes
            )
            uploads.keep(upload, attachment)
            context.files.note_attachment(attachment)
    except NotFoundError:
        # A request that is repeated because its answer was lost finds its work done.
        stored = context.storage.list_attachments(kind, entity)
        if not any((a.file_name, a.size_bytes) == (name.file_name, size) for a in stored):
            raise
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
    uploads = context.files.uploads
    content = [
        {
            "link": (uploads.link(row) if uploads else None)
            or f"{base}/v1/private/attachment/download?{urlencode(_address(row))}",
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


@dataclass(frozen=True)
class _Name:
    """What a file is called: one of the same name on the same entity is the same file."""

    entity_type: str
    entity_id: str
    file_name: str

    def attachment(self, mime_type: str | None, sha256: str, size_bytes: int) -> Attachment:
        return Attachment(
            id=derived_id("attachment", self.entity_type, self.entity_id, self.file_name),
            entity_type=self.entity_type,
            entity_id=self.entity_id,
            file_name=self.file_name,
            mime_type=mime_type or _PLAIN,
            sha256=sha256,
            size_bytes=size_bytes,
            created_at=utc_now(),
        )


def _parts(payload: Payload) -> dict[int, str]:
    """Return what the bucket answered to each part, by number."""
    return {
        number(part, "part_number", least=1, most=_MOST_PARTS): required_text(part, "e_tag")
        for part in objects(payload, "uploaded_file_parts", most=_MOST_PARTS)
    }


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
