"""Items of experiments, one by one, in bulk and compared."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from opik_eval.ids import new_id
from opik_eval.records import DatasetItem, ExperimentItem, Trace, utc_now
from opik_eval.server.bodies import Body
from opik_eval.server.context import Context, RequestContext
from opik_eval.server.datasets import Versions, dataset_by_id
from opik_eval.server.failures import RefusedError, bad_request, conflict, not_found
from opik_eval.server.filters import text_search, wanted
from opik_eval.server.paging import PageWanted, cursor_in
from opik_eval.server.payloads import (
    Payload,
    identifier,
    identifiers,
    objects,
    project_or_default,
    required_identifier,
    required_text,
)
from opik_eval.server.replies import done, json_reply, lines_reply
from opik_eval.server.routes.experiments import names_in, new_experiment
from opik_eval.server.schemas import evaluation, language
from opik_eval.server.schemas.language import takes
from opik_eval.server.views.datasets import columns_of, item_view
from opik_eval.server.views.experiments import ExperimentItemViews
from opik_eval.server.writing import new_span, new_trace
from opik_eval.storage.base import Writable
from opik_eval.storage.query import matches
from opik_eval.storage.wire import experiment_item_from_wire, feedback_score_from_wire

router = APIRouter(prefix="/v1/private", tags=["Experiment items"])
_MAX_PARTS = 100


@router.post("/experiments/items", status_code=204, **takes(evaluation.EXPERIMENT_ITEMS))
def write_items(context: Context, body: Body) -> Response:
    """Write items of experiments, which need not be there yet."""
    items = [_item(payload) for payload in objects(body.object(), "experiment_items")]
    context.storage.write(items)
    return done()


@router.put("/experiments/items/bulk", status_code=204, **takes(evaluation.EXPERIMENT_BULK))
def write_bulk(context: Context, body: Body) -> Response:
    """Write items of one experiment with their traces, spans and scores, all or nothing."""
    payload = body.object()
    name = required_text(payload, "experiment_name")
    experiment_id = identifier(payload.get("experiment_id"))
    records: list[Writable] = []
    for position, item in enumerate(objects(payload, "items")):
        records += _bulk_item(
            item, experiment_id, project_or_default(payload), f"items[{position}]"
        )
    with context.lock:
        known = context.storage.find_experiment(experiment_id)
        if known is None:
            experiment = new_experiment(context, {**payload, "name": name}, experiment_id)
            records = [experiment, *records]
        elif known.dataset_name not in (None, payload.get("dataset_name")):
            raise conflict(
                f"Experiment {experiment_id} belongs to the dataset {known.dataset_name!r}"
            )
        context.storage.write(records)
    return done()


@router.post("/experiments/items/delete", status_code=204, **takes(language.IDS))
def delete_items(context: Context, body: Body) -> Response:
    """Delete items of experiments; their traces stay."""
    context.storage.delete_experiment_items(identifiers(body.object()))
    return done()


@router.post("/experiments/items/stream", **takes(evaluation.EXPERIMENT_ITEM_STREAM))
def stream_items(context: Context, request: Request, body: Body) -> Response:
    """Stream the items of all experiments of a name, newest first, one JSON object a line."""
    payload = body.object()
    cursor = cursor_in(payload, request.app.state.settings.max_page_size)
    name = required_text(payload, "experiment_name")
    found = (
        item
        for experiment in context.storage.list_experiments(name=name)
        for item in context.storage.list_experiment_items(experiment.id)
    )
    rows = cursor.cut(found, lambda item: item.id)
    return lines_reply(ExperimentItemViews(context).of(rows))


@router.get("/experiments/items/{item_id}")
def read_item(context: Context, item_id: str) -> Response:
    """Return an item of an experiment."""
    found = context.pages.find_by_id(ExperimentItem, item_id)
    if found is None:
        raise not_found("Experiment item", item_id)
    return json_reply(ExperimentItemViews(context).of([found])[0])


@router.get("/datasets/{dataset_id}/items/experiments/items")
def compare_items(
    context: Context,
    dataset_id: str,
    page: PageWanted,
    experiment_ids: Annotated[str, Query()],
    filters: Annotated[str | None, Query()] = None,
    search: Annotated[str | None, Query()] = None,
) -> Response:
    """List the items of a dataset, each with what experiments made of it."""
    dataset = dataset_by_id(context, dataset_id)
    ids = names_in(experiment_ids, "experiment_ids") or []
    if not ids:
        raise bad_request("experiment_ids must name at least one experiment")
    found: dict[str, list[ExperimentItem]] = {}
    for experiment_id in ids:
        for result in context.storage.list_experiment_items(experiment_id):
            found.setdefault(result.dataset_item_id, []).append(result)
    where = wanted(filters, "dataset_item").also(*text_search(search, "full_data"))
    present = (item for item in _items_of(context, dataset.id, ids) if item.id in found)
    matching = (item for item in present if matches(where.stored, item))
    rows, total = page.cut(where.decide(matching, lambda _: {"created_by": context.user}))
    results = [result for item in rows for result in found[item.id]]
    views = {str(v["id"]): v for v in ExperimentItemViews(context).of(results)}
    content = [
        {
            **item_view(item, dataset.id),
            "dataset_item_id": item.id,
            "experiment_items": [views[result.id] for result in found[item.id]],
        }
        for item in rows
    ]
    return page.reply(content, total, columns=columns_of(rows))


def _items_of(
    context: RequestContext, dataset_id: str, experiment_ids: list[str]
) -> list[DatasetItem]:
    """Return the items of a dataset in all versions that experiments used, the latest last.

    An item that was changed or deleted since is shown as the newest of those versions has it.
    """
    versions = Versions(context, dataset_id)
    used = {
        experiment.dataset_version_id
        for experiment_id in experiment_ids
        if (experiment := context.storage.find_experiment(experiment_id)) is not None
    }
    numbers = [version.number for version in versions.stored if version.id in used]
    found: dict[str, DatasetItem] = {}
    for number in (*numbers, None) if None in used or not numbers else numbers:
        for item in context.storage.list_dataset_items(dataset_id, version=number):
            found[item.id] = item
    return list(found.values())


def _item(payload: Payload) -> ExperimentItem:
    names = ("experiment_id", "dataset_item_id", "trace_id")
    given = {name: required_identifier(payload, name) for name in names}
    item_id = identifier(payload.get("id"))
    return experiment_item_from_wire(payload, id=item_id, created_at=utc_now(), **given)


def _bulk_item(
    payload: Payload, experiment_id: str, project_name: str, where: str
) -> list[Writable]:
    """Return the records of one element of a bulk upload.

    Raises:
        RefusedError: It holds both a result and a trace, or too many parts (422).
    """
    item_id = required_identifier(payload, "dataset_item_id")
    result, given = payload.get("evaluate_task_result"), payload.get("trace")
    if result is not None and given is not None:
        raise RefusedError(422, f"{where}: give either evaluate_task_result or trace, not both")
    if isinstance(given, dict):
        trace = new_trace({**given, "project_name": given.get("project_name") or project_name})
    elif given is None:
        now = utc_now()
        trace = Trace(
            id=new_id(),
            name="evaluation_task",
            project_name=project_name,
            output=result,
            start_time=now,
            end_time=now,
            source="experiment",
        )
    else:
        raise RefusedError(422, f"{where}: trace must be an object")
    records: list[Writable] = [trace]
    for span in _parts(payload, "spans"):
        project = span.get("project_name") or trace.project_name
        records.append(new_span({**span, "trace_id": trace.id, "project_name": project}))
    for score in _parts(payload, "feedback_scores"):
        given_score = {"entity_type": "trace", "entity_id": trace.id}
        records.append(feedback_score_from_wire(score, **given_score))
    item = {"id": new_id(), "experiment_id": experiment_id, "dataset_item_id": item_id}
    records.append(_item({**item, "trace_id": trace.id, "project_name": trace.project_name}))
    return records


def _parts(payload: Payload, name: str) -> list[Payload]:
    return list(objects(payload, name, most=_MAX_PARTS)) if payload.get(name) else []
