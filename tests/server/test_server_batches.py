"""Batches of new traces and spans: the quick way ends where the careful one does."""

from __future__ import annotations

from contextlib import closing
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opik_eval.errors import OpikEvalError
from opik_eval.ids import new_id
from opik_eval.records import Span, Trace
from opik_eval.server.batches import write_batch
from opik_eval.server.failures import FrameworkError, RefusedError
from opik_eval.server.payloads import are_identifiers, identifier
from opik_eval.server.writing import new_span, new_trace
from opik_eval.storage.memory import MemoryStorage

START = "2026-01-01T00:00:00.000000Z"
IDS = [new_id() for _ in range(4)]
ODD_IDS = [IDS[0].upper(), f"{{{IDS[1]}}}", "1", "", 7, f"{IDS[0]}\n{IDS[1]}", "x" * 36, "\n" * 36]
FAILURES = (OpikEvalError, FrameworkError, RefusedError)
MOSTLY_IDS = st.sampled_from([*IDS * 5, *ODD_IDS])
FIELDS = {
    "project_name": st.sampled_from(["Demo", "", None]),
    "end_time": st.sampled_from([START, None, "2026-01-01T00:00:00+02:00", "later"]),
    "input": st.sampled_from([{}, {"a": [None]}, "text", [1]]),
    "metadata": st.sampled_from([{}, {"a": 1}, ["odd"]]),
    "tags": st.sampled_from([["a"], [], None]),
    "last_updated_at": st.just(START),
}
OF_SPANS = {
    "parent_span_id": MOSTLY_IDS | st.none(),
    "model": st.sampled_from(["gpt-4o", "no-such-model", "", None]),
    "provider": st.sampled_from(["openai", None, "fake"]),
    "usage": st.sampled_from(
        [{"prompt_tokens": 5, "completion_tokens": 1}, {}, {"total_tokens": 1}]
    ),
    "total_estimated_cost": st.sampled_from([0.5, 0.0, 1, None]),
}


def payloads(required, optional):
    """Return lists of payloads, most of them right."""
    return st.lists(st.fixed_dictionaries(required, optional=optional), min_size=1, max_size=3)


STARTS = st.sampled_from([START] * 8 + [None])
TRACES = payloads({"id": st.sampled_from([*IDS * 5, *ODD_IDS]), "start_time": STARTS}, FIELDS)
SPANS = payloads(
    {"id": MOSTLY_IDS, "trace_id": MOSTLY_IDS, "start_time": STARTS}, {**FIELDS, **OF_SPANS}
)


def outcome(write, storage):
    """Return all that is stored after a write, or the failure of it."""
    try:
        write()
    except FAILURES as error:
        return type(error), str(error)
    found = [*storage.list_traces(), *storage.list_spans(), *storage.list_projects()]
    return [record.model_dump_json() for record in found]


@settings(max_examples=200, deadline=None)
@given(st.booleans(), TRACES, SPANS)
def test_both_ways_end_alike(is_trace, traces, spans):
    """Whatever comes is stored, or refused for the same reason, as if looked at one by one."""
    kind, make, given_payloads = (Trace, new_trace, traces) if is_trace else (Span, new_span, spans)
    for payload in given_payloads:
        payload.setdefault("last_updated_at", START)
    with closing(MemoryStorage()) as short, closing(MemoryStorage()) as long:
        context = SimpleNamespace(storage=short, payloads=short)
        expected = outcome(lambda: long.write([make(p) for p in given_payloads]), long)
        assert outcome(lambda: write_batch(context, kind, given_payloads), short) == expected


@pytest.mark.parametrize("value", [*IDS[:1], *ODD_IDS, None], ids=lambda _: "")
def test_lists_of_ids_are_judged_like_single_ones(value):
    """A list of ids passes if each is a UUIDv7 in its canonical spelling, or absent."""
    try:
        is_right = value is None or identifier(value) == value
    except FrameworkError:
        is_right = False
    assert are_identifiers([IDS[1], value]) is is_right
