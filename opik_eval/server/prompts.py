"""Prompts and their versions, as requests name them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from opik_eval.ids import new_id
from opik_eval.records import Prompt, PromptVersion, utc_now
from opik_eval.serialization import content_hash
from opik_eval.server.context import RequestContext
from opik_eval.server.failures import RefusedError, conflict, not_found
from opik_eval.server.payloads import Payload, required_text, text
from opik_eval.server.projects import Projects
from opik_eval.storage.wire import (
    prompt_from_wire,
    prompt_to_wire,
    prompt_version_from_wire,
    prompt_version_to_wire,
)

_VARIABLE = re.compile(r"\{\{\s*[#^/&]?\s*([\w.]+)\s*\}\}")
_PYTHON_VARIABLE = re.compile(r"(?<!\{)\{(\w+)\}(?!\})")


def prompt_versions(context: RequestContext) -> Iterator[tuple[Prompt, PromptVersion]]:
    """Yield every version of every prompt."""
    for prompt in context.storage.list_prompts():
        for version in context.storage.list_prompt_versions(prompt.id):
            yield prompt, version


def prompt_by_id(context: RequestContext, prompt_id: str) -> Prompt:
    """Return the prompt of an id.

    Raises:
        RefusedError: There is none (404).
    """
    found = context.pages.find_by_id(Prompt, prompt_id)
    if found is None:
        raise not_found("Prompt", prompt_id)
    return found


def version_by_id(context: RequestContext, version_id: str) -> tuple[Prompt, PromptVersion]:
    """Return the version of an id, with its prompt.

    Raises:
        RefusedError: There is none (404).
    """
    found = context.pages.find_by_id(PromptVersion, version_id)
    if found is None:
        raise not_found("Prompt version", version_id)
    return prompt_by_id(context, found.prompt_id), found


def new_prompt(context: RequestContext, payload: Payload) -> Prompt:
    """Return the prompt that a payload creates, without its first version."""
    return prompt_from_wire(
        {name: payload.get(name) for name in ("description", "tags")},
        id=text(payload, "id") or new_id(),
        name=required_text(payload, "name"),
        project_name=Projects(context).name_from(payload),
        template_structure=text(payload, "template_structure") or "text",
        created_at=utc_now(),
        last_updated_at=utc_now(),
    )


def next_version(context: RequestContext, prompt: Prompt, payload: Payload) -> PromptVersion:
    """Return the version that a payload adds to a prompt.

    Raises:
        RefusedError: The template is missing (422), or the id is taken (409).
    """
    template = required_text(payload, "template")
    before = list(context.storage.list_prompt_versions(prompt.id))
    number = before[-1].number + 1 if before else 1
    version_id = text(payload, "id") or new_id()
    if any(version.id == version_id for version in before):
        raise conflict(f"Prompt version already exists: {version_id}")
    named = {name: payload.get(name) for name in ("metadata", "change_description", "tags")}
    return prompt_version_from_wire(
        named,
        id=version_id,
        prompt_id=prompt.id,
        number=number,
        template=template,
        type=text(payload, "type") or "mustache",
        commit=content_hash([template, payload.get("type"), number])[:8],
        created_at=utc_now(),
        last_updated_at=utc_now(),
    )


def chosen_version(
    context: RequestContext, prompt: Prompt, payload: Payload
) -> PromptVersion | None:
    """Return the version of a prompt that a payload asks for; the latest by default.

    Raises:
        RefusedError: It asks in several ways at once (422).
    """
    names = ("commit", "version_number", "environment")
    asked = {name: value for name in names if (value := text(payload, name))}
    if len(asked) > 1:
        raise RefusedError(422, f"give only one of {', '.join(asked)}")
    for version in reversed(list(context.storage.list_prompt_versions(prompt.id))):
        if all(_answers(version, name, value) for name, value in asked.items()):
            return version
    return None


def prompt_view(context: RequestContext, prompt: Prompt) -> dict[str, object]:
    """Return a prompt as clients see it."""
    versions = list(context.storage.list_prompt_versions(prompt.id))
    return {
        "template_structure": "text",
        **prompt_to_wire(prompt),
        "project_id": Projects(context).id_of(prompt.project_name),
        "version_count": len(versions),
        "latest_version": version_view(prompt, versions[-1]) if versions else None,
    }


def version_view(prompt: Prompt, version: PromptVersion) -> dict[str, object]:
    """Return a version of a prompt as clients see it."""
    view = {"type": version.type, **prompt_version_to_wire(version)}
    view["template_structure"] = prompt.template_structure or "text"
    view["variables"] = variables_of(version)
    return view


def variables_of(version: PromptVersion) -> list[str]:
    """Return the placeholders of a template in order of appearance.

    Example:
        >>> variables_of(
        ...     PromptVersion(
        ...         id="1",
        ...         prompt_id="p",
        ...         commit="c",
        ...         number=1,
        ...         template="{{name}} asks {{ question }}",
        ...     )
        ... )
        ['name', 'question']
    """
    pattern = _PYTHON_VARIABLE if version.type == "python" else _VARIABLE
    return list(dict.fromkeys(pattern.findall(version.template)))


def _answers(version: PromptVersion, name: str, value: str) -> bool:
    found: Mapping[str, object] = {
        "commit": version.commit,
        "version_number": f"v{version.number}",
        "environment": value if value in (version.environments or ()) else None,
    }
    return found[name] == value
