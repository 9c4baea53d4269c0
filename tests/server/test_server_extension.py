"""The routes that carry the storage interface, for our own backend."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from server_client import Api

from opik_eval.ids import new_id
from opik_eval.records import Dataset, Trace
from opik_eval.storage.wire import record_from_wire, record_to_wire


def records(api: Api, kind: str, **arguments: object) -> list[Any]:
    """List records and check the last line."""
    body = {"kind": kind, "arguments": arguments}
    *rows, end = api.lines("opik-eval/records/list", body)
    assert end == {"kind": "end", "count": len(rows)}
    return rows


def test_info(api: Api) -> None:
    """Our backend knows our server by this route."""
    assert api.ok("GET", "opik-eval/info") == {"product": "opik-eval", "wire_version": 2}


def test_records_come_back_as_they_went(api: Api) -> None:
    """Records of any kind and with any id are written at once, found, listed and deleted."""
    trace = Trace(id=f"t {new_id()}", name="n", project_name=api.project, ttft_seconds=0.1)
    other = Trace(id=f"t {new_id()}", project_name=api.project)
    body = {"records": [record_to_wire(trace), record_to_wire(other)]}
    api.ok("PUT", "opik-eval/records", body)
    found = api.ok("POST", "opik-eval/records/find", {"kind": "trace", "id": trace.id})
    assert record_from_wire(found) == trace
    where = {"project_name": api.project, "where": "name = n"}
    assert [record_from_wire(row) for row in records(api, "trace", **where)] == [trace]
    newest = records(api, "trace", project_name=api.project, newest_first=True, limit=1)
    assert [row["id"] for row in newest] == [other.id]
    api.ok("POST", "opik-eval/records/delete", {"kind": "trace", "ids": [trace.id]})
    reply = api.send("POST", "opik-eval/records/find", {"kind": "trace", "id": trace.id})
    assert reply.status_code == 404


def test_long_lists_come_in_pieces(api: Api) -> None:
    """A list longer than one piece comes whole."""
    ids = [f"l {n:04} {api.project}" for n in range(1200)]
    sent = [{"kind": "trace", "id": i, "project_name": api.project} for i in ids]
    api.ok("PUT", "opik-eval/records", {"records": sent})
    assert [row["id"] for row in records(api, "trace", project_name=api.project)] == ids


def test_scores_datasets_and_conflicts(api: Api) -> None:
    """Scores are deleted by name; a taken name is 409; unknown kinds are 400."""
    score = {"kind": "feedback_score", "id": "e", "name": api.project, "value": 1}
    api.ok("PUT", "opik-eval/records", {"records": [score]})
    arguments = {"entity_type": "trace", "entity_ids": ["e"]}
    assert (
        len([s for s in records(api, "feedback_score", **arguments) if s["name"] == api.project])
        == 1
    )
    gone = {"kind": "feedback_score", "entity_type": "trace", "entity_id": "e"}
    api.ok("POST", "opik-eval/records/delete", {**gone, "names": [api.project]})
    assert api.project not in {s["name"] for s in records(api, "feedback_score", **arguments)}
    one, two = Dataset(id="d1" + api.project, name=api.project), Dataset(id="d2", name=api.project)
    api.ok("PUT", "opik-eval/records", {"records": [record_to_wire(one)]})
    reply = api.send("PUT", "opik-eval/records", {"records": [record_to_wire(two)]})
    assert (reply.status_code, len(reply.json()["errors"])) == (409, 1)
    found = api.ok("POST", "opik-eval/records/find", {"kind": "dataset", "name": api.project})
    assert found["id"] == one.id
    api.ok("POST", "opik-eval/records/delete", {"kind": "dataset", "ids": [one.id]})


def test_changes_of_datasets(api: Api) -> None:
    """A change is one version; stale bases are 409 and unknown datasets 404."""
    dataset = api.dataset()["id"]
    change = {"dataset_id": dataset, "upsert": [{"id": "a", "data": {"n": 1}}], "group_id": None}
    version = api.ok("POST", "opik-eval/dataset-changes", change)["version"]
    assert (version["version_name"], version["items_total"]) == ("v1", 1)
    assert api.ok("POST", "opik-eval/dataset-changes", change)["version"] is None
    stale = {**change, "delete": "all", "upsert": None, "base_version": 0}
    assert api.send("POST", "opik-eval/dataset-changes", stale).status_code == 409
    when = "2026-01-01T00:00:00Z"
    last = {**stale, "base_version": 1, "changed_at": when, "change_description": "all"}
    version = api.ok("POST", "opik-eval/dataset-changes", last)["version"]
    assert version["created_at"].startswith("2026-01-01")
    assert len(records(api, "dataset_version", dataset_id=dataset)) == 2
    assert len(records(api, "dataset_item", dataset_id=dataset, version=1)) == 1
    unknown = {"kind": "dataset_item", "arguments": {"dataset_id": dataset, "version": 9}}
    assert api.send("POST", "opik-eval/records/list", unknown).status_code == 404
    missing = {**change, "dataset_id": "nowhere"}
    assert api.send("POST", "opik-eval/dataset-changes", missing).status_code == 404


def test_attachments(api: Api) -> None:
    """Files go up with their record and come down by id; a wrong hash is 409."""
    content = b"hello"
    record = {
        "entity_type": "trace",
        "entity_id": "t",
        "file_name": "f",
        "mime_type": "text/plain",
        "sha256": hashlib.sha256(content).hexdigest(),
        "file_size": len(content),
    }
    path = f"opik-eval/attachments/{new_id()}"
    query = {"record": json.dumps(record)}
    assert api.send("PUT", path, content=content, params=query).status_code == 204
    assert api.send("GET", path).content == content
    assert api.send("PUT", path, content=b"other", params=query).status_code == 409
    assert api.send("PUT", path, content=b"x", params={"record": "{"}).status_code == 400
    assert api.send("GET", f"opik-eval/attachments/{new_id()}").status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("records/find", {"kind": "nonsense", "id": "x"}),
        ("records/find", {"kind": "trace"}),
        ("records/list", {"kind": "nonsense"}),
        ("records/list", {"kind": "trace", "arguments": {"nonsense": 1}}),
        ("records/list", {"kind": "trace", "arguments": {"limit": "1"}}),
        ("records/list", {"kind": "trace", "arguments": {"where": "nonsense = 1"}}),
        ("records/list", {"kind": "trace", "arguments": []}),
        ("records/list", {"kind": "attachment", "arguments": {"entity_type": "trace"}}),
        ("records/delete", {"kind": "span", "ids": ["x"]}),
        ("records/delete", {"kind": "trace", "ids": [1]}),
        ("dataset-changes", {"dataset_id": "d", "upsert": {}}),
        ("dataset-changes", {"dataset_id": "d", "changed_at": "soon"}),
        ("dataset-changes", {"dataset_id": "d", "base_version": "1"}),
    ],
)
def test_nonsense_is_refused(api: Api, path: str, body: dict[str, object]) -> None:
    """Requests that make no sense are a 400 that says why."""
    reply = api.send("POST", f"opik-eval/{path}", body)
    assert reply.status_code == 400, reply.text
    assert reply.json()["errors"]


@pytest.mark.parametrize("given", [[5], [{}], [{"kind": "nonsense"}], [{"kind": "trace"}], None])
def test_payloads_that_are_no_records(api: Api, given: object) -> None:
    """Payloads without kind or required fields are a 400."""
    assert api.send("PUT", "opik-eval/records", {"records": given}).status_code == 400
