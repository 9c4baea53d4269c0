"""Our own routes: the storage interface itself, one to one, for our HTTP backend.

Payloads are those of ``storage.wire``; ids are free texts here, and lists have no cap.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from opik_eval.records import DatasetItem, Record
from opik_eval.serialization import dumps
from opik_eval.server.bodies import Body, parse_json
from opik_eval.server.context import Context
from opik_eval.server.failures import bad_request, not_found
from opik_eval.server.payloads import Payload, required_text, text
from opik_eval.server.receiving import received_file
from opik_eval.server.replies import done, json_reply
from opik_eval.server.schemas import documents
from opik_eval.server.schemas.language import takes, takes_bytes
from opik_eval.storage.base import Storage
from opik_eval.storage.query import Entity, parse_filter
from opik_eval.storage.wire import (
    attachment_from_wire,
    dataset_item_from_wire,
    dataset_version_to_wire,
    record_to_wire,
)

router = APIRouter(prefix="/v1/private/opik-eval", tags=["Storage"])
WIRE_VERSION = 2
"""Version 2 takes groups of records (``wire_groups``)."""
_LINES_PER_CHUNK = 500
_CHUNK_BYTES = 1 << 18


@router.get("/info")
async def info() -> Response:
    """Tell that these routes are here."""
    return json_reply({"product": "opik-eval", "wire_version": WIRE_VERSION})


@router.put("/records", status_code=204, **takes(documents.RECORDS))
async def write_records(context: Context, body: Body) -> Response:
    """Write records of any kinds, all or nothing."""

    def write() -> None:
        payloads = body.object().get("records")
        if not isinstance(payloads, list):
            raise bad_request("records must be a list")
        context.payloads.write_payloads(payloads)

    await body.in_turn(context, write)
    return done()


@router.post("/records/find", **takes(documents.RECORD_REFERENCE))
def find_record(context: Context, body: Body) -> Response:
    """Return one record."""
    payload = body.object()
    kind = required_text(payload, "kind")
    field = _FOUND_BY.get(kind)
    if field is None:
        raise bad_request(f"kind must be one of {', '.join(_FOUND_BY)}")
    wanted = payload.get(field)
    if not isinstance(wanted, str):
        raise bad_request(f"a {kind} is found by its {field}")
    found: Record | None = getattr(context.storage, f"find_{kind}")(wanted)
    if found is None:
        raise not_found(kind, wanted)
    return json_reply(record_to_wire(found))


@router.post("/records/list", **takes(documents.RECORD_LIST))
def list_records(context: Context, body: Body) -> Response:
    """Stream records, one JSON object a line; the last line says how many there were."""
    payload = body.object()
    kind = required_text(payload, "kind")
    if kind not in _LISTED:
        raise bad_request(f"kind must be one of {', '.join(_LISTED)}")
    given = payload.get("arguments")
    given = {} if given is None else given
    if not isinstance(given, Mapping):
        raise bad_request("arguments must be an object")
    records = iter(_list(context.storage, kind, given))
    return StreamingResponse(_lines(records), media_type="application/x-ndjson")


@router.post("/records/delete", status_code=204, **takes(documents.RECORD_REFERENCE))
def delete_records(context: Context, body: Body) -> Response:
    """Delete records. Unknown ones are no error."""
    payload = body.object()
    kind, storage = required_text(payload, "kind"), context.storage
    if kind == "feedback_score":
        entity_type = required_text(payload, "entity_type")
        storage.delete_feedback_scores(
            cast("Literal['trace']", entity_type),
            str(payload.get("entity_id")),
            _texts(payload, "names"),
            project_name=text(payload, "project_name"),
        )
    elif kind == "dataset":
        for dataset_id in _texts(payload, "ids"):
            storage.delete_dataset(dataset_id)
    elif kind in _DELETED:
        delete: Callable[[list[str]], None] = getattr(storage, f"delete_{kind}s")
        delete(_texts(payload, "ids"))
    else:
        raise bad_request(f"records of kind {kind!r} cannot be deleted")
    return done()


@router.post("/dataset-changes", **takes(documents.RECORD_CHANGES))
def change_items(context: Context, body: Body) -> Response:
    """Apply one change to the items of a dataset."""
    payload = body.object()
    delete = payload.get("delete") or []
    base = payload.get("base_version")
    if base is not None and (not isinstance(base, int) or isinstance(base, bool)):
        raise bad_request("base_version must be a number")
    version = context.storage.change_items(
        required_text(payload, "dataset_id"),
        upsert=_items(payload.get("upsert")),
        delete="all" if delete == "all" else _texts({"delete": delete}, "delete"),
        skip_known=payload.get("skip_known") is True,
        change_description=text(payload, "change_description"),
        changed_at=_moment(text(payload, "changed_at")),
        group_id=text(payload, "group_id"),
        base_version=base,
    )
    return json_reply({"version": None if version is None else dataset_version_to_wire(version)})


@router.put("/attachments/{attachment_id}", status_code=204, **takes_bytes())
async def write_attachment(
    request: Request, context: Context, attachment_id: str, record: Annotated[str, Query()]
) -> Response:
    """Store a file."""
    payload = parse_json(record.encode("utf-8", "surrogatepass"))
    attachment = attachment_from_wire(cast("Payload", payload), id=attachment_id)
    async with received_file(request) as file:
        await file.in_thread(context.storage.put_attachment, attachment, file.path)
    return done()


@router.get("/attachments/{attachment_id}")
def read_attachment(context: Context, attachment_id: str) -> Response:
    """Return the bytes of a file."""
    content = context.storage.read_attachment(attachment_id)
    return Response(content, media_type="application/octet-stream")


def _list(storage: Storage, kind: str, given: Payload) -> Iterable[Record]:
    method, names = _LISTED[kind]
    unknown = given.keys() - set(names)
    if unknown:
        raise bad_request(f"a list of {kind} has no argument {', '.join(sorted(unknown))}")
    arguments = {name: value for name, value in given.items() if value is not None}
    for name, value in arguments.items():
        if not isinstance(value, names[name]):
            raise bad_request(f"{name} has the wrong type")
    if "where" in arguments:
        arguments["where"] = parse_filter(str(arguments["where"]), cast("Entity", kind))
    required = [arguments.pop(name) for name in _REQUIRED.get(kind, ()) if name in arguments]
    if len(required) < len(_REQUIRED.get(kind, ())):
        raise bad_request(f"a list of {kind} needs {', '.join(_REQUIRED[kind])}")
    find: Callable[..., Iterable[Record]] = getattr(storage, method)
    return find(*required, **arguments)


def _lines(records: Iterator[Record]) -> Iterator[bytes]:
    count, size = 0, 0
    chunk: list[bytes] = []
    for record in records:
        line = dumps(record_to_wire(record), sort_keys=False)
        chunk.append(line)
        count, size = count + 1, size + len(line)
        if len(chunk) >= _LINES_PER_CHUNK or size >= _CHUNK_BYTES:
            yield b"\n".join(chunk) + b"\n"
            chunk, size = [], 0
    chunk.append(json.dumps({"kind": "end", "count": count}).encode())
    yield b"\n".join(chunk) + b"\n"


def _items(payloads: object) -> list[DatasetItem]:
    if payloads is None:
        return []
    if not isinstance(payloads, list):
        raise bad_request("upsert must be a list")
    return [dataset_item_from_wire(payload) for payload in payloads]


def _texts(payload: Payload, name: str) -> list[str]:
    value = payload.get(name)
    if not isinstance(value, list) or not all(isinstance(element, str) for element in value):
        raise bad_request(f"{name} must be a list of texts")
    return value


def _moment(value: str | None) -> datetime | None:
    try:
        return None if value is None else datetime.fromisoformat(value)
    except ValueError:
        raise bad_request(f"changed_at must be an ISO 8601 date, but is {value!r}") from None


_Arguments = Mapping[str, type | tuple[type, ...]]
_PAGED: _Arguments = {"project_name": str, "where": str, "limit": int, "newest_first": bool}
_FOUND_BY: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("trace", "span", "experiment", "optimization"), "id"),
        **dict.fromkeys(("project", "dataset", "prompt"), "name"),
    }
)
_DELETED = frozenset({"trace", "experiment", "experiment_item", "prompt", "optimization"})
_LISTED: Mapping[str, tuple[str, _Arguments]] = MappingProxyType(
    {
        "project": ("list_projects", {}),
        "trace": ("list_traces", _PAGED),
        "span": ("list_spans", {**_PAGED, "trace_ids": list}),
        "thread": ("list_threads", {"project_name": str, "where": str}),
        "feedback_score": (
            "list_feedback_scores",
            {"entity_type": str, "entity_ids": list, "project_name": str},
        ),
        "attachment": ("list_attachments", {"entity_type": str, "entity_id": str}),
        "dataset": ("list_datasets", {}),
        "dataset_item": ("list_dataset_items", {"dataset_id": str, "version": int, "where": str}),
        "dataset_version": ("list_dataset_versions", {"dataset_id": str}),
        "experiment": (
            "list_experiments",
            {"name": str, "dataset_name": str, "optimization_id": str, "newest_first": bool},
        ),
        "experiment_item": ("list_experiment_items", {"experiment_id": str}),
        "prompt": ("list_prompts", {}),
        "prompt_version": ("list_prompt_versions", {"prompt_id": str}),
        "optimization": ("list_optimizations", {"name": str, "dataset_name": str}),
        "score_summary": ("summarize_scores", {"experiment_ids": list}),
    }
)
"""Kinds, the storage's method that lists them, and its arguments with their types."""
_REQUIRED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "feedback_score": ("entity_type",),
        "attachment": ("entity_type", "entity_id"),
        "dataset_item": ("dataset_id",),
        "dataset_version": ("dataset_id",),
        "experiment_item": ("experiment_id",),
        "prompt_version": ("prompt_id",),
        "score_summary": ("experiment_ids",),
    }
)
"""Arguments that must be there, in the order of the method."""
