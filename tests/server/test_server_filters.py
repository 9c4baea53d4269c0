"""Filters: every operator of every kind of field, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from server_client import END, START, Api

ERROR = {"exception_type": "E", "traceback": "t"}


@pytest.fixture
def traces(api: Api) -> dict[str, str]:
    """Two traces that differ in everything, by id."""
    one = api.trace(
        name="Alpha",
        input={"q": "What?", "n": 5},
        metadata={"model": "gpt", "deep": {"list": [1, {"x": "y"}]}},
        tags=["red", "blue"],
        thread_id="t1",
        end_time=END,
        environment="prod",
        error_info=ERROR,
    )["id"]
    api.span(one, type="llm", usage={"total_tokens": 10}, total_estimated_cost=0.5)
    score = {"id": one, "name": "good", "value": 0.75, "source": "sdk"}
    api.ok("PUT", "traces/feedback-scores", {"scores": [score]})
    return {one: "one", api.trace(name="Beta", start_time=END)["id"]: "two"}


def matching(api: Api, names: dict[str, str], *entries: dict[str, Any]) -> set[str]:
    """Return the traces that a filter selects, and check that all routes agree."""
    body = {"project_name": api.project, "filters": list(entries)}
    streamed = {names[row["id"]] for row in api.lines("traces/search", body)}
    query = {"project_name": api.project, "filters": json.dumps(list(entries))}
    listed = api.ok("GET", "traces", params=query)
    assert {names[row["id"]] for row in listed["content"]} == streamed
    assert listed["total"] == len(streamed)
    return streamed


@pytest.mark.parametrize(
    ("field", "key", "operator", "value", "expected"),
    [
        ("name", "", "=", "alpha", "one"),
        ("name", "", "!=", "alpha", "two"),
        ("name", "", "contains", "LPH", "one"),
        ("name", "", "not_contains", "lph", "two"),
        ("name", "", "starts_with", "be", "two"),
        ("name", "", "ends_with", "PHA", "one"),
        ("name", "", ">", "alpha", "two"),
        ("name", "", "<", "beta", "one"),
        ("input", "", "contains", "what?", "one"),
        ("input_json", "q", "=", "what?", "one"),
        ("input_json", "n", ">=", "5", "one"),
        ("metadata", "model", "=", "gpt", "one"),
        ("metadata", "deep.list[1].x", "=", "y", "one"),
        ("metadata", "deep.list[0]", "<=", "1.5", "one"),
        ("metadata", "model", "is_empty", "", "two"),
        ("tags", "", "contains", "red", "one"),
        ("tags", "", "not_contains", "red", "two"),
        ("tags", "", "is_empty", "", "two"),
        ("tags", "", "is_not_empty", "", "one"),
        ("thread_id", "", "=", "t1", "one"),
        ("duration", "", ">", "1999", "one"),
        ("duration", "", "<=", "2000", "one"),
        ("usage.total_tokens", "", "=", "10", "one"),
        ("total_estimated_cost", "", ">=", "0.5", "one"),
        ("llm_span_count", "", "=", "1", "one"),
        ("start_time", "", ">", START, "two"),
        ("start_time", "", "<=", START, "one"),
        ("end_time", "", "=", END, "one"),
        ("feedback_scores", "good", ">", "0.5", "one"),
        ("feedback_scores", "good", "is_empty", "", "two"),
        ("feedback_scores", "good", "is_not_empty", "", "one"),
        ("span_feedback_scores", "good", "is_empty", "", "one two"),
        ("error_info", "", "is_not_empty", "", "one"),
        ("environment", "", "=", "prod", "one"),
        ("environment", "", "in", "prod,dev", "one"),
        ("environment", "", "not_in", "prod,dev", "two"),
        ("guardrails", "", "=", "failed", ""),
        ("annotation_queue_ids", "", "is_empty", "", "one two"),
        ("created_by", "", "=", "admin", "one two"),
        ("experiment_id", "", "=", "01a2021b-0cf5-7ccf-9d87-5376b22b3b2d", ""),
    ],
)
def test_operators(
    api: Api, traces: dict[str, str], field: str, key: str, operator: str, value: str, expected: str
) -> None:
    """Each operator selects what it says, in streams and in lists."""
    entry = {"field": field, "key": key, "operator": operator, "value": value, "type": "x"}
    assert matching(api, traces, entry) == set(expected.split())


def test_conditions_must_all_hold(api: Api, traces: dict[str, str]) -> None:
    """Several conditions, of the storage and of the server, are joined by and."""
    own = {"field": "created_by", "operator": "=", "value": "admin"}
    stored = {"field": "name", "operator": "=", "value": "beta"}
    assert matching(api, traces, own, stored) == {"two"}
    assert matching(api, traces) == {"one", "two"}


@pytest.mark.parametrize(
    "filters",
    [
        [{"field": "nonsense", "operator": "=", "value": "x"}],
        [{"field": "name", "operator": "like", "value": "x"}],
        [{"field": "duration", "operator": "contains", "value": "1"}],
        [{"field": "duration", "operator": ">", "value": "long"}],
        [{"field": "start_time", "operator": ">", "value": "soon"}],
        [{"field": "error_info", "operator": "=", "value": "x"}],
        [{"field": "guardrails", "operator": "nonsense", "value": "x"}],
        [{"field": "feedback_scores", "operator": ">", "value": "1"}],
        [{"operator": "=", "value": "x"}],
        [{"field": "name", "operator": "=", "value": 5}],
        ["name"],
        {"field": "name"},
        "not json",
        "[" * 5000,
        5,
    ],
)
def test_bad_filters_are_refused(api: Api, filters: object) -> None:
    """Filters that make no sense are a 400 that says why."""
    api.trace()
    body = {"project_name": api.project, "filters": filters}
    reply = api.send("POST", "traces/search", body)
    assert reply.status_code == 400
    assert reply.json()["errors"]


def test_filters_of_spans(api: Api) -> None:
    """Spans are filtered by their own fields."""
    trace = api.trace()["id"]
    llm = api.span(trace, type="llm", model="gpt-4", provider="openai")["id"]
    api.span(trace, type="tool")
    for entry in (
        {"field": "type", "operator": "=", "value": "llm"},
        {"field": "model", "operator": "starts_with", "value": "GPT"},
        {"field": "provider", "operator": "is_not_empty", "value": ""},
    ):
        rows = api.lines("spans/search", {"project_name": api.project, "filters": [entry]})
        assert [row["id"] for row in rows] == [llm]
