"""Traces and spans: order of arrival, read models, lists, streams, deletes."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from server_client import END, START, Api

from opik_eval.ids import new_id

ERROR = {"exception_type": "ValueError", "message": "m", "traceback": "tb"}


@pytest.mark.parametrize("order", ["update first", "create first"])
def test_updates_before_creates(api: Api, order: str) -> None:
    """An update of an unknown trace is kept, and the create fills the gaps without erasing it."""
    trace = new_id()
    create = {"id": trace, "project_name": api.project, "name": "n", "start_time": START}
    create["last_updated_at"] = START
    update = {"project_name": api.project, "output": {"a": 1}, "end_time": END, "tags": ["x"]}
    steps = [
        lambda: api.ok("PATCH", f"traces/{trace}", update),
        lambda: api.ok("POST", "traces/batch", {"traces": [create]}),
    ]
    for step in steps if order == "update first" else reversed(steps):
        step()
    found = api.ok("GET", f"traces/{trace}")
    assert found["name"] == "n"
    assert found["output"] == {"a": 1}
    assert found["tags"] == ["x"]
    assert found["duration"] == 2000.0


def test_partial_trace_has_a_start(api: Api) -> None:
    """A trace of which only an update came can be read by clients that demand a start."""
    trace = new_id()
    api.ok("PATCH", f"traces/{trace}", {"project_name": api.project, "name": "n"})
    found = api.ok("GET", f"traces/{trace}")
    assert found["start_time"]
    assert "start_time" in found["_opik_eval"]["filled"]


def test_spans_before_their_trace(api: Api) -> None:
    """Spans may come first, and updates before their creates."""
    trace, span = new_id(), new_id()
    api.ok("PATCH", f"spans/{span}", {"trace_id": trace, "output": {"o": 1}})
    api.span(trace, id=span, name="s", last_updated_at=START)
    api.trace(id=trace)
    found = api.ok("GET", f"spans/{span}")
    assert (found["name"], found["output"]) == ("s", {"o": 1})
    assert api.ok("GET", f"traces/{trace}")["span_count"] == 1


def test_repeated_ids_merge(api: Api) -> None:
    """Of two writes the newer wins field by field, in whatever order they come."""
    trace = new_id()
    base = {"id": trace, "project_name": api.project, "start_time": START}
    newer = {**base, "name": "new", "last_updated_at": "2026-01-01T00:00:09Z"}
    older = {**base, "name": "old", "output": 1, "last_updated_at": "2026-01-01T00:00:01Z"}
    api.ok("POST", "traces/batch", {"traces": [newer]})
    api.ok("POST", "traces/batch", {"traces": [older, older]})
    found = api.ok("GET", f"traces/{trace}")
    assert (found["name"], found["output"]) == ("new", 1)


def test_a_batch_is_all_or_nothing(api: Api) -> None:
    """One bad record keeps the whole batch out."""
    good = {"id": new_id(), "project_name": api.project, "start_time": START}
    reply = api.send("POST", "traces/batch", {"traces": [good, {**good, "id": "bad"}]})
    assert reply.status_code == 400
    assert api.send("GET", f"traces/{good['id']}").status_code == 404


def test_single_writes(api: Api) -> None:
    """Records may come one by one; the answer says where they are."""
    trace = {"project_name": api.project, "start_time": START, "name": "t"}
    reply = api.send("POST", "traces", trace)
    assert reply.status_code == 201
    place = reply.headers["location"]
    assert api.client.get(place).json()["name"] == "t"
    span = {**trace, "trace_id": place.rsplit("/", 1)[1]}
    assert api.send("POST", "spans", span).status_code == 201


def test_read_model_of_a_trace(api: Api) -> None:
    """A trace says what its spans, scores and comments add up to."""
    trace = api.trace(end_time=END, ttft=12.5, error_info=ERROR, metadata={"a": 1}, source="sdk")
    llm = {"type": "llm", "usage": {"total_tokens": 3}, "provider": "openai", "model": "m"}
    one = api.span(trace["id"], **llm, total_estimated_cost=0.25)
    api.span(trace["id"], **llm, total_estimated_cost=0.5)
    api.span(trace["id"], type="tool")
    for kind, entity in (("traces", trace), ("spans", one)):
        score = {"id": entity["id"], "name": "good", "value": 0.5, "source": "sdk"}
        api.ok("PUT", f"{kind}/feedback-scores", {"scores": [score]})
    api.ok("POST", f"traces/{trace['id']}/comments", {"text": "nice"})
    found = api.ok("GET", f"traces/{trace['id']}")
    expected: dict[str, Any] = {
        "usage": {"total_tokens": 6},
        "total_estimated_cost": 0.75,
        "span_count": 3,
        "llm_span_count": 2,
        "has_tool_spans": True,
        "providers": ["openai"],
        "duration": 2000.0,
        "ttft": 12.5,
        "error_info": ERROR,
        "visibility_mode": "default",
    }
    assert {name: found[name] for name in expected} == expected
    assert [(s["name"], s["value"]) for s in found["feedback_scores"]] == [("good", 0.5)]
    assert [(s["name"], s["value"]) for s in found["span_feedback_scores"]] == [("good", 0.5)]
    assert [c["text"] for c in found["comments"]] == ["nice"]
    project = api.ok("GET", f"projects/{found['project_id']}")
    assert project["name"] == api.project


def test_pages_count_all_rows(api: Api) -> None:
    """Pages come newest first, with the total and the rows on the page."""
    sent = [api.trace(name=str(n))["id"] for n in range(5)]
    query = {"project_name": api.project, "size": 2}
    pages = [api.ok("GET", "traces", params={**query, "page": n}) for n in (1, 2, 3)]
    assert [row["id"] for page in pages for row in page["content"]] == sent[::-1]
    assert [page["size"] for page in pages] == [2, 2, 1]
    assert {page["total"] for page in pages} == {5}


def test_lists_demand_a_project(api: Api) -> None:
    """A list without project is refused, one of an unknown project is not found."""
    assert api.send("GET", "traces").status_code == 400
    assert api.send("GET", "spans", params={"project_name": "no such"}).status_code == 404
    assert api.send("POST", "traces/search", {"project_name": "no such"}).status_code == 404
    assert api.send("GET", "traces", params={"project_id": new_id()}).status_code == 404


@pytest.mark.parametrize("size", [0, -1, 5000, "x"])
def test_bad_page_sizes(api: Api, size: object) -> None:
    """A size out of range is refused."""
    api.trace()
    query = {"project_name": api.project, "size": size}
    assert api.send("GET", "traces", params=query).status_code == 422


def test_lists_can_be_sorted_and_cut(api: Api) -> None:
    """Lists take an order, fields to leave out, a text to look for and a range of time."""
    for name, cost in (("b", 2.0), ("a", 1.0), ("c", None)):
        trace = api.trace(name=name, input={"q": f"question {name}"})
        api.span(trace["id"], **({} if cost is None else {"total_estimated_cost": cost}))

    def names(**query: object) -> list[str]:
        found = api.ok("GET", "traces", params={"project_name": api.project, **query})
        return [row["name"] for row in found["content"]]

    by_name = '[{"field": "name", "direction": "ASC"}]'
    by_cost = '[{"field": "total_estimated_cost", "direction": "DESC"}]'
    assert names(sorting=by_name) == ["a", "b", "c"]
    assert names(sorting=by_cost) == ["b", "a", "c"]
    assert names(search="question a") == ["a"]
    assert names(from_time="2027-01-01T00:00:00Z") == []
    assert len(names(to_time="2027-01-01T00:00:00Z")) == 3
    found = api.ok("GET", "traces", params={"project_name": api.project, "exclude": '["input"]'})
    assert all("input" not in row for row in found["content"])
    for bad in ("x", "[1]", '[{"field": "nonsense"}]', '{"field": "name"}'):
        query = {"project_name": api.project, "sorting": bad}
        assert api.send("GET", "traces", params=query).status_code == 400, bad
    query = {"project_name": api.project, "from_time": "soon"}
    assert api.send("GET", "traces", params=query).status_code == 400


def test_streams_follow_the_cursor(api: Api) -> None:
    """A stream gives each record once, newest first, over as many requests as it takes."""
    sent = [api.trace()["id"] for _ in range(5)]
    seen: list[str] = []
    while True:
        body: dict[str, object] = {"project_name": api.project, "limit": 2}
        if seen:
            body["last_retrieved_id"] = seen[-1]
        rows = api.lines("traces/search", body)
        seen += [row["id"] for row in rows]
        if len(rows) < 2:
            break
    assert seen == sent[::-1]
    for limit in (0, 2001, "2", True):
        body = {"project_name": api.project, "limit": limit}
        assert api.send("POST", "traces/search", body).status_code == 422


def test_spans_of_a_trace_and_type(api: Api) -> None:
    """Spans can be asked for by trace and by type, as a page and as a stream."""
    trace = api.trace()["id"]
    tool = api.span(trace, type="tool")["id"]
    api.span(trace, type="llm")
    api.span(api.trace()["id"], type="tool")
    query = {"project_name": api.project, "trace_id": trace, "type": "tool"}
    assert [r["id"] for r in api.ok("GET", "spans", params=query)["content"]] == [tool]
    assert [r["id"] for r in api.lines("spans/search", query)] == [tool]
    assert len(api.lines("spans/search", {**query, "type": None})) == 2


def test_tags_are_added_and_removed(api: Api) -> None:
    """Updates may add tags to and remove tags from those that are there."""
    trace = api.trace(tags=["a", "b"])["id"]
    span = api.span(trace, tags=["a"])["id"]
    change = {"tags_to_add": ["c", "a"], "tags_to_remove": ["b"]}
    api.ok("PATCH", f"traces/{trace}", change)
    assert api.ok("GET", f"traces/{trace}")["tags"] == ["a", "c"]
    merge = {"ids": [trace], "update": {"tags": ["d"]}, "merge_tags": True}
    api.ok("PATCH", "traces/batch", merge)
    assert api.ok("GET", f"traces/{trace}")["tags"] == ["a", "c", "d"]
    api.ok("PATCH", "traces/batch", {**merge, "merge_tags": False})
    assert api.ok("GET", f"traces/{trace}")["tags"] == ["d"]
    update = {"trace_id": trace, "tags_to_add": ["z"], "name": "renamed"}
    api.ok("PATCH", "spans/batch", {"ids": [span], "update": update})
    found = api.ok("GET", f"spans/{span}")
    assert (found["tags"], found["name"]) == (["a", "z"], "renamed")
    bad = api.send("PATCH", f"traces/{trace}", {"tags_to_add": "x"})
    assert bad.status_code == 422


def test_updates_name_projects_by_id(api: Api) -> None:
    """An update may name the project by its id; an unknown id is 404."""
    trace = api.trace()["id"]
    project = api.ok("GET", f"traces/{trace}")["project_id"]
    api.ok("PATCH", f"traces/{trace}", {"project_id": project, "name": "n"})
    reply = api.send("PATCH", f"traces/{trace}", {"project_id": new_id(), "name": "n"})
    assert reply.status_code == 404


def test_span_updates_need_their_trace(api: Api) -> None:
    """An update of an unknown span must name the trace; one of a known span need not."""
    assert api.send("PATCH", f"spans/{new_id()}", {"name": "n"}).status_code == 422
    span = api.span(api.trace()["id"])["id"]
    api.ok("PATCH", f"spans/{span}", {"name": "n"})
    assert api.ok("GET", f"spans/{span}")["name"] == "n"


def test_deleting_traces_takes_their_spans(api: Api) -> None:
    """Deleting a trace deletes what belongs to it; single spans cannot be deleted."""
    one, two = api.trace()["id"], api.trace()["id"]
    span = api.span(one)["id"]
    assert api.send("DELETE", f"spans/{span}").status_code == 501
    api.ok("POST", "traces/delete", {"ids": [one]})
    api.ok("DELETE", f"traces/{two}")
    for path in (f"traces/{one}", f"traces/{two}", f"spans/{span}"):
        assert api.send("GET", path).status_code == 404


def test_project_names_ignore_case(api: Api) -> None:
    """A project is the same in any spelling; without one it is the default project."""
    api.trace()
    assert len(api.lines("traces/search", {"project_name": api.project.upper()})) == 1
    trace = new_id()
    api.ok("POST", "traces/batch", {"traces": [{"id": trace, "start_time": START}]})
    assert api.ok("GET", f"traces/{trace}")["project_name"] == "Default Project"


def test_writes_answer_exactly_204(client: httpx.Client) -> None:
    """Some clients demand 204 and nothing else for batches."""
    trace = {"id": new_id(), "start_time": START}
    reply = client.post(f"{client.base_url}/v1/private/traces/batch", json={"traces": [trace]})
    assert (reply.status_code, reply.content) == (204, b"")
