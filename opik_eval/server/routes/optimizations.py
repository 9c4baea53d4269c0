"""Runs of optimizers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from opik_eval.records import Optimization, utc_now
from opik_eval.server.bodies import Body
from opik_eval.server.context import Context, RequestContext
from opik_eval.server.datasets import dataset_by_id
from opik_eval.server.failures import not_found
from opik_eval.server.naming import invented_name
from opik_eval.server.paging import PageWanted
from opik_eval.server.payloads import Payload, identifier, identifiers, required_text, text
from opik_eval.server.projects import Projects
from opik_eval.server.replies import created, done, json_reply
from opik_eval.server.schemas import evaluation, language
from opik_eval.server.schemas.language import takes
from opik_eval.server.views.optimizations import optimization_view
from opik_eval.storage.merge import project_key
from opik_eval.storage.wire import optimization_from_wire

router = APIRouter(prefix="/v1/private/optimizations", tags=["Optimizations"])


@router.post("", status_code=201, **takes(evaluation.OPTIMIZATION))
def create_optimization(context: Context, body: Body) -> Response:
    """Create a run."""
    return created(f"v1/private/optimizations/{_write(context, body.object())}")


@router.put("", status_code=201, **takes(evaluation.OPTIMIZATION))
def upsert_optimization(context: Context, body: Body) -> Response:
    """Create or replace a run."""
    return created(f"v1/private/optimizations/{_write(context, body.object())}")


@router.get("")
def list_optimizations(
    context: Context,
    page: PageWanted,
    dataset_id: Annotated[str | None, Query()] = None,
    dataset_name: Annotated[str | None, Query()] = None,
    name: Annotated[str | None, Query()] = None,
    project_id: Annotated[str | None, Query()] = None,
) -> Response:
    """List runs, newest first."""
    if dataset_id is not None:
        dataset_name = dataset_by_id(context, dataset_id).name
    project = Projects(context).name_from({"project_id": project_id})
    found = [
        run
        for run in context.storage.list_optimizations(dataset_name=dataset_name)
        if (name or "").casefold() in (run.name or "").casefold()
        and (project is None or project_key(run.project_name) == project_key(project))
    ]
    rows, total = page.cut(reversed(found))
    return page.reply([optimization_view(context, run) for run in rows], total)


@router.post("/delete", status_code=204, **takes(language.IDS))
def delete_optimizations(context: Context, body: Body) -> Response:
    """Delete runs; their trials stay."""
    context.storage.delete_optimizations(identifiers(body.object()))
    return done()


@router.get("/{optimization_id}")
def read_optimization(context: Context, optimization_id: str) -> Response:
    """Return a run with what its trials reached."""
    found = _find(context, optimization_id)
    return json_reply(optimization_view(context, found))


@router.put("/{optimization_id}", status_code=204, **takes(evaluation.OPTIMIZATION_UPDATE))
def update_optimization(context: Context, optimization_id: str, body: Body) -> Response:
    """Change name, status or metadata of a run."""
    payload = body.object()
    with context.lock:
        found = _find(context, optimization_id)
        named = {name: payload.get(name) for name in ("name", "status", "metadata")}
        changed = optimization_from_wire(named, id=found.id, last_updated_at=utc_now())
        context.storage.write([changed])
    return done()


def _write(context: RequestContext, payload: Payload) -> str:
    optimization_id = identifier(payload.get("id"))
    for name in ("dataset_name", "objective_name", "status"):
        required_text(payload, name)
    run = optimization_from_wire(
        payload,
        id=optimization_id,
        name=text(payload, "name") or invented_name(optimization_id),
        project_name=Projects(context).name_from(payload),
        created_at=utc_now(),
        last_updated_at=utc_now(),
    )
    context.storage.write([*Projects(context).implied_by(run.project_name), run])
    return optimization_id


def _find(context: RequestContext, optimization_id: str) -> Optimization:
    found = context.storage.find_optimization(identifier(optimization_id))
    if found is None:
        raise not_found("Optimization", optimization_id)
    return found
