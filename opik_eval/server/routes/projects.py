"""Projects."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from opik_eval.records import Document, Project, utc_now
from opik_eval.server.bodies import Body
from opik_eval.server.context import Context, RequestContext
from opik_eval.server.failures import conflict, not_found
from opik_eval.server.paging import PageWanted, field_of, ordered, sorting_in
from opik_eval.server.payloads import Payload, identifiers, required_text, text
from opik_eval.server.projects import REMOVED, Projects
from opik_eval.server.replies import created, done, json_reply
from opik_eval.server.schemas import language, tracing
from opik_eval.server.schemas.language import takes
from opik_eval.storage.merge import implied_project
from opik_eval.storage.wire import project_to_wire

router = APIRouter(prefix="/v1/private/projects", tags=["Projects"])
_SORTABLE = ("id", "name", "description", "created_at", "last_updated_at", "last_updated_trace_at")
_CHUNK = 1000


@router.get("")
def list_projects(
    context: Context,
    page: PageWanted,
    name: Annotated[str | None, Query()] = None,
    sorting: Annotated[str | None, Query()] = None,
) -> Response:
    """List projects whose name contains a text, the newest first or in a given order."""
    order = sorting_in(sorting, _SORTABLE)
    views = [
        project_view(project)
        for project in Projects(context).list()
        if (name or "").casefold() in project.name.casefold()
    ]
    found, total = page.cut(ordered(reversed(views), order, field_of))
    return page.reply(found, total, _SORTABLE)


@router.post("", status_code=201, **takes(tracing.PROJECT))
def create_project(context: Context, body: Body) -> Response:
    """Create a project."""
    payload = body.object()
    name = required_text(payload, "name")
    with context.lock:
        if Projects(context).find(name) is not None:
            raise conflict(f"Project already exists: {name}")
        project = _written(implied_project(name).record().id, name, payload)
        context.storage.write([project])
        context.documents.delete_documents(REMOVED, [project.id])
    return created(f"v1/private/projects/{project.id}")


@router.post("/retrieve", **takes(tracing.PROJECT))
def retrieve_project(context: Context, body: Body) -> Response:
    """Return the project of a name."""
    name = required_text(body.object(), "name")
    found = Projects(context).find(name)
    if found is None:
        raise not_found("Project", name)
    return json_reply(project_view(found))


@router.post("/delete", status_code=204, **takes(language.IDS))
def delete_projects(context: Context, body: Body) -> Response:
    """Delete projects with their traces. Unknown ids are no error."""
    wanted = set(identifiers(body.object()))
    for project in [p for p in Projects(context).list() if p.id in wanted]:
        remove_project(context, project)
    return done()


@router.get("/{project_id}")
def read_project(context: Context, project_id: str) -> Response:
    """Return the project of an id."""
    return json_reply(project_view(Projects(context).get(project_id)))


@router.patch(
    "/{project_id}", status_code=204, **takes(language.one(**tracing.PROJECT["properties"]))
)
def patch_project(context: Context, project_id: str, body: Body) -> Response:
    """Change the description of a project. Its name is what its traces refer to, and stays."""
    payload = body.object()
    with context.lock:
        project = Projects(context).get(project_id)
        name = text(payload, "name")
        if name is not None and name.casefold() != project.name.casefold():
            raise conflict(f"Project {project.name!r} cannot be renamed: its traces name it")
        context.storage.write([_written(project.id, name or project.name, payload)])
    return done()


@router.delete("/{project_id}", status_code=204)
def delete_project(context: Context, project_id: str) -> Response:
    """Delete a project with its traces."""
    remove_project(context, Projects(context).get(project_id))
    return done()


def remove_project(context: RequestContext, project: Project) -> None:
    """Delete the traces of a project and mark it as deleted."""
    storage = context.storage
    while ids := [t.id for t in storage.list_traces(project_name=project.name, limit=_CHUNK)]:
        storage.delete_traces(ids)
    mark = Document(id=project.id, kind=REMOVED, name=project.name, body={}, created_at=utc_now())
    context.documents.put_documents([mark])


def project_view(project: Project) -> dict[str, object]:
    """Return a project as clients see it."""
    return {"visibility": "private", **project_to_wire(project)}


def _written(project_id: str, name: str, payload: Payload) -> Project:
    return Project(
        id=project_id,
        name=name,
        description=text(payload, "description"),
        created_at=utc_now(),
        last_updated_at=utc_now(),
    )
