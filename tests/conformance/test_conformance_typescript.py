"""The published TypeScript client works with our server."""

from __future__ import annotations

import pytest
from expectation import Expectation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_traces_datasets_and_an_evaluation_are_read_back_as_they_were_sent(drive, readback):
    """All that the TypeScript client wrote is there, equal to what it sent."""
    report = drive("drive.mjs", "typescript")
    said = report["said"]
    expected = Expectation.of(report["exchanges"])
    readback.assert_traced(expected, "typescript")
    readback.assert_scored(expected, "typescript")
    readback.assert_experiment_items(expected)
    readback.assert_dataset_items(expected)
    readback.assert_experiment(said["evaluation"], count=3)
    trace = readback.storage.find_trace(said["traces"]["trace"])
    assert (trace.output, trace.thread_id, trace.tags) == ({"a": "reply"}, "thread", ("t", "u"))
    inner = readback.storage.find_span(said["traces"]["inner"])
    assert (inner.parent_span_id, inner.type) == (said["traces"]["span"], "tool")
    prompt = readback.storage.find_prompt("typescript prompt")
    commits = [version.commit for version in readback.storage.list_prompt_versions(prompt.id)]
    assert commits == [said["prompts"]["first"], said["prompts"]["second"]]
