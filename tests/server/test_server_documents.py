"""Projects, collections of named objects, annotation queues, attachments."""

from __future__ import annotations

import base64
import gzip
import json
from contextlib import closing
from urllib.parse import urlsplit

import httpx
import pytest
from server_client import Api, start

from opik_eval.ids import new_id
from opik_eval.storage.workspaces import open_workspaces

COLLECTIONS = {
    "environments": ({"name": "prod"}, {"color": "red"}),
    "feedback-definitions": (
        {"name": "good", "type": "numerical", "details": {"min": 0, "max": 1}},
        {"name": "good", "type": "boolean"},
    ),
    "alerts": (
        {"name": "a", "webhook": {"url": "http://x"}},
        {"name": "a", "webhook": {"url": "http://y"}},
    ),
    "dashboards": ({"name": "d", "config": {"a": 1}}, {"config": {"a": 2}}),
}


@pytest.mark.parametrize("path", COLLECTIONS)
def test_collections(api: Api, path: str) -> None:
    """Named objects are created, listed, read, changed and deleted."""
    create, change = COLLECTIONS[path]
    name = f"n-{new_id()}"
    reply = api.send("POST", path, {**create, "name": name, "id": new_id()})
    assert reply.status_code == 201
    query = {"name": name.upper(), "sorting": '[{"field": "name", "direction": "ASC"}]'}
    (found,) = api.ok("GET", path, params=query)["content"]
    assert found.items() >= {**create, "name": name}.items()
    update = {**change, "name": name} if "name" in change else change
    api.ok("PUT", f"{path}/{found['id']}", update)
    changed = api.ok("GET", f"{path}/{found['id']}")
    assert changed.items() >= update.items()
    assert changed["created_at"] == found["created_at"]
    api.ok("POST", f"{path}/delete", {"ids": [found["id"]]})
    assert api.send("PATCH", f"{path}/{found['id']}", update).status_code == 404
    second = api.send("POST", path, {**create, "name": name})
    assert second.status_code == 201
    again = api.send("POST", path, {**create, "name": name})
    assert again.status_code == (409 if path in ("environments", "feedback-definitions") else 201)
    (one, *_) = api.ok("GET", path, params={"name": name})["content"]
    assert api.send("POST", path, {**create, "name": "new", "id": one["id"]}).status_code == 409
    api.ok("DELETE", f"{path}/{one['id']}")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("environments", {"name": "two words"}),
        ("environments", {}),
        ("feedback-definitions", {"name": "x", "type": "odd"}),
        ("alerts", {"name": "x"}),
        ("alerts", {"name": "x", "webhook": {"url": " "}}),
        ("dashboards", {"name": " "}),
    ],
)
def test_collections_refuse_nonsense(api: Api, path: str, body: dict[str, object]) -> None:
    """Objects without what they need are refused."""
    assert api.send("POST", path, body).status_code == 422


def test_projects(api: Api) -> None:
    """Projects are created, found by name in any case, listed, described and deleted."""
    name = f"Proj {new_id()}"
    body = {"name": name, "description": "d"}
    assert api.send("POST", "projects/retrieve", {"name": name}).status_code == 404
    assert api.send("POST", "projects", body).status_code == 201
    assert api.send("POST", "projects", {"name": name.upper()}).status_code == 409
    found = api.ok("POST", "projects/retrieve", {"name": name.lower()})
    assert (found["name"], found["description"]) == (name, "d")
    order = '[{"field": "created_at", "direction": "DESC"}]'
    query = {"page": 1, "size": 1, "name": name[5:], "sorting": order}
    assert api.ok("GET", "projects", params=query)["content"] == [found]
    api.ok("PATCH", f"projects/{found['id']}", {"description": "e"})
    assert api.ok("GET", f"projects/{found['id']}")["description"] == "e"
    renamed = api.send("PATCH", f"projects/{found['id']}", {"name": "other"})
    assert renamed.status_code == 409
    api.ok("DELETE", f"projects/{found['id']}")
    assert api.send("GET", f"projects/{found['id']}").status_code == 404
    assert api.send("POST", "projects", body).status_code == 201


def test_deleted_projects_come_back_with_traces(api: Api) -> None:
    """Deleting a project deletes its traces; a new trace that names it brings it back."""
    trace = api.trace()["id"]
    project = api.ok("GET", f"traces/{trace}")["project_id"]
    api.ok("POST", "projects/delete", {"ids": [project]})
    assert api.send("GET", f"traces/{trace}").status_code == 404
    assert api.send("GET", "traces", params={"project_name": api.project}).status_code == 404
    api.trace()
    assert api.ok("GET", f"projects/{project}")["name"] == api.project


def test_the_default_project_always_exists() -> None:
    """The default project is there before anything is written to it."""
    with closing(open_workspaces("memory:")) as workspaces:
        for url in start(workspaces):
            with httpx.Client(base_url=url, trust_env=False) as client:
                api = Api(client)
                found = api.ok("GET", "projects")["content"]
                assert [project["name"] for project in found] == ["Default Project"]
                body = {"name": "default project"}
                assert api.ok("POST", "projects/retrieve", body)["id"] == found[0]["id"]


def test_annotation_queues(api: Api) -> None:
    """Queues hold traces, which can be filtered by their queues."""
    trace = api.trace()["id"]
    api.trace()
    project = api.ok("GET", f"traces/{trace}")["project_id"]
    queue = {"id": new_id(), "project_id": project, "name": "q", "scope": "trace"}
    assert api.send("POST", "annotation-queues", queue).status_code == 201
    assert api.send("POST", "annotation-queues", queue).status_code == 409
    path = f"annotation-queues/{queue['id']}"
    api.ok("POST", f"{path}/items/add", {"ids": [trace]})
    api.ok("POST", f"{path}/items/add", {"ids": [trace]})
    api.ok("PATCH", path, {"instructions": "look"})
    found = api.ok("GET", path)
    assert (found["items_count"], found["instructions"]) == (1, "look")
    mine = json.dumps([{"field": "project_id", "operator": "=", "value": project}])
    listed = api.ok("GET", "annotation-queues", params={"filters": mine})["content"]
    assert [q["id"] for q in listed] == [queue["id"]]
    inside = {"field": "annotation_queue_ids", "operator": "contains", "value": queue["id"]}
    body = {"project_name": api.project, "filters": [inside]}
    assert [row["id"] for row in api.lines("traces/search", body)] == [trace]
    api.ok("POST", f"{path}/items/delete", {"ids": [trace]})
    assert api.lines("traces/search", body) == []
    api.ok("POST", "annotation-queues/delete", {"ids": [queue["id"]]})
    assert api.send("GET", path).status_code == 404
    assert api.send("POST", f"{path}/items/add", {"ids": [trace]}).status_code == 404
    wrong = {**queue, "id": None, "scope": "span"}
    assert api.send("POST", "annotation-queues", wrong).status_code == 422
    odd = json.dumps([{"field": "odd", "operator": "=", "value": "x"}])
    assert api.send("GET", "annotation-queues", params={"filters": odd}).status_code == 400


def test_attachments_in_local_mode(api: Api) -> None:
    """A file goes up by one PUT to the URL of upload-start, and comes down by its link."""
    trace = api.trace()["id"]
    entity = {"entity_type": "trace", "entity_id": trace}
    base = f"{api.client.base_url}/opik/api".replace("//opik", "/opik")
    told = base64.b64encode(base.encode()).decode()
    start = {"file_name": "ä b.txt", "num_of_file_parts": 1, "mime_type": "text/plain", **entity}
    answer = api.ok("POST", "attachment/upload-start", {**start, "path": told})
    assert answer["upload_id"] == "BEMinIO"
    (url,) = answer["pre_sign_urls"]
    content = bytes(range(256)) * 100
    assert url.startswith(base)
    assert api.client.put(url, content=iter([content[:9], content[9:]])).status_code == 204
    page = api.ok("GET", "attachment/list", params={**entity, "project_id": new_id(), "path": told})
    (found,) = page["content"]
    assert (found["file_name"], found["file_size"]) == ("ä b.txt", len(content))
    reply = api.client.get(found["link"])
    assert reply.content == content
    assert reply.headers["content-disposition"] == "attachment"
    packed = gzip.compress(b"new")
    headers = {"content-encoding": "gzip"}
    assert api.client.put(url, content=packed, headers=headers).status_code == 204
    assert api.client.get(found["link"]).content == b"new"
    assert api.client.put(url, content=b"x", headers=headers).status_code == 400
    api.ok("POST", "attachment/upload-complete", {**start, "upload_id": "BEMinIO"})
    assert api.send("POST", "attachment/delete", entity).status_code == 501


def test_links_without_a_base_point_here(api: Api) -> None:
    """Without a base URL of the client the links go to where the request went."""
    trace = api.trace()["id"]
    start = {"file_name": "a", "entity_type": "trace", "entity_id": trace}
    for path in (None, "%%%", base64.b64encode(b"ftp://x").decode()):
        answer = api.ok("POST", "attachment/upload-start", {**start, "path": path})
        url = urlsplit(answer["pre_sign_urls"][0])
        assert url.netloc == urlsplit(str(api.client.base_url)).netloc
        assert url.path == "/api/v1/private/attachment/upload"
    wrong = {**start, "entity_type": "project"}
    assert api.send("POST", "attachment/upload-start", wrong).status_code == 422
    query = {"entity_type": "trace", "entity_id": trace, "file_name": "no"}
    assert api.send("GET", "attachment/download", params=query).status_code == 404
