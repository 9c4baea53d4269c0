"""Uploading attachments to a real Opik server."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import cast

from opik_eval.serialization import dumps
from opik_eval.storage.http_connection import Connection, Reply
from opik_eval.storage.http_dialect import attachment_of
from opik_eval.storage.outbox import Entry

_ROUTES = "v1/private/attachment"
_LOCAL_UPLOAD = "BEMinIO"


def upload(connection: Connection, entry: Entry) -> Reply:
    """Upload a file: start, parts, end."""
    attachment, content = attachment_of(entry)

    def post(path: str, body: object) -> Reply:
        return connection.exchange("POST", f"{_ROUTES}/{path}", body=dumps(body))

    about = {
        "file_name": attachment.file_name,
        "mime_type": attachment.mime_type,
        "entity_type": attachment.entity_type,
        "entity_id": attachment.entity_id,
    }
    place = base64.b64encode(f"{connection.url}/".encode()).decode()
    reply = post("upload-start", {**about, "num_of_file_parts": 1, "path": place})
    if not reply.is_success:
        return reply
    start = cast("Mapping[str, object]", reply.json())
    url = cast("list[str]", start["pre_sign_urls"])[0]
    if start["upload_id"] == _LOCAL_UPLOAD:
        return connection.exchange_elsewhere("PUT", url, body=content)
    part = connection.exchange_elsewhere("PUT", url, body=content)
    if not part.is_success:
        return part
    parts = [{"e_tag": part.headers.get("etag", ""), "part_number": 1}]
    done = {"file_size": len(content), "upload_id": start["upload_id"]}
    return post("upload-complete", {**about, **done, "uploaded_file_parts": parts})
