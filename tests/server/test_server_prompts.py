"""Prompts and their versions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from server_client import Api

from opik_eval.ids import new_id


def add(api: Api, name: str, template: str, **fields: object) -> dict[str, Any]:
    """Add a version to a prompt and return it."""
    version = {"template": template, "type": "mustache", **fields}
    body = {"name": name, "version": version, "project_name": api.project}
    return dict(api.ok("POST", "prompts/versions", body))


def retrieve(api: Api, name: str, **pin: object) -> dict[str, Any]:
    """Return a version of a prompt."""
    nulls = dict.fromkeys(("commit", "version_number", "environment", "project_name"))
    return dict(api.ok("POST", "prompts/versions/retrieve", {"name": name, **nulls, **pin}))


def test_versions_are_echoed_exactly(api: Api) -> None:
    """What was sent comes back, null as null, so that clients see that nothing changed."""
    name = f"p {new_id()}"
    assert api.send("POST", "prompts/versions/retrieve", {"name": name}).status_code == 404
    first = add(api, name, "Hi {{ name }}, {{name}} {{#a}}x{{/a}}", metadata={"a": {}})
    assert (first["version_number"], first["template_structure"]) == ("v1", "text")
    assert first["variables"] == ["name", "a"]
    assert retrieve(api, name) == first
    second = add(api, name, "Hello {name} {{x}}", type="python", metadata=None)
    assert retrieve(api, name) == second
    assert second.get("metadata") is None
    assert second["variables"] == ["name"]
    assert retrieve(api, name, commit=first["commit"]) == first
    assert retrieve(api, name, version_number="v1") == first
    both = {"name": name, "commit": "x", "version_number": "v1"}
    assert api.send("POST", "prompts/versions/retrieve", both).status_code == 422
    wrong = {"name": name, "commit": "00000000"}
    assert api.send("POST", "prompts/versions/retrieve", wrong).status_code == 404


def test_prompt_with_everything(api: Api) -> None:
    """A prompt may be created with description, tags and first version; the name must be free."""
    name = f"p {new_id()}"
    body = {
        "name": name,
        "id": new_id(),
        "template": "[]",
        "template_structure": "chat",
        "description": "d",
        "tags": ["t"],
        "project_name": api.project,
    }
    assert api.send("POST", "prompts", body).status_code == 201
    assert api.send("POST", "prompts", body).status_code == 409
    found = api.ok("GET", f"prompts/{body['id']}")
    assert (found["description"], found["tags"], found["version_count"]) == ("d", ["t"], 1)
    assert found["latest_version"]["template_structure"] == "chat"
    assert api.send("POST", "prompts", {"name": f"p {new_id()}"}).status_code == 201
    change = {"name": name + "!", "description": "e"}
    api.ok("PUT", f"prompts/{body['id']}", change)
    found = api.ok("GET", f"prompts/{body['id']}")
    assert (found["name"], found["description"], found["tags"]) == (name + "!", "e", ["t"])


def test_history(api: Api) -> None:
    """The versions of a prompt are listed newest first, filtered and searched."""
    name = f"p {new_id()}"
    for word in ("one", "two", "three"):
        add(api, name, f"say {word}", metadata={"w": word})
    listed = api.ok("GET", "prompts", params={"name": name.upper()})["content"]
    prompt = listed[0]["id"]

    def templates(**query: object) -> list[str]:
        found = api.ok("GET", f"prompts/{prompt}/versions", params=query)
        return [row["template"] for row in found["content"]]

    assert templates() == ["say three", "say two", "say one"]
    assert templates(page=2, size=2) == ["say one"]
    assert templates(search="TWO") == ["say two"]
    entry = {"field": "metadata", "key": "w", "operator": "=", "value": "one"}
    assert templates(filters=json.dumps([entry])) == ["say one"]
    entry = {"field": "version_number", "operator": "!=", "value": "v1"}
    assert templates(filters=json.dumps([entry])) == ["say three", "say two"]
    commit = retrieve(api, name)["commit"]
    found = api.ok("GET", f"prompts/by-commit/{commit}")
    assert found["requested_version"]["template"] == "say three"
    assert api.send("GET", "prompts/by-commit/zzzzzzzz").status_code == 404


def test_tags_and_environments(api: Api) -> None:
    """Versions carry tags; an environment belongs to one version of a prompt."""
    name = f"p {new_id()}"
    one, two = add(api, name, "1"), add(api, name, "2")
    change = {"ids": [one["id"]], "update": {"tags": ["a"]}}
    api.ok("PATCH", "prompts/versions", change)
    api.ok("PATCH", "prompts/versions", {**change, "update": {"tags": ["b"]}, "merge_tags": True})
    assert api.ok("GET", f"prompts/versions/{one['id']}")["tags"] == ["a", "b"]
    for version in (one, two):
        path = f"prompts/versions/{version['id']}/environments"
        api.ok("PATCH", path, {"environments": ["prod"]})
    assert retrieve(api, name, environment="prod")["id"] == two["id"]
    api.ok("PATCH", f"prompts/versions/{two['id']}/environments", {"environments": []})
    missing = {"name": name, "environment": "prod"}
    assert api.send("POST", "prompts/versions/retrieve", missing).status_code == 404


@pytest.mark.parametrize("route", ["one", "many"])
def test_deletes(api: Api, route: str) -> None:
    """Deleted prompts are gone with their versions."""
    name = f"p {new_id()}"
    version = add(api, name, "x")
    if route == "one":
        api.ok("DELETE", f"prompts/{version['prompt_id']}")
    else:
        api.ok("POST", "prompts/delete", {"ids": [version["prompt_id"]]})
    assert api.send("GET", f"prompts/versions/{version['id']}").status_code == 404
    assert api.send("GET", f"prompts/{version['prompt_id']}").status_code == 404
    taken = {"name": name, "version": {"template": ""}}
    assert api.send("POST", "prompts/versions", taken).status_code == 422


def test_versions_keep_their_ids(api: Api) -> None:
    """A version may bring its id, once."""
    name, version = f"p {new_id()}", new_id()
    assert add(api, name, "x", id=version)["id"] == version
    again = {"name": name, "version": {"template": "y", "id": version}}
    assert api.send("POST", "prompts/versions", again).status_code == 409
