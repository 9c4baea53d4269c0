"""The published opik scores, searches and deletes in our server."""

from __future__ import annotations

import pytest
from expectation import Expectation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_scores_threads_queues_and_deletions_are_read_back(drive, readback):
    """Scores of every kind of entity, a closed thread, a deleted trace and a copied project."""
    report = drive("feedback.py", "feedback")
    said = report["said"]
    expected = Expectation.of(report["exchanges"])
    assert expected.deleted == {said["traces"][2]}
    readback.assert_traced(expected, "feedback")
    for key in [key for key in expected.scores if key[0] != "thread"]:
        sent = expected.traced(key[0])
        if key[1] not in sent or sent[key[1]]["project_name"] != "feedback":
            del expected.scores[key]  # of what is deleted; copies are looked at below
    readback.assert_scored(expected, "feedback")
    overall = readback.get(f"traces/{said['traces'][0]}")["feedback_scores"]
    assert {"name": "overall", "value": 1.0, "reason": "second thoughts"}.items() <= next(
        score for score in overall if score["name"] == "overall"
    ).items()
    (thread,) = said["threads"]
    assert (thread["id"], thread["status"], thread["number_of_messages"]) == (
        "thread one",
        "inactive",
        4,
    )
    assert [(score["name"], score["value"]) for score in thread["feedback_scores"]] == [
        ("resolved", 0.75)
    ]
    copies = list(readback.storage.list_traces(project_name="feedback copy"))
    originals = list(readback.storage.list_traces(project_name="feedback"))
    assert sorted(str(trace.input) for trace in copies) == sorted(
        str(trace.input) for trace in originals
    )


def test_searches_find_what_their_filters_say(drive):
    """Every family of operators, on traces, spans, threads, items and prompts."""
    report = drive("searching.py", "searching")
    assert report["said"] == {"traces": {}, "spans": {}, "threads": {}, "items": {}, "prompts": {}}


def test_what_is_deleted_is_gone_and_the_rest_stays(drive, readback):
    """Traces, threads, experiments, optimizations, suites, prompts and projects."""
    said = drive("deleting.py", "deleting")["said"]
    storage = readback.storage
    kept = {name for name, given in said["traces"].items() if storage.find_trace(given)}
    assert kept == {"kept"}
    spans = list(storage.list_spans(project_name="deleting"))
    assert [span.trace_id for span in spans] == [said["traces"]["kept"]]
    scores = list(storage.list_feedback_scores("trace", list(said["traces"].values())))
    assert [score.entity_id for score in scores] == [said["traces"]["kept"]]
    for kind, find in (
        ("experiments", storage.find_experiment),
        ("optimizations", storage.find_optimization),
    ):
        assert {name for name, given in said[kind].items() if find(given)} == {"kept"}
    assert storage.find_dataset("deleting suite a")
    assert storage.find_dataset("deleting suite b") is None
    assert storage.find_prompt("deleting kept")
    assert storage.find_prompt("deleting gone") is None
    assert storage.find_trace(said["trace of project"]) is None
