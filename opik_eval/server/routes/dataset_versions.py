"""Versions of datasets."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from opik_eval.server.bodies import Body
from opik_eval.server.context import Context, RequestContext
from opik_eval.server.datasets import LATEST, Versions, dataset_by_id
from opik_eval.server.failures import RefusedError, bad_request, conflict, not_found
from opik_eval.server.paging import PageWanted
from opik_eval.server.payloads import required_text, text, texts
from opik_eval.server.replies import done, json_reply
from opik_eval.server.schemas import evaluation
from opik_eval.server.schemas.language import takes

router = APIRouter(prefix="/v1/private/datasets/{dataset_id}/versions", tags=["Dataset versions"])


@router.get("")
def list_versions(context: Context, dataset_id: str, page: PageWanted) -> Response:
    """List the versions of a dataset, newest first."""
    versions = _versions(context, dataset_id)
    rows, total = page.cut(reversed(versions.stored))
    return page.reply([versions.view(row) for row in rows], total)


@router.post("/retrieve", **takes(evaluation.VERSION_NAME))
def retrieve_version(context: Context, dataset_id: str, body: Body) -> Response:
    """Return the version of a name such as ``v3``."""
    name = required_text(body.object(), "version_name")
    versions = _versions(context, dataset_id)
    for version in versions.stored:
        if version.name == name:
            return json_reply(versions.view(version))
    raise not_found("Dataset version", name)


@router.get("/diff")
def compare_versions(
    context: Context,
    dataset_id: str,
    from_hash_or_tag: Annotated[str, Query(alias="from")],
    to_hash_or_tag: Annotated[str | None, Query(alias="to")] = None,
) -> Response:
    """Count what differs between two versions."""
    versions = _versions(context, dataset_id)
    before = _contents(context, versions, from_hash_or_tag)
    after = _contents(context, versions, to_hash_or_tag or LATEST)
    changed = {i for i in before.keys() & after.keys() if before[i] != after[i]}
    statistics = {
        "items_added": len(after.keys() - before.keys()),
        "items_modified": len(changed),
        "items_deleted": len(before.keys() - after.keys()),
        "items_unchanged": len(before.keys() & after.keys()) - len(changed),
    }
    return json_reply(
        {
            "from_version": from_hash_or_tag,
            "to_version": to_hash_or_tag or LATEST,
            "statistics": statistics,
        }
    )


@router.post("/restore", **takes(evaluation.VERSION_REF))
def restore_version(context: Context, dataset_id: str, body: Body) -> Response:
    """Make a new version with the items of an older one."""
    name = required_text(body.object(), "version_ref")
    with context.lock:
        versions = _versions(context, dataset_id)
        number = versions.number(name)
        if number is not None:
            items = list(context.storage.list_dataset_items(dataset_id, version=number))
            context.storage.change_items(
                dataset_id,
                delete="all",
                upsert=items,
                change_description=f"Restored {name}",
            )
        after = _versions(context, dataset_id)
        if after.latest is None:
            raise not_found("Dataset version", name)
        return json_reply(after.view(after.latest))


@router.patch("/hash/{version_hash}", **takes(evaluation.VERSION_UPDATE))
def update_version(context: Context, dataset_id: str, version_hash: str, body: Body) -> Response:
    """Change the description of a version or add tags to it."""
    payload = body.object()
    tags = texts(payload, "tags_to_add") if payload.get("tags_to_add") else []
    with context.lock:
        _tag(context, dataset_id, version_hash, tags)
    if text(payload, "change_description") is not None:
        raise bad_request("the description of a version cannot be changed")
    versions = _versions(context, dataset_id)
    found = versions.find(version_hash)
    return json_reply(None if found is None else versions.view(found))


@router.post("/hash/{version_hash}/tags", status_code=204, **takes(evaluation.VERSION_TAG))
def add_tag(context: Context, dataset_id: str, version_hash: str, body: Body) -> Response:
    """Tag a version; tags are unique within a dataset."""
    with context.lock:
        _tag(context, dataset_id, version_hash, [required_text(body.object(), "tag")])
    return done()


@router.delete("/{version_hash}/tags/{tag}", status_code=204)
def remove_tag(context: Context, dataset_id: str, version_hash: str, tag: str) -> Response:
    """Take a tag off a version."""
    with context.lock:
        versions = _versions(context, dataset_id)
        found = versions.find(version_hash)
        if found is None:
            raise not_found("Dataset version", version_hash)
        kept = [name for name in versions.tags(found) if name != tag]
        versions.change_settings(found, {"tags": kept})
    return done()


def _tag(context: RequestContext, dataset_id: str, version_hash: str, tags: list[str]) -> None:
    versions = _versions(context, dataset_id)
    found = versions.find(version_hash)
    if found is None:
        raise not_found("Dataset version", version_hash)
    for tag in tags:
        if tag == LATEST:
            raise RefusedError(422, f"{LATEST!r} is always the newest version")
        if any(tag in versions.tags(other) for other in versions.stored):
            raise conflict(f"Tag already exists: {tag}")
    versions.change_settings(found, {"tags": [*versions.tags(found), *tags]})


def _contents(context: RequestContext, versions: Versions, name: str) -> dict[str, str | None]:
    number = versions.number(name)
    items = context.storage.list_dataset_items(versions.dataset_id, version=number)
    return {item.id: item.content_hash for item in items}


def _versions(context: RequestContext, dataset_id: str) -> Versions:
    return Versions(context, dataset_by_id(context, dataset_id).id)
