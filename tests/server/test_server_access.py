"""Keys, roles and workspaces, over all routes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from server_client import start
from server_routes import OPEN, SECRET, Route, fill, routes

from opik_eval.ids import new_id
from opik_eval.server.access import CACHE_SECONDS, KeyAccess
from opik_eval.server.audit import AuditTrail, audited
from opik_eval.server.keys import Keys
from opik_eval.server.roles import ROLES, needed_role, only_reads
from opik_eval.storage.workspaces import Workspaces, open_workspaces

ROUTES = routes()
GUARDED = [route for route in ROUTES if route.path not in OPEN]


class Clock:
    """A clock that stands still until told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Tenants:
    """A server with keys, two workspaces beside the default one, and some data in the first."""

    folder: Path
    workspaces: Workspaces
    client: httpx.Client
    keys: dict[str, str]
    known: dict[str, str]
    clock: Clock
    watcher: sqlite3.Connection

    def send(self, key: str | None, workspace: str = "default", **request: Any) -> httpx.Response:
        """Send a request with one of the keys, or with a text that is none of them."""
        headers = {"Comet-Workspace": workspace}
        if key is not None:
            headers["Authorization"] = self.keys.get(key, key)
        return self.client.request(headers=headers, **request)

    def commits(self) -> int:
        """Return a number that changes with every transaction in the file of team-a."""
        (number,) = self.watcher.execute("PRAGMA data_version").fetchone()
        return int(number)


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    """A server that demands keys."""
    folder = tmp_path_factory.mktemp("access")
    with ExitStack() as stack:
        workspaces = stack.enter_context(closing(open_workspaces(f"file:{folder / 'opik.db'}")))
        keys = {}
        for name in ("team-a", "team-b"):
            workspaces.create(name)
            for role in ROLES:
                text, _ = Keys(workspaces.control).create(role, workspace=name, role=role)
                keys[f"{name} {role}"] = text
        keys["operator"], _ = Keys(workspaces.control).create(
            "o", workspace="default", role="admin"
        )
        clock = Clock()
        path = folder / "opik.db.workspaces" / "team-a.db"
        watcher = stack.enter_context(closing(sqlite3.connect(path, check_same_thread=False)))
        access = KeyAccess(workspaces, clock)
        with closing(AuditTrail(workspaces.control)) as audit:
            for url in start(workspaces, identify=access, audit=audit):
                with httpx.Client(base_url=url, trust_env=False) as client:
                    found = Tenants(folder, workspaces, client, keys, {}, clock, watcher)
                    headers = {"Authorization": keys["team-a editor"], "Comet-Workspace": "team-a"}
                    with httpx.Client(base_url=url, headers=headers, trust_env=False) as own:
                        found.known |= fill(own)
                    yield found


def test_the_keys_of_the_tests_work(tenants: Tenants) -> None:
    """What the tests below must not see is there for those who may see it."""
    url = f"/v1/private/traces/{tenants.known['trace_id']}"
    for role in ROLES:
        reply = tenants.send(f"team-a {role}", method="GET", url=url)
        assert SECRET in reply.text
    before = tenants.commits()
    change = {"json": {"trace_id": tenants.known["trace_id"], "name": SECRET}}
    url = f"/v1/private/spans/{tenants.known['span_id']}"
    assert tenants.send("team-a editor", method="PATCH", url=url, **change).is_success
    assert tenants.commits() != before


@pytest.mark.parametrize("route", GUARDED, ids=str)
def test_nothing_without_a_key(tenants: Tenants, route: Route) -> None:
    """Every route but those that tell whether the server is alive needs a key that is right."""
    request = route.request(tenants.known)
    before = tenants.commits()
    right = tenants.keys["team-a admin"]
    wrong = right[:-1] + ("x" if right[-1] != "x" else "y")
    for key in (None, "", "wrong", wrong, "oek_", f"{right.rsplit('_', 1)[0]}_"):
        refused = tenants.send(key, "team-a", **request)
        assert refused.status_code == 401, (key, refused.text)
        assert SECRET not in refused.text
        assert refused.json()["code"] == 401
    assert tenants.commits() == before


@pytest.mark.parametrize("route", GUARDED, ids=str)
def test_a_viewer_changes_nothing(tenants: Tenants, route: Route) -> None:
    """A viewer may use the routes that read, and these change nothing; the others are 403."""
    before = tenants.commits()
    request = route.request(tenants.known)
    bodies = [{}, {"json": {}}, {"json": {"ids": [new_id()]}}] if "json" in request else [{}]
    for body in bodies:
        reply = tenants.send("team-a viewer", "team-a", **{**request, **body})
        allowed = needed_role(route.method, route.path) == "viewer"
        assert (reply.status_code == 403) != allowed, reply.text
        assert reply.status_code < 500
    assert tenants.commits() == before


@pytest.mark.parametrize("route", GUARDED, ids=str)
def test_a_foreign_key_reaches_nothing(tenants: Tenants, route: Route) -> None:
    """A key of one workspace neither reads nor changes another, whatever it names."""
    before = tenants.commits()
    request = route.request(tenants.known)
    refused = tenants.send("team-b admin", "team-a", **request)
    assert refused.status_code == 403
    assert refused.json() == {"code": 403, "message": "User is not allowed to access workspace"}
    own = tenants.send("team-b admin", "team-b", **request)
    assert SECRET not in own.text
    assert own.status_code < 500 or own.status_code == 501
    assert tenants.commits() == before


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_reading_routes_are_those_that_change_nothing(tenants: Tenants, route: Route) -> None:
    """What counts as reading changes nothing even for an admin."""
    if not only_reads(route.method, route.path):
        return
    before = tenants.commits()
    tenants.send("team-a admin", "team-a", **route.request(tenants.known))
    assert tenants.commits() == before


def test_workspaces_are_found_by_key(tenants: Tenants) -> None:
    """The workspace ``default`` means the one of the key; naming none is a 403."""
    url = "/v1/private/auth/workspace"
    for named in ("default", "team-a"):
        reply = tenants.send("team-a viewer", named, method="GET", url=url)
        assert reply.json() == {"workspace_name": "team-a"}
    assert tenants.send("team-a viewer", "", method="GET", url=url).status_code == 403
    assert tenants.send("team-a viewer", "nobody", method="GET", url=url).status_code == 403
    params = {"workspace_name": "team-a"}
    assert tenants.send("team-a viewer", "", method="GET", url=url, params=params).is_success
    assert tenants.send("operator", "team-a", method="GET", url=url).status_code == 403


@pytest.mark.parametrize("form", ["{}", "Bearer {}", "bearer  {}", "{}*eyJiYXNlVXJsIjoieCJ9"])
def test_forms_of_keys(tenants: Tenants, form: str) -> None:
    """A key may come raw, after Bearer, or with the place of the server behind it."""
    key = form.format(tenants.keys["team-a viewer"])
    assert tenants.send(key, method="POST", url="/v1/private/auth").status_code == 204


@pytest.mark.parametrize("key", ["x" * 600, "caf\u00e9", "a\tb"])
def test_malformed_keys(tenants: Tenants, key: str) -> None:
    """What cannot be a key is a 400."""
    headers = {"Authorization": key.encode(), "Comet-Workspace": "team-a"}
    reply = tenants.client.post("/v1/private/auth", headers=headers)
    assert reply.status_code == 400


def test_revoked_keys_stop_working(tenants: Tenants) -> None:
    """A revoked key works until the server asks the store again, and then never more."""
    keys = Keys(tenants.workspaces.control)
    text, key = keys.create("short", workspace="team-b", role="viewer")
    check = {"method": "POST", "url": "/v1/private/auth"}
    assert tenants.send(text, **check).status_code == 204
    keys.revoke(f"oek_{key.prefix}")
    tenants.clock.now += CACHE_SECONDS / 2
    assert tenants.send(text, **check).status_code == 204
    tenants.clock.now += CACHE_SECONDS
    assert tenants.send(text, **check).status_code == 401
    assert tenants.send(text, **check).status_code == 401


def test_a_deleted_workspace_is_not_found(tenants: Tenants) -> None:
    """A key of a workspace that is gone finds nothing."""
    tenants.workspaces.create("gone")
    text, _ = Keys(tenants.workspaces.control).create("k", workspace="gone", role="admin")
    tenants.workspaces.delete("gone")
    reply = tenants.send(text, method="GET", url="/v1/private/projects")
    assert (reply.status_code, reply.json()["message"]) == (404, "Workspace not found")


def test_changes_are_audited(tenants: Tenants) -> None:
    """A change is noted before it is answered: who, where, what, and with which result."""
    body = {"name": f"project {new_id()}"}
    create = {"method": "POST", "url": "/api/v1/private/projects", "json": body}
    made = tenants.send("team-a editor", **create)
    again = tenants.send("team-a editor", **create)
    tenants.send("team-a viewer", method="GET", url="/v1/private/projects")
    last, first = audited(tenants.workspaces.control, limit=2)[::-1]
    assert (first.line.status, last.line.status) == (made.status_code, 409)
    line = first.line
    assert (line.user, line.workspace) == ("editor", "team-a")
    assert (line.method, line.route) == ("POST", "/v1/private/projects")
    assert line.request_id == made.headers["x-request-id"]
    assert tenants.keys["team-a editor"].startswith(f"oek_{line.key}_")
    assert again.status_code == 409


def test_the_audit_trail_of_a_workspace_is_for_its_admins(tenants: Tenants) -> None:
    """Admins read the changes of their own workspace; others read none."""
    tenants.send("team-b editor", method="POST", url="/v1/private/projects", json={"name": "b"})
    listing = {"method": "GET", "url": "/v1/private/opik-eval/audit", "params": {"limit": 5}}
    found = tenants.send("team-b admin", **listing).json()
    assert {line["workspace"] for line in found} == {"team-b"}
    assert found[-1]["target"] == "/v1/private/projects"
    assert tenants.send("team-b editor", **listing).status_code == 403


def test_metrics_are_for_the_operator(tenants: Tenants) -> None:
    """Figures are about all workspaces, so only admins of the default one get them."""
    assert tenants.send("team-a admin", method="GET", url="/metrics").status_code == 403
    text = tenants.send("operator", method="GET", url="/metrics").text
    assert 'opik_eval_store_bytes{workspace="team-a"}' in text
    assert 'route="/v1/private/traces/{trace_id}"' in text


def test_stores_hold_no_keys(tenants: Tenants) -> None:
    """No file of the server contains the secret of a key."""
    held = b"".join(path.read_bytes() for path in tenants.folder.rglob("*") if path.is_file())
    for text in tenants.keys.values():
        assert text.split("_", 2)[1].encode() in held
        assert text.split("_", 2)[2].encode() not in held
