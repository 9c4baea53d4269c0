"""Limits, and a store that fails."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from server_client import START, Api, start

from opik_eval.ids import new_id
from opik_eval.server.paging import field_of
from opik_eval.server.settings import ServerSettings
from opik_eval.storage.workspaces import Workspaces, open_workspaces

SMALL = ServerSettings(max_body_bytes=1000, max_attachment_bytes=1000, max_page_size=5)


@pytest.fixture
def workspaces(tmp_path: Path) -> Iterator[Workspaces]:
    """Workspaces in files."""
    opened = open_workspaces(f"file:{tmp_path / 'opik.db'}")
    yield opened
    opened.close()


@pytest.fixture
def small(workspaces: Workspaces) -> Iterator[Api]:
    """A client of a server with small limits over a file."""
    for url in start(workspaces, SMALL):
        with httpx.Client(base_url=url, trust_env=False) as client:
            yield Api(client)


def body(size: int) -> bytes:
    """Return a batch of one trace with a name of a given length."""
    trace = {"id": new_id(), "start_time": START, "name": "x" * size}
    return json.dumps({"traces": [trace]}).encode()


@pytest.mark.parametrize("form", ["announced", "chunked", "compressed"])
def test_large_bodies_are_refused(small: Api, form: str) -> None:
    """A body beyond the limit is a 413, however it comes."""
    content, headers = body(5000), {}
    if form == "compressed":
        content, headers = gzip.compress(content), {"content-encoding": "gzip"}
        assert len(content) < 1000
    sent = iter([content[:500], content[500:]]) if form == "chunked" else content
    reply = small.send("POST", "traces/batch", content=sent, headers=headers)
    assert reply.status_code == 413
    assert "exceeds the maximum allowed size" in reply.json()["message"]
    assert small.send("POST", "traces/batch", content=body(10)).status_code == 204


def test_large_files_are_refused(small: Api) -> None:
    """A file beyond its limit is a 413."""
    query = {"file_name": "f", "entity_type": "trace", "entity_id": new_id()}
    for content in (b"x" * 2000, iter([b"x" * 900, b"x" * 900])):
        reply = small.send("PUT", "attachment/upload", content=content, params=query)
        assert reply.status_code == 413
    assert small.send("PUT", "attachment/upload", content=b"x", params=query).status_code == 204


def test_a_closed_store_is_503_and_says_when_to_retry(small: Api, workspaces: Workspaces) -> None:
    """A store that cannot be used is a 503 with both headers that clients wait by."""
    workspaces.storage("default").close()
    reply = small.send("POST", "traces/batch", content=body(1))
    assert reply.status_code == 503
    assert (reply.headers["retry-after"], reply.headers["ratelimit-reset"]) == ("1", "1")


def test_unexpected_failures_tell_nothing(
    small: Api, workspaces: Workspaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect is a 500 without details for the client."""
    store = workspaces.storage("default")

    def broken(records: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(store, "write_payloads", broken)
    reply = small.send("POST", "traces/batch", content=body(1))
    assert (reply.status_code, reply.json()) == (
        500,
        {"code": 500, "message": "Internal server error"},
    )


def test_files_keep_everything(small: Api) -> None:
    """The file store answers like the memory store: pages, cursors, counts and filters."""
    ids = [small.trace(name=str(n))["id"] for n in range(4)]
    spans = [small.span(ids[0], type="tool")["id"] for _ in range(3)]
    query = {"project_name": small.project, "size": 2, "page": 2}
    page = small.ok("GET", "traces", params=query)
    assert ([row["id"] for row in page["content"]], page["total"]) == (ids[1::-1], 4)
    cursor = {"project_name": small.project, "limit": 2, "last_retrieved_id": ids[2]}
    assert [row["id"] for row in small.lines("traces/search", cursor)] == ids[1::-1]
    found = small.ok("GET", "spans", params={**query, "trace_id": ids[0], "page": 1})
    assert ([row["id"] for row in found["content"]], found["total"]) == (spans[:0:-1], 3)
    named = [{"field": "name", "operator": ">=", "value": "2"}]
    counted = small.ok("GET", "traces", params={**query, "filters": json.dumps(named), "page": 1})
    assert counted["total"] == 2


def test_fields_of_views() -> None:
    """Orders look into objects and scores, and find nothing elsewhere."""
    view = {"usage": {"a": 1}, "feedback_scores": [{"name": "s", "value": 2}], "name": "n"}
    assert field_of(view, "usage.a") == 1
    assert field_of(view, "feedback_scores.s") == 2
    assert field_of(view, "feedback_scores.t") is None
    assert field_of(view, "name.x") is None
