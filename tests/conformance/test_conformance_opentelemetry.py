"""OpenTelemetry's own exporter sends its spans to our server."""

from __future__ import annotations

from collections import Counter

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_exported_spans_are_read_back(drive, readback):
    """Each trace is there once with its three spans, and model calls are understood."""
    drive("exporting.py", "exported")
    traces = list(readback.storage.list_traces(project_name="exported"))
    names = [f"{kind} {number}" for kind in ("plain", "compressed") for number in range(100)]
    assert sorted(trace.name for trace in traces) == sorted(names)
    spans = list(readback.storage.list_spans(project_name="exported"))
    assert Counter(span.trace_id for span in spans) == {trace.id: 3 for trace in traces}
    calls = [span for span in spans if span.name == "call"]
    assert {(call.type, call.model, call.provider) for call in calls} == {
        ("llm", "gpt-4o-mini", "openai")
    }
    for call in calls:
        assert (call.usage["prompt_tokens"], call.usage["completion_tokens"]) == (11, 7)
        assert "Paris" in str(call.output)
    roots = {span.id: span.trace_id for span in spans if span.parent_span_id is None}
    assert len(roots) == len(traces)
    assert {roots[call.parent_span_id] == call.trace_id for call in calls} == {True}
    assert {trace.thread_id for trace in traces} <= {None, "thread 1"}
    shown = readback.get(f"spans/{calls[0].id}")
    assert (shown["type"], shown["model"]) == ("llm", "gpt-4o-mini")
