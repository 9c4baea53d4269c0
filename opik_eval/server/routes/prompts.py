"""Prompts and their versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from opik_eval.records import PromptVersion, utc_now
from opik_eval.server.bodies import Body
from opik_eval.server.context import Context
from opik_eval.server.failures import conflict, not_found
from opik_eval.server.filters import text_search, wanted, wanted_of
from opik_eval.server.paging import PageWanted, field_of, ordered, sorting_in
from opik_eval.server.payloads import identifier, identifiers, objects, required_text, texts
from opik_eval.server.projects import Projects
from opik_eval.server.prompts import (
    chosen_version,
    new_prompt,
    next_version,
    prompt_by_id,
    prompt_view,
    version_by_id,
    version_view,
)
from opik_eval.server.replies import created, done, json_reply
from opik_eval.server.schemas import evaluation, language
from opik_eval.server.schemas.language import takes
from opik_eval.server.writing import merged_tags, tags_after
from opik_eval.storage.base import Writable
from opik_eval.storage.merge import project_key
from opik_eval.storage.query import FieldKind, matches
from opik_eval.storage.wire import prompt_from_wire

router = APIRouter(prefix="/v1/private/prompts", tags=["Prompts"])
_SORTABLE = ("id", "name", "description", "created_at", "last_updated_at", "version_count")
_FILTERED: Mapping[str, FieldKind] = {
    "id": "string",
    "name": "string",
    "description": "string",
    "template_structure": "string",
    "tags": "list",
    "version_count": "number",
}


@router.post("", status_code=201, **takes(evaluation.PROMPT))
def create_prompt(context: Context, body: Body) -> Response:
    """Create a prompt, with its first version if it has a template; the name must be free."""
    payload = {**body.object()}
    payload["id"] = identifier(payload.get("id"))
    with context.lock:
        prompt = new_prompt(context, payload)
        if context.storage.find_prompt(prompt.name) is not None:
            raise conflict(f"Prompt already exists: {prompt.name}")
        records: list[Writable] = [*Projects(context).implied_by(prompt.project_name), prompt]
        if payload.get("template") is not None:
            records.append(next_version(context, prompt, {**payload, "id": None, "tags": None}))
        context.storage.write(records)
    return created(f"v1/private/prompts/{prompt.id}")


@router.get("")
def list_prompts(
    context: Context,
    page: PageWanted,
    name: Annotated[str | None, Query()] = None,
    project_id: Annotated[str | None, Query()] = None,
    sorting: Annotated[str | None, Query()] = None,
    filters: Annotated[str | None, Query()] = None,
) -> Response:
    """List prompts whose name contains a text, the newest first or in a given order."""
    order = sorting_in(sorting, _SORTABLE)
    where = wanted_of(filters, _FILTERED)
    project = Projects(context).name_from({"project_id": project_id})
    views = [
        prompt_view(context, prompt)
        for prompt in context.storage.list_prompts()
        if (name or "").casefold() in prompt.name.casefold()
        and (project is None or project_key(prompt.project_name) == project_key(project))
    ]
    rows = ordered(where.decide(reversed(views), lambda view: view), order, field_of)
    found, total = page.cut(rows)
    return page.reply(found, total, _SORTABLE)


@router.post("/delete", status_code=204, **takes(language.IDS))
def delete_prompts(context: Context, body: Body) -> Response:
    """Delete prompts with their versions."""
    context.storage.delete_prompts(identifiers(body.object()))
    return done()


@router.post("/versions", **takes(evaluation.PROMPT_VERSION))
def create_version(context: Context, body: Body) -> Response:
    """Add a version to a prompt, which is made if it is not there yet."""
    payload = body.object()
    name = required_text(payload, "name")
    (version,) = objects({"version": [payload.get("version")]}, "version")
    with context.lock:
        prompt = context.storage.find_prompt(name)
        records: list[Writable] = []
        if prompt is None:
            prompt = new_prompt(context, {**payload, "id": None})
            records = [*Projects(context).implied_by(prompt.project_name), prompt]
        added = next_version(context, prompt, version)
        context.storage.write([*records, added])
    return json_reply(version_view(prompt, added))


@router.post("/versions/retrieve", **takes(evaluation.PROMPT_VERSION_NAME))
def retrieve_version(context: Context, body: Body) -> Response:
    """Return a version of a prompt: by commit, number or environment, else the latest."""
    payload = body.object()
    name = required_text(payload, "name")
    prompt = context.storage.find_prompt(name)
    found = None if prompt is None else chosen_version(context, prompt, payload)
    if prompt is None or found is None:
        raise not_found("Prompt version", name)
    return json_reply(version_view(prompt, found))


@router.patch("/versions", status_code=204, **takes(evaluation.PROMPT_VERSION_UPDATES))
def patch_versions(context: Context, body: Body) -> Response:
    """Change the tags of versions."""
    payload = body.object()
    (update,) = objects({"update": [payload.get("update")]}, "update")
    update = merged_tags(update, merge_tags=payload.get("merge_tags") is True)
    with context.lock:
        found = [version_by_id(context, i)[1] for i in identifiers(payload)]
        for version in found:
            tags = tags_after(update, version.tags)
            tags = texts({"tags": update["tags"]}, "tags") if update.get("tags") else tags
            context.storage.write([_changed(version, tags=tags)])
    return done()


@router.get("/versions/{version_id}")
def read_version(context: Context, version_id: str) -> Response:
    """Return a version by its id."""
    return json_reply(version_view(*version_by_id(context, version_id)))


@router.patch(
    "/versions/{version_id}/environments", status_code=204, **takes(evaluation.ENVIRONMENTS)
)
def set_environments(context: Context, version_id: str, body: Body) -> Response:
    """Make a version the one of some environments; other versions of the prompt lose them."""
    payload = body.object()
    names = texts(payload, "environments") if payload.get("environments") else []
    with context.lock:
        prompt, chosen = version_by_id(context, version_id)
        changed = [_changed(chosen, environments=names)]
        for other in context.storage.list_prompt_versions(prompt.id):
            kept = [name for name in other.environments or () if name not in names]
            if other.id != chosen.id and len(kept) < len(other.environments or ()):
                changed.append(_changed(other, environments=kept))
        context.storage.write(changed)
    return done()


@router.get("/by-commit/{commit}")
def read_commit(context: Context, commit: str) -> Response:
    """Return the prompt that has a version of a commit."""
    for prompt in context.storage.list_prompts():
        for version in context.storage.list_prompt_versions(prompt.id):
            if version.commit == commit:
                view = prompt_view(context, prompt)
                return json_reply({**view, "requested_version": version_view(prompt, version)})
    raise not_found("Prompt version", commit)


@router.get("/{prompt_id}")
def read_prompt(context: Context, prompt_id: str) -> Response:
    """Return a prompt with its latest version."""
    return json_reply(prompt_view(context, prompt_by_id(context, prompt_id)))


@router.put("/{prompt_id}", status_code=204, **takes(evaluation.PROMPT_UPDATE))
def update_prompt(context: Context, prompt_id: str, body: Body) -> Response:
    """Change name, description or tags of a prompt."""
    payload = body.object()
    with context.lock:
        prompt = prompt_by_id(context, prompt_id)
        named = {name: payload.get(name) for name in ("description", "tags")}
        updated = prompt_from_wire(
            named,
            id=prompt.id,
            name=required_text(payload, "name"),
            last_updated_at=utc_now(),
        )
        context.storage.write([updated])
    return done()


@router.delete("/{prompt_id}", status_code=204)
def delete_prompt(context: Context, prompt_id: str) -> Response:
    """Delete a prompt with its versions. Unknown ids are no error."""
    context.storage.delete_prompts([prompt_id])
    return done()


@router.get("/{prompt_id}/versions")
def list_versions(
    context: Context,
    prompt_id: str,
    page: PageWanted,
    search: Annotated[str | None, Query()] = None,
    filters: Annotated[str | None, Query()] = None,
) -> Response:
    """List the versions of a prompt, newest first."""
    where = wanted(filters, "prompt_version").also(
        *text_search(search, "template", "change_description", "commit")
    )
    prompt = prompt_by_id(context, prompt_id)
    versions = reversed(list(context.storage.list_prompt_versions(prompt.id)))
    matching = (version for version in versions if matches(where.stored, version))
    rows, total = page.cut(where.decide(matching, lambda _: {"created_by": context.user}))
    return page.reply([version_view(prompt, version) for version in rows], total)


def _changed(version: PromptVersion, **fields: list[str] | None) -> PromptVersion:
    lists = {name: tuple(value) for name, value in fields.items() if value is not None}
    return version.model_copy(update={**lists, "last_updated_at": utc_now()})
