"""Experiments."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from opik_eval.records import Experiment, utc_now
from opik_eval.server.bodies import Body
from opik_eval.server.context import Context, RequestContext
from opik_eval.server.datasets import dataset_or_new
from opik_eval.server.failures import bad_request, conflict, not_found
from opik_eval.server.filters import wanted
from opik_eval.server.naming import invented_name
from opik_eval.server.paging import PageWanted, cursor_in, field_of, ordered, sorting_in
from opik_eval.server.payloads import Payload, identifier, identifiers, required_text, text
from opik_eval.server.projects import Projects
from opik_eval.server.prompts import prompt_versions
from opik_eval.server.replies import created, done, json_reply, lines_reply
from opik_eval.server.schemas import evaluation, language
from opik_eval.server.schemas.language import takes
from opik_eval.server.views.experiments import ExperimentViews
from opik_eval.server.writing import tags_after
from opik_eval.storage.merge import project_key
from opik_eval.storage.query import matches
from opik_eval.storage.wire import experiment_from_wire

router = APIRouter(prefix="/v1/private/experiments", tags=["Experiments"])
_SORTABLE = (
    *("id", "name", "created_at", "last_updated_at", "trace_count", "tags", "type", "status"),
    *("total_estimated_cost", "duration.p50", "feedback_scores.*", "experiment_scores.*"),
)


@dataclass(frozen=True)
class ExperimentQuery:
    """The query of a list of experiments."""

    dataset_id: Annotated[str | None, Query(alias="datasetId")] = None
    optimization_id: Annotated[str | None, Query()] = None
    types: Annotated[str | None, Query()] = None
    name: Annotated[str | None, Query()] = None
    project_id: Annotated[str | None, Query()] = None
    experiment_ids: Annotated[str | None, Query()] = None
    filters: Annotated[str | None, Query()] = None
    sorting: Annotated[str | None, Query()] = None


ExperimentsWanted = Annotated[ExperimentQuery, Depends()]


@router.post("", status_code=201, **takes(evaluation.EXPERIMENT))
def create_experiment(context: Context, body: Body) -> Response:
    """Create an experiment; one without a name gets one. A known id changes nothing."""
    payload = body.object()
    experiment_id = identifier(payload.get("id"))
    if context.storage.find_experiment(experiment_id) is None:
        experiment = new_experiment(context, payload, experiment_id)
        projects = Projects(context).implied_by(experiment.project_name)
        context.storage.write([*projects, experiment])
    return created(f"v1/private/experiments/{experiment_id}")


@router.post("/finish", status_code=204, **takes(language.IDS))
def finish_experiments(context: Context, body: Body) -> Response:
    """Mark experiments as completed unless they say something else."""
    with context.lock:
        for experiment_id in identifiers(body.object()):
            found = context.storage.find_experiment(experiment_id)
            if found is not None and found.status in (None, "running"):
                changed = {"status": "completed", "last_updated_at": utc_now()}
                context.storage.write([Experiment(id=experiment_id, **changed)])
    return done()


@router.post("/stream", **takes(evaluation.EXPERIMENT_STREAM))
def stream_experiments(context: Context, request: Request, body: Body) -> Response:
    """Stream experiments whose name contains a text, newest first, one JSON object a line."""
    payload = body.object()
    cursor = cursor_in(payload, request.app.state.settings.max_page_size)
    name = required_text(payload, "name").casefold()
    project = Projects(context).name_from(payload)
    found = (
        experiment
        for experiment in context.storage.list_experiments()
        if name in (experiment.name or "").casefold() and _is_in(experiment, project)
    )
    rows = cursor.cut(found, lambda experiment: experiment.id)
    return lines_reply(ExperimentViews(context).of(rows))


@router.post("/delete", status_code=204, **takes(language.IDS))
def delete_experiments(context: Context, body: Body) -> Response:
    """Delete experiments with their items; traces stay."""
    context.storage.delete_experiments(identifiers(body.object()))
    return done()


@router.get("")
def list_experiments(context: Context, page: PageWanted, query: ExperimentsWanted) -> Response:
    """List experiments, newest first or in a given order."""
    order = sorting_in(query.sorting, _SORTABLE)
    where = wanted(query.filters, "experiment")
    found = [e for e in _listed(context, query) if matches(where.stored, e)]
    views = ExperimentViews(context)
    if not order and not where.own:
        rows, total = page.cut(found)
        return page.reply(views.of(rows), total, _SORTABLE)
    chosen = where.decide(views.of(found), _scores_of)
    shown, total = page.cut(ordered(chosen, order, field_of))
    return page.reply(shown, total, _SORTABLE)


@router.get("/{experiment_id}")
def read_experiment(context: Context, experiment_id: str) -> Response:
    """Return an experiment with the means of its scores."""
    found = experiment_by_id(context, identifier(experiment_id))
    return json_reply(ExperimentViews(context).of([found])[0])


@router.patch("/{experiment_id}", status_code=204, **takes(evaluation.EXPERIMENT_UPDATE))
def patch_experiment(context: Context, experiment_id: str, body: Body) -> Response:
    """Change an experiment."""
    payload = body.object()
    with context.lock:
        found = experiment_by_id(context, identifier(experiment_id))
        given: dict[str, object] = {"id": found.id, "last_updated_at": utc_now()}
        tags = tags_after(payload, found.tags)
        if tags is not None:
            given["tags"] = tags
        context.storage.write([experiment_from_wire(payload, **given)])
    return done()


def experiment_by_id(context: RequestContext, experiment_id: str) -> Experiment:
    """Return the experiment of an id.

    Raises:
        RefusedError: There is none (404).
    """
    found = context.storage.find_experiment(experiment_id)
    if found is None:
        raise not_found("Experiment", experiment_id)
    return found


def new_experiment(context: RequestContext, payload: Payload, experiment_id: str) -> Experiment:
    """Return the experiment that a payload creates; its dataset is made if it is not there yet.

    Raises:
        RefusedError: It names prompt versions that are not there (409).
    """
    dataset = dataset_or_new(context, {**payload, "dataset_id": None})
    project = Projects(context).name_from(payload) or dataset.project_name
    experiment = experiment_from_wire(
        payload,
        id=experiment_id,
        name=text(payload, "name") or invented_name(experiment_id),
        dataset_id=dataset.id,
        dataset_name=dataset.name,
        project_name=project,
        type=text(payload, "type") or "regular",
        status=text(payload, "status") or "running",
        created_at=utc_now(),
        last_updated_at=utc_now(),
    )
    known = {version.id for _, version in prompt_versions(context)}
    for version_id in experiment.prompt_version_ids or ():
        if version_id not in known:
            raise conflict(f"Prompt version not found: {version_id}")
    return experiment


def names_in(given: str | None, field: str) -> list[str] | None:
    """Return the texts of a JSON list in a query, or of one text; ``None`` for no text.

    Raises:
        RefusedError: It is no such list (400).
    """
    if not given:
        return None
    if not given.startswith("["):
        return given.split(",")
    try:
        found = json.loads(given)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise bad_request(f"{field} must be a JSON list of texts")
    return found


def _listed(context: RequestContext, query: ExperimentQuery) -> Iterable[Experiment]:
    types = names_in(query.types, "types")
    ids = names_in(query.experiment_ids, "experiment_ids")
    project = Projects(context).name_from({"project_id": query.project_id})
    name = (query.name or "").casefold()
    for experiment in context.storage.list_experiments(
        optimization_id=query.optimization_id, newest_first=True
    ):
        if (
            (query.dataset_id is None or experiment.dataset_id == query.dataset_id)
            and (types is None or (experiment.type or "regular") in types)
            and (ids is None or experiment.id in ids)
            and name in (experiment.name or "").casefold()
            and _is_in(experiment, project)
        ):
            yield experiment


def _is_in(experiment: Experiment, project: str | None) -> bool:
    return project is None or project_key(experiment.project_name) == project_key(project)


def _scores_of(view: Mapping[str, object]) -> Mapping[str, object]:
    scores = view.get("feedback_scores")
    assert isinstance(scores, list)
    return {"feedback_scores": {score["name"]: [score["value"]] for score in scores}}
