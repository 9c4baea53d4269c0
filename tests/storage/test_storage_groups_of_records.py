"""Records that travel column by column arrive as they left, and end in the store as ever."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opik_eval.errors import PayloadError
from opik_eval.records import ErrorInfo, Span, Trace
from opik_eval.serialization import dumps, loads
from opik_eval.storage.file import FileStorage
from opik_eval.storage.memory import MemoryStorage
from opik_eval.storage.wire import record_to_wire
from opik_eval.storage.wire_columns import plain_group
from opik_eval.storage.wire_groups import (
    columns_of,
    count_records,
    group_records,
    group_to_json,
    payload_records,
)

TEXTS = st.text(max_size=6)
TIMES = st.none() | st.datetimes(timezones=st.just(UTC))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
ERRORS = st.builds(ErrorInfo, exception_type=TEXTS, message=st.none() | TEXTS, traceback=TEXTS)
COMMON = {
    "id": st.integers(0, 5).map(str),
    "project_name": st.none() | st.sampled_from(["Demo", "demo", "ß"]),
    "name": st.none() | TEXTS,
    "start_time": TIMES,
    "end_time": TIMES,
    "input": VALUES,
    "output": VALUES,
    "metadata": st.none() | st.dictionaries(TEXTS, VALUES, max_size=3),
    "tags": st.none() | st.lists(TEXTS, max_size=2).map(tuple),
    "error_info": st.none() | ERRORS,
    "ttft_seconds": st.none() | st.floats(allow_nan=False),
    "last_updated_at": TIMES,
}
TRACES = st.builds(Trace, **COMMON)
SPANS = st.builds(
    Span,
    **COMMON,
    trace_id=TEXTS,
    type=st.none() | st.sampled_from(["llm", "tool"]),
    usage=st.none() | st.dictionaries(TEXTS, st.integers(0, 99), max_size=2),
    cost_usd=st.none() | st.floats(allow_nan=False),
)


def said(record):
    """Return what a record names, and is not ``None``, as it can be read back."""
    return loads(dumps({name: value for name, value in record if value is not None}))


@settings(max_examples=150, deadline=None)
@given(st.lists(TRACES, min_size=1, max_size=4) | st.lists(SPANS, min_size=1, max_size=4))
def test_records_come_back(records):
    """What a group holds are the records that went in."""
    group = loads(group_to_json(records))
    assert [*map(said, group_records(group))] == [*map(said, records)]
    assert count_records([group, {"id": "1"}, 7]) == len(records) + 2
    assert payload_records([group, record_to_wire(Trace(id="x"))])[-1] == Trace(id="x")


@settings(max_examples=100, deadline=None)
@given(st.lists(TRACES, min_size=1, max_size=4), st.lists(SPANS, min_size=1, max_size=4))
def test_groups_are_stored_like_records(tmp_path_factory, traces, spans):
    """A group ends in the same records as a write, whether its columns are plain or not."""
    stamped = datetime(2026, 1, 1, tzinfo=UTC)
    records = [
        record.model_copy(update={"last_updated_at": record.last_updated_at or stamped})
        for record in (*traces, *spans)
    ]
    groups = [
        loads(group_to_json(records[: len(traces)])),
        loads(group_to_json(records[len(traces) :])),
    ]
    folder = tmp_path_factory.mktemp("groups")
    with (
        closing(FileStorage(folder / "groups.db")) as by_group,
        closing(FileStorage(folder / "records.db")) as by_record,
        closing(MemoryStorage()) as in_memory,
    ):
        by_record.write(records)
        for storage in (by_group, in_memory):
            storage.write_payloads(groups)
            assert [*storage.list_traces()] == [*by_record.list_traces()]
            assert [*storage.list_spans()] == [*by_record.list_spans()]
            assert [*storage.list_projects()] == [*by_record.list_projects()]
            assert storage.flush() == by_record.flush()


@pytest.mark.parametrize(
    "group",
    [
        {"kind": "odd", "columns": {"id": ["1"]}},
        {"kind": 7, "columns": {"id": ["1"]}},
        {"kind": "trace", "columns": []},
        {"kind": "trace", "columns": {}},
        {"kind": "trace", "columns": {"id": "1"}},
        {"kind": "trace", "columns": {"id": ["1"], "name": []}},
        {"kind": "trace", "columns": {"name": ["no id"]}},
        {"kind": "trace", "columns": {"odd": ["no field"]}},
        {"kind": "trace", "columns": {"id": [None]}},
        {"kind": "trace", "columns": {"id": ["1"], "start_time": ["2026-01-31T00:00:00Z"]}},
        {"kind": "trace", "columns": {"id": ["1"], "start_time": [1.5]}},
        {"kind": "trace", "columns": {"id": ["1"], "start_time": [True]}},
        {"kind": "trace", "columns": {"id": ["1"], "start_time": [10**20]}},
        {"kind": "span", "columns": {"id": ["1"], "trace_id": ["1"], "type": ["odd"]}},
        {"kind": "span", "columns": {"id": ["1"]}},
    ],
)
def test_what_is_no_group_is_refused(tmp_path, group):
    """Nothing of a batch with a wrong group is written, in any storage."""
    for storage in (MemoryStorage(), FileStorage(tmp_path / "a.db")):
        with closing(storage):
            with pytest.raises(PayloadError):
                storage.write_payloads([{"kind": "trace", "id": "good"}, group])
            assert not [*storage.list_traces()]


def test_what_our_client_sends_takes_the_short_way():
    """Complete traces and spans are plain columns."""
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    span = Span(
        id="1", trace_id="1", type="llm", start_time=now, input={"a": [1]}, tags=("t",),
        usage={"total_tokens": 3}, cost_usd=0.5, ttft_seconds=0.25, last_updated_at=now,
    )  # fmt: skip
    kind, columns, count = columns_of(loads(group_to_json([span, span])))
    found = dict(zip(Span.model_fields, plain_group(kind, columns), strict=True))
    assert (kind, count, found["name"], found["type"]) == (Span, 2, None, ["llm", "llm"])
    assert found["start_time"] == [int(now.timestamp()) * 10**6] * 2
