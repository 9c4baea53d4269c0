"""Items of datasets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from opik_eval.records import Dataset, DatasetItem
from opik_eval.server.bodies import Body
from opik_eval.server.context import Context, RequestContext
from opik_eval.server.datasets import Versions, dataset_by_id, dataset_named, dataset_or_new
from opik_eval.server.failures import RefusedError, bad_request, not_found
from opik_eval.server.filters import text_search, wanted
from opik_eval.server.paging import PageWanted, cursor_in
from opik_eval.server.payloads import Payload, identifier, identifiers, objects, text
from opik_eval.server.replies import done, json_reply, lines_reply
from opik_eval.server.schemas import evaluation
from opik_eval.server.schemas.language import takes
from opik_eval.server.views.datasets import columns_of, item_view
from opik_eval.server.writing import merged_tags, tags_after
from opik_eval.storage.wire import dataset_item_from_wire

router = APIRouter(prefix="/v1/private/datasets", tags=["Dataset items"])


@router.put("/items", status_code=204, **takes(evaluation.DATASET_ITEMS))
def write_items(context: Context, body: Body) -> Response:
    """Insert or update items; all requests with one ``batch_group_id`` make one version."""
    payload = body.object()
    items = [new_item(item) for item in objects(payload, "items")]
    group = payload.get("batch_group_id")
    context.storage.change_items(
        dataset_or_new(context, payload).id,
        upsert=items,
        group_id=None if group is None else identifier(group, "batch_group_id"),
    )
    return done()


@router.post("/items/stream", **takes(evaluation.DATASET_STREAM))
def stream_items(context: Context, request: Request, body: Body) -> Response:
    """Stream items of a version, the newest ids first, one JSON object a line."""
    payload = body.object()
    most = request.app.state.settings.max_page_size
    cursor = cursor_in(payload, most, limit="steam_limit")
    where = wanted(payload.get("filters"), "dataset_item")
    dataset = dataset_named(context, payload)
    number = Versions(context, dataset.id).number(text(payload, "dataset_version"))
    items = context.storage.list_dataset_items(dataset.id, version=number, where=where.stored)
    rows = cursor.cut(where.decide(items, lambda _: _owners(context)), lambda item: item.id)
    return lines_reply(item_view(item, dataset.id) for item in rows)


@router.post("/items/delete", status_code=204, **takes(evaluation.DATASET_ITEMS_DELETE))
def delete_items(context: Context, body: Body) -> Response:
    """Delete items by id, or those of a dataset that a filter selects; no filter selects all."""
    payload = body.object()
    group = payload.get("batch_group_id")
    group_id = None if group is None else identifier(group, "batch_group_id")
    if payload.get("item_ids") is not None:
        if payload.get("dataset_id") is not None or payload.get("filters") is not None:
            raise RefusedError(422, "give either item_ids, or dataset_id with filters")
        for dataset, ids in _owners_of(context, identifiers(payload, "item_ids")):
            context.storage.change_items(dataset.id, delete=ids, group_id=group_id)
        return done()
    if payload.get("dataset_id") is None:
        raise RefusedError(422, "give either item_ids, or dataset_id with filters")
    dataset = dataset_named(context, payload)
    where = wanted(payload.get("filters"), "dataset_item")
    items = context.storage.list_dataset_items(dataset.id, where=where.stored)
    selected = [item.id for item in where.decide(items, lambda _: _owners(context))]
    context.storage.change_items(dataset.id, delete=selected, group_id=group_id)
    return done()


@router.patch("/items/batch", status_code=204, **takes(evaluation.DATASET_ITEM_UPDATES))
def patch_items(context: Context, body: Body) -> Response:
    """Update several items alike."""
    payload = body.object()
    (update,) = objects({"update": [payload.get("update")]}, "update")
    update = merged_tags(update, merge_tags=payload.get("merge_tags") is True)
    with context.lock:
        for dataset, ids in _owners_of(context, identifiers(payload)):
            chosen = set(ids)
            items = [
                _patched(item, update)
                for item in context.storage.list_dataset_items(dataset.id)
                if item.id in chosen
            ]
            context.storage.change_items(dataset.id, upsert=items)
    return done()


@router.get("/items/{item_id}")
def read_item(context: Context, item_id: str) -> Response:
    """Return an item of the latest version of its dataset."""
    dataset, item = _find(context, identifier(item_id))
    return json_reply(item_view(item, dataset.id))


@router.patch("/items/{item_id}", status_code=204, **takes(evaluation.DATASET_ITEM_UPDATE))
def patch_item(context: Context, item_id: str, body: Body) -> Response:
    """Update an item."""
    with context.lock:
        dataset, item = _find(context, identifier(item_id))
        context.storage.change_items(dataset.id, upsert=[_patched(item, body.object())])
    return done()


@router.get("/{dataset_id}/items")
def list_items(
    context: Context,
    dataset_id: str,
    page: PageWanted,
    version: Annotated[str | None, Query()] = None,
    filters: Annotated[str | None, Query()] = None,
    search: Annotated[str | None, Query()] = None,
) -> Response:
    """List the items of a version in the order of their insertion."""
    dataset = dataset_by_id(context, dataset_id)
    where = wanted(filters, "dataset_item")
    if search:
        where = where.also(*text_search(search, "full_data"))
    number = Versions(context, dataset.id).number(version)
    items = context.storage.list_dataset_items(dataset.id, version=number, where=where.stored)
    rows, total = page.cut(where.decide(items, lambda _: _owners(context)))
    views = [item_view(item, dataset.id) for item in rows]
    return page.reply(views, total, columns=columns_of(rows))


@router.post("/{dataset_id}/items/changes", status_code=201, **takes(evaluation.DATASET_CHANGES))
def change_items(
    context: Context,
    dataset_id: str,
    body: Body,
    override: Annotated[bool, Query()] = False,
) -> Response:
    """Add, edit and delete items and change settings in one step, on top of a base version."""
    payload = body.object()
    dataset = dataset_by_id(context, dataset_id)
    with context.lock:
        versions = Versions(context, dataset.id)
        base = None if override else _base(versions, payload)
        context.storage.change_items(
            dataset.id,
            upsert=_added_and_edited(context, dataset, payload),
            delete=identifiers(payload, "deleted_ids") if payload.get("deleted_ids") else (),
            change_description=text(payload, "change_description"),
            base_version=base,
        )
        names = ("evaluators", "execution_policy", "tags", "change_description")
        settings = {name: payload.get(name) for name in names}
        changed = Versions(context, dataset.id)
        changed.change_settings(changed.latest, settings)
        after = Versions(context, dataset.id)
        latest = after.latest
        if latest is None:
            raise bad_request("the change holds neither items nor settings")
        return json_reply(after.view(latest), 201)


def new_item(payload: Payload) -> DatasetItem:
    """Return the item that a payload describes."""
    return dataset_item_from_wire(payload, id=identifier(payload.get("id")))


def _base(versions: Versions, payload: Payload) -> int:
    """Return the number of the version that a change starts from."""
    named = text(payload, "base_version")
    if named is None:
        raise RefusedError(422, "base_version must be given unless override is true")
    found = versions.find(named)
    return 0 if found is None else found.number


def _added_and_edited(
    context: RequestContext, dataset: Dataset, payload: Payload
) -> Sequence[DatasetItem]:
    added = [new_item(p) for p in _list(payload, "added_items")]
    edits = {identifier(p.get("id")): p for p in _list(payload, "edited_items")}
    if not edits:
        return added
    present = context.storage.list_dataset_items(dataset.id)
    return [*added, *(_patched(item, edits[item.id]) for item in present if item.id in edits)]


def _list(payload: Payload, name: str) -> Sequence[Payload]:
    return objects(payload, name) if payload.get(name) else ()


def _patched(item: DatasetItem, update: Payload) -> DatasetItem:
    tags = tags_after(update, item.tags)
    given: dict[str, object] = {"id": item.id}
    if update.get("data") is None:
        given["data"] = item.data
    if tags is not None:
        given["tags"] = tags
    return dataset_item_from_wire(update, **given)


def _find(context: RequestContext, item_id: str) -> tuple[Dataset, DatasetItem]:
    for dataset_id in context.pages.datasets_of_items([item_id]):
        for item in context.storage.list_dataset_items(dataset_id):
            if item.id == item_id:
                return dataset_by_id(context, dataset_id), item
    raise not_found("Dataset item", item_id)


def _owners_of(context: RequestContext, ids: Sequence[str]) -> list[tuple[Dataset, list[str]]]:
    """Return ids of items by the dataset whose latest version holds them."""
    owners = context.pages.datasets_of_items(ids)
    return [(dataset_by_id(context, owner), [*found]) for owner, found in owners.items()]


def _owners(context: RequestContext) -> dict[str, object]:
    return {"created_by": context.user, "last_updated_by": context.user}
