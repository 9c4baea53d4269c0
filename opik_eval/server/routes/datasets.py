"""Datasets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from opik_eval.records import Dataset, utc_now
from opik_eval.server.bodies import Body
from opik_eval.server.context import Context, RequestContext
from opik_eval.server.datasets import SETTINGS, dataset_by_id, dataset_named
from opik_eval.server.failures import conflict
from opik_eval.server.filters import wanted_of
from opik_eval.server.paging import PageWanted, field_of, ordered, sorting_in
from opik_eval.server.payloads import (
    Payload,
    identifier,
    identifiers,
    project_or_default,
    required_text,
    text,
)
from opik_eval.server.projects import Projects
from opik_eval.server.replies import created, done, json_reply
from opik_eval.server.schemas import evaluation, language
from opik_eval.server.schemas.language import takes
from opik_eval.server.views.datasets import dataset_view
from opik_eval.storage.merge import project_key
from opik_eval.storage.query import FieldKind
from opik_eval.storage.wire import dataset_from_wire

router = APIRouter(prefix="/v1/private/datasets", tags=["Datasets"])
_FILTERED: Mapping[str, FieldKind] = {
    **dict.fromkeys(("id", "name", "description", "project_name", "type"), "string"),
    "tags": "list",
    "created_at": "date",
    "last_updated_at": "date",
}
_SORTABLE = ("id", "name", "description", "tags", "created_at", "last_updated_at")


@router.post("", status_code=201, **takes(evaluation.DATASET))
def create_dataset(context: Context, body: Body) -> Response:
    """Create a dataset; its name must be free."""
    payload = body.object()
    name = required_text(payload, "name")
    project = Projects(context).name_from(payload) or project_or_default(payload)
    dataset = dataset_from_wire(
        payload,
        id=identifier(payload.get("id")),
        project_name=project,
        created_at=utc_now(),
        last_updated_at=utc_now(),
    )
    with context.lock:
        if context.storage.find_dataset(name) is not None:
            raise conflict(f"Dataset already exists: {name}")
        context.storage.write([*Projects(context).implied_by(project), dataset])
    return created(f"v1/private/datasets/{dataset.id}")


@router.post("/retrieve", **takes(evaluation.DATASET_NAME))
def retrieve_dataset(context: Context, body: Body) -> Response:
    """Return the dataset of a name, whatever its project."""
    return json_reply(dataset_view(context, dataset_named(context, body.object())))


@router.get("")
def list_datasets(
    context: Context,
    page: PageWanted,
    name: Annotated[str | None, Query()] = None,
    project_id: Annotated[str | None, Query()] = None,
    project_name: Annotated[str | None, Query()] = None,
    sorting: Annotated[str | None, Query()] = None,
    filters: Annotated[str | None, Query()] = None,
) -> Response:
    """List datasets whose name contains a text, the newest first or in a given order."""
    order = sorting_in(sorting, _SORTABLE)
    where = wanted_of(filters, _FILTERED)
    project = Projects(context).name_from({"project_id": project_id, "project_name": project_name})
    found = [
        dataset
        for dataset in context.storage.list_datasets()
        if (name or "").casefold() in dataset.name.casefold()
        and (project is None or project_key(dataset.project_name) == project_key(project))
    ]
    rows = where.decide(reversed(found), vars)
    shown, total = page.cut(ordered(rows, order, lambda row, field: field_of(vars(row), field)))
    return page.reply([dataset_view(context, row) for row in shown], total, _SORTABLE)


@router.post("/delete", status_code=204, **takes(evaluation.DATASET_NAME))
def delete_dataset_named(context: Context, body: Body) -> Response:
    """Delete the dataset of a name, with items and versions; its experiments stay."""
    _remove(context, dataset_named(context, body.object()))
    return done()


@router.post("/delete-batch", status_code=204, **takes(language.IDS))
def delete_datasets(context: Context, body: Body) -> Response:
    """Delete datasets. Unknown ids are no error."""
    ids = set(identifiers(body.object()))
    for dataset in [d for d in context.storage.list_datasets() if d.id in ids]:
        _remove(context, dataset)
    return done()


@router.get("/{dataset_id}")
def read_dataset(context: Context, dataset_id: str) -> Response:
    """Return a dataset."""
    return json_reply(dataset_view(context, dataset_by_id(context, dataset_id)))


@router.put("/{dataset_id}", status_code=204, **takes(evaluation.DATASET_UPDATE))
def update_dataset(context: Context, dataset_id: str, body: Body) -> Response:
    """Change name, description or tags of a dataset."""
    payload = body.object()
    with context.lock:
        dataset = dataset_by_id(context, dataset_id)
        context.storage.write([_updated(dataset, payload)])
    return done()


@router.delete("/{dataset_id}", status_code=204)
def delete_dataset(context: Context, dataset_id: str) -> Response:
    """Delete a dataset with items and versions; its experiments stay. Unknown ids are no error."""
    context.storage.delete_dataset(dataset_id)
    return done()


def _updated(dataset: Dataset, payload: Payload) -> Dataset:
    known = {"description": text(payload, "description"), "tags": payload.get("tags")}
    return dataset_from_wire(
        known,
        id=dataset.id,
        name=required_text(payload, "name"),
        last_updated_at=utc_now(),
    )


def _remove(context: RequestContext, dataset: Dataset) -> None:
    context.storage.delete_dataset(dataset.id)
    documents = context.documents.list_documents(SETTINGS, name=dataset.id)
    context.documents.delete_documents(SETTINGS, [document.id for document in documents])
