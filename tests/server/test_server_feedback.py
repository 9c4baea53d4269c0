"""Feedback scores, comments and threads."""

from __future__ import annotations

import pytest
from server_client import END, Api

from opik_eval.ids import new_id

SCORE = {"name": "good", "value": 1, "source": "sdk"}


def test_scores_before_their_trace(api: Api) -> None:
    """Scores may come before what they judge."""
    trace = new_id()
    api.ok("PUT", "traces/feedback-scores", {"scores": [{**SCORE, "id": trace, "reason": "r"}]})
    api.trace(id=trace)
    (found,) = api.ok("GET", f"traces/{trace}")["feedback_scores"]
    assert (found["name"], found["value"], found["reason"]) == ("good", 1, "r")


@pytest.mark.parametrize("kind", ["traces", "spans"])
def test_one_score_at_a_time(api: Api, kind: str) -> None:
    """Single scores are written and deleted by name."""
    trace = api.trace()["id"]
    entity = trace if kind == "traces" else api.span(trace)["id"]
    api.ok("PUT", f"{kind}/{entity}/feedback-scores", SCORE)
    api.ok("PUT", f"{kind}/{entity}/feedback-scores", {**SCORE, "value": 0.25})
    assert [s["value"] for s in api.ok("GET", f"{kind}/{entity}")["feedback_scores"]] == [0.25]
    api.ok("POST", f"{kind}/{entity}/feedback-scores/delete", {"name": "good"})
    assert api.ok("GET", f"{kind}/{entity}")["feedback_scores"] == []


def test_scores_of_several_authors(api: Api) -> None:
    """The score of a name is the mean over its authors; one author's can be deleted alone."""
    trace = api.trace()["id"]
    for author, value in (("ann", 0.0), ("bob", 1.0)):
        score = {**SCORE, "id": trace, "author": author, "value": value}
        api.ok("PUT", "traces/feedback-scores", {"scores": [score]})
    (found,) = api.ok("GET", f"traces/{trace}")["feedback_scores"]
    assert found["value"] == 0.5
    assert {a: v["value"] for a, v in found["value_by_author"].items()} == {"ann": 0.0, "bob": 1.0}
    gone = {"name": "good", "author": "ann"}
    api.ok("POST", f"traces/{trace}/feedback-scores/delete", gone)
    (found,) = api.ok("GET", f"traces/{trace}")["feedback_scores"]
    assert found["value"] == 1.0


@pytest.mark.parametrize(
    "content",
    [
        '{"name": "n", "value": NaN, "source": "sdk"}',
        '{"name": "n", "value": Infinity, "source": "sdk"}',
        '{"name": "n", "value": 1e12, "source": "sdk"}',
        '{"name": "n", "value": "high", "source": "sdk"}',
        '{"name": "", "value": 1, "source": "sdk"}',
        '{"value": 1, "source": "sdk"}',
    ],
)
def test_scores_that_are_none(api: Api, content: str) -> None:
    """Scores must be finite numbers with a name."""
    reply = api.send("PUT", f"traces/{new_id()}/feedback-scores", content=content.encode())
    assert reply.status_code == 400
    assert reply.json()["errors"]


@pytest.mark.parametrize("kind", ["traces", "spans"])
def test_comments(api: Api, kind: str) -> None:
    """Comments are written, read, changed and deleted."""
    trace = api.trace()["id"]
    entity = trace if kind == "traces" else api.span(trace)["id"]
    reply = api.send("POST", f"{kind}/{entity}/comments", {"text": "hm"})
    comment = reply.headers["location"].rsplit("/", 1)[1]
    api.ok("PATCH", f"{kind}/comments/{comment}", {"text": "oh"})
    assert api.ok("GET", f"{kind}/{entity}/comments/{comment}")["text"] == "oh"
    assert api.ok("GET", f"{kind}/{entity}")["comments"][0]["text"] == "oh"
    api.ok("POST", f"{kind}/comments/delete", {"ids": [comment]})
    assert api.send("GET", f"{kind}/{entity}/comments/{comment}").status_code == 404
    assert api.send("PATCH", f"{kind}/comments/{comment}", {"text": "x"}).status_code == 404
    assert api.send("POST", f"{kind}/{new_id()}/comments", {"text": "x"}).status_code == 404
    assert api.send("POST", f"{kind}/{entity}/comments", {"text": " "}).status_code == 422


def thread(api: Api, name: str = "talk", count: int = 2) -> str:
    """Write the traces of a thread and return the id of the first."""
    fields = {"thread_id": name, "end_time": END}
    first, *_ = [api.trace(input=n, output=n, **fields)["id"] for n in range(count)]
    return str(first)


def test_threads_are_derived(api: Api) -> None:
    """A thread has the messages, usage and scores of its traces."""
    first = thread(api)
    api.span(first, usage={"total_tokens": 4}, total_estimated_cost=0.5)
    score = {**SCORE, "thread_id": "talk", "project_name": api.project}
    api.ok("PUT", "traces/threads/feedback-scores", {"scores": [score]})
    (found,) = api.lines("traces/threads/search", {"project_name": api.project})
    assert found["id"] == "talk"
    assert found["number_of_messages"] == 4
    assert (found["first_message"], found["last_message"]) == (0, 1)
    assert found["duration"] == 2000.0
    assert found["usage"] == {"total_tokens": 4}
    assert found["status"] == "active"
    assert found["feedback_scores"][0]["value"] == 1
    wanted = {"project_name": api.project, "thread_id": "talk"}
    assert api.ok("POST", "traces/threads/retrieve", wanted) == found
    listed = api.ok("GET", "traces/threads", params={"project_name": api.project})
    assert listed["content"] == [found]
    gone = {**wanted, "names": ["good"]}
    api.ok("POST", "traces/threads/feedback-scores/delete", gone)
    assert api.ok("POST", "traces/threads/retrieve", wanted)["feedback_scores"] == []


def test_threads_open_close_tags(api: Api) -> None:
    """Status and tags of threads are kept and can be filtered by."""
    thread(api, "a")
    thread(api, "b")
    both = {"project_name": api.project, "thread_ids": ["a", "b"]}
    one = {"project_name": api.project, "thread_id": "a"}
    api.ok("PUT", "traces/threads/close", both)
    api.ok("PUT", "traces/threads/open", one)
    model = api.ok("POST", "traces/threads/retrieve", one)["thread_model_id"]
    api.ok("PATCH", f"traces/threads/{model}", {"tags": ["x"]})
    api.ok("PATCH", "traces/threads/batch", {"ids": [model], "update": {"tags_to_add": ["y"]}})

    def matching(field: str, operator: str, value: str) -> list[str]:
        entry = {"field": field, "operator": operator, "value": value}
        body = {"project_name": api.project, "filters": [entry]}
        return sorted(row["id"] for row in api.lines("traces/threads/search", body))

    assert matching("status", "=", "inactive") == ["b"]
    assert matching("status", "=", "active") == ["a"]
    assert matching("tags", "contains", "y") == ["a"]
    assert matching("number_of_messages", ">=", "4") == ["a", "b"]
    assert matching("created_at", ">", "2020-01-01T00:00:00Z") == ["a", "b"]
    assert api.send("PUT", "traces/threads/close", {"project_name": api.project}).status_code == 422
    assert api.send("PATCH", f"traces/threads/{new_id()}", {"tags": []}).status_code == 404


@pytest.mark.parametrize("cursor", ["thread_model_id", "id"])
def test_thread_stream_takes_both_cursors(api: Api, cursor: str) -> None:
    """Opik's client sends the thread's own id where its model id belongs; both work."""
    for name in ("a", "b", "c"):
        thread(api, name, 1)
    seen: list[str] = []
    last: dict[str, object] = {}
    while rows := api.lines(
        "traces/threads/search", {"project_name": api.project, "limit": 1, **last}
    ):
        seen.append(rows[0]["id"])
        last = {"last_retrieved_thread_model_id": rows[0][cursor]}
    assert sorted(seen) == ["a", "b", "c"]


def test_deleting_threads_takes_their_traces(api: Api) -> None:
    """A deleted thread is gone with its traces."""
    first = thread(api)
    api.ok("POST", "traces/threads/delete", {"project_name": api.project, "thread_ids": ["talk"]})
    assert api.send("GET", f"traces/{first}").status_code == 404
    wanted = {"project_name": api.project, "thread_id": "talk"}
    assert api.send("POST", "traces/threads/retrieve", wanted).status_code == 404


def test_threads_can_be_sorted(api: Api) -> None:
    """Lists of threads take an order."""
    thread(api, "short", 1)
    thread(api, "long", 3)
    order = '[{"field": "number_of_messages", "direction": "DESC"}]'
    query = {"project_name": api.project, "sorting": order, "search": "o"}
    found = api.ok("GET", "traces/threads", params=query)
    assert [row["id"] for row in found["content"]] == ["long", "short"]
