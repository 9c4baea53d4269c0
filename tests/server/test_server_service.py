"""Service routes, prefixes, workspaces, and what every request goes through."""

from __future__ import annotations

import gzip
import json
import zlib

import httpx
import pytest
from server_client import START, Api

from opik_eval.ids import new_id

TRACE = {"name": "t", "start_time": START}


def test_ping_answers_200(client: httpx.Client) -> None:
    """The route by which Opik's client decides whether to send anything says healthy."""
    reply = client.get("/is-alive/ping")
    assert (reply.status_code, reply.json()["healthy"]) == (200, True)


def test_version_switches_parallel_uploads_on(api: Api) -> None:
    """The version is at least 2.2.8, from which Opik's client uploads items in parallel."""
    version = api.client.get("/api/is-alive/ver").json()["version"]
    assert tuple(map(int, version.split("."))) >= (2, 2, 8)


@pytest.mark.parametrize("prefix", ["", "/api", "/opik/api", "/api/", "//api//", "/opik//api"])
def test_prefixes_and_doubled_slashes(client: httpx.Client, prefix: str) -> None:
    """Every prefix that clients are configured with leads to the same routes."""
    reply = client.get(f"{prefix}/v1/private/auth/workspace/")
    assert reply.json() == {"workspace_name": "default"}


def test_auth_without_body(api: Api) -> None:
    """The key check takes a JSON content type without a body."""
    headers = {"content-type": "application/json"}
    assert api.send("POST", "auth", headers=headers).status_code == 204


def test_permissions_name_the_workspace(api: Api) -> None:
    """Permissions carry the names of user and workspace."""
    found = api.ok("GET", "workspace-permissions", headers={"Comet-Workspace": "default"})
    assert found["workspaceName"] == "default"
    assert {p["permission_value"] for p in found["permissions"]} == {"true"}


@pytest.mark.parametrize("name", ["other", "nobody", "../x"])
def test_without_keys_there_is_one_workspace(api: Api, name: str) -> None:
    """A server that demands no keys opens the default workspace only; others are a 404."""
    refused = api.send("GET", "projects", headers={"Comet-Workspace": name})
    assert (refused.status_code, refused.json()["message"]) == (404, "Workspace not found")
    assert api.send("GET", "projects", params={"workspace_name": name}).status_code == 404


def test_answers_carry_a_request_id(client: httpx.Client) -> None:
    """Every answer has an id that the log has too."""
    assert len(client.get("/is-alive/ping").headers["x-request-id"]) == 36


def test_unknown_route_is_framework_error(api: Api) -> None:
    """Routing errors have the shape {code, message}."""
    reply = api.send("GET", "nonsense")
    assert (reply.status_code, reply.json()["code"]) == (404, 404)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_bodies(api: Api, encoding: str) -> None:
    """Any write may be compressed."""
    body = json.dumps({"traces": [{**TRACE, "id": new_id()}]}).encode()
    packed = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    headers = {"content-encoding": encoding, "content-type": "application/json"}
    assert api.send("POST", "traces/batch", content=packed, headers=headers).status_code == 204


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b"null", {}, 400),
        (b'"text"', {}, 400),
        (b"\xff\xfe", {}, 400),
        (b'{"traces": "\xe9"}', {}, 400),
        (b"[" * 100_000, {}, 400),
        (b'{"traces":' + b"[" * 100_000 + b"]" * 100_000 + b"}", {}, 400),
        (b"not gzip", {"content-encoding": "gzip"}, 400),
        (gzip.compress(b"{}", mtime=0)[:-4], {"content-encoding": "gzip"}, 400),
        (b"{}", {"content-encoding": "br"}, 415),
        (b"{}", {}, 422),
        (b'{"traces": []}', {}, 422),
        (b'{"traces": {}}', {}, 422),
        (b'{"traces": [1]}', {}, 422),
        (json.dumps({"traces": [TRACE] * 1001}).encode(), {}, 422),
        (b'{"traces": [{"id": "x", "start_time": "2026-01-01T00:00:00Z"}]}', {}, 400),
        (b'{"traces": [{"start_time": "yesterday"}]}', {}, 400),
        (b'{"traces": [{"name": "no start"}]}', {}, 422),
        (b'{"traces": [{"start_time": "2026-01-01T00:00:00Z", "name": 5}]}', {}, 400),
        (b'{"traces": [{"start_time": "2026-01-01T00:00:00Z", "tags": "a"}]}', {}, 400),
        (b'{"traces": [{"start_time": NaN}]}', {}, 400),
    ],
)
def test_bad_bodies_say_why(api: Api, content: bytes, headers: dict[str, str], status: int) -> None:
    """What cannot be taken gets a 4xx with a reason, never a 5xx."""
    reply = api.send("POST", "traces/batch", content=content, headers=headers)
    assert reply.status_code == status, reply.text
    told = reply.json()
    assert told.get("errors") or told["message"]


def test_ids_of_version_4_are_refused(api: Api) -> None:
    """Ids must be UUIDs of version 7, which sort by their time."""
    bad = {**TRACE, "id": "7b0f2b7c-9a55-4f1c-8f0a-6f2c9a4f4a10"}
    reply = api.send("POST", "traces/batch", {"traces": [bad]})
    assert (reply.status_code, reply.json()["code"]) == (400, 400)
    assert "version 7" in reply.json()["message"]


def test_ids_in_capitals_are_the_same(api: Api) -> None:
    """The spelling of an id does not matter."""
    sent = new_id()
    api.trace(id=sent.upper())
    assert api.ok("GET", f"traces/{sent.upper()}")["id"] == sent


def test_nan_in_user_values_is_kept_as_text(api: Api) -> None:
    """Opik's client sends bare NaN; it is stored as what JSON can hold."""
    trace = new_id()
    body = (
        f'{{"traces": [{{"id": "{trace}", "start_time": "{START}", '
        '"output": {"a": NaN, "b": [Infinity, -Infinity]}}]}'
    )
    assert api.send("POST", "traces/batch", content=body.encode()).status_code == 204
    found = api.ok("GET", f"traces/{trace}")
    assert found["output"] == {"a": "NaN", "b": ["Infinity", "-Infinity"]}


def test_unusual_values_come_back(api: Api) -> None:
    """Long integers, lone surrogates and null characters survive."""
    value = {"n": 2**80, "s": "\ud800", "z": "\x00", "ö": "💡"}
    trace = new_id()
    body = json.dumps({"traces": [{**TRACE, "id": trace, "input": value}]}).encode()
    assert api.send("POST", "traces/batch", content=body).status_code == 204
    assert json.loads(api.send("GET", f"traces/{trace}").content)["input"] == value


def test_redirect_of_printed_links(api: Api) -> None:
    """The link that Opik's client prints leads to the trace."""
    sent = api.trace()
    reply = api.client.get(f"/api/v1/session/redirect/projects/?trace_id={sent['id']}&path=x")
    assert reply.status_code == 303
    assert api.client.get(reply.headers["location"]).json()["id"] == sent["id"]


def test_openapi_document_describes_every_write(client: httpx.Client) -> None:
    """The document is served, and every route that takes a body says which."""
    document = client.get("/openapi.json").json()
    assert len(document["paths"]) > 80
    for path, methods in document["paths"].items():
        for method in methods.keys() & {"post", "put", "patch"}:
            if not path.endswith(("/auth", "/threads")):
                assert "requestBody" in methods[method], (method, path)
