"""Payloads written as they come end in the same store as the records that they stand for."""

from __future__ import annotations

import math
from contextlib import closing
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opik_eval.errors import PayloadError
from opik_eval.records import Span, Trace
from opik_eval.serialization import dumps, loads
from opik_eval.storage.file import FileStorage
from opik_eval.storage.memory import MemoryStorage
from opik_eval.storage.microseconds import to_microseconds
from opik_eval.storage.wire import record_from_wire, record_to_wire
from opik_eval.storage.wire_columns import NotPlain, plain_columns

TEXTS = st.text(st.characters(), max_size=6)
TIMES = st.one_of(
    st.datetimes(timezones=st.just(UTC)).map(lambda time: time.isoformat().replace("+00:00", "Z")),
    st.sampled_from(
        [
            "2026-01-31T00:00:00Z",
            "2026-01-31T00:00:00.123Z",
            "2026-02-30T00:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T10:00:00+02:00",
            "2026-W01-1T00:00:00.123456Z",
            "2026-01-31T00:00:00.1Z",
            "yesterday",
            "",
        ]
    ),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
FIELDS = {
    "name": TEXTS,
    "project_name": st.sampled_from(["Demo", "demo", "ß", ""]) | TEXTS,
    "start_time": TIMES,
    "last_updated_at": TIMES,
    "input": VALUES,
    "output": VALUES,
    "metadata": st.dictionaries(TEXTS, VALUES, max_size=3) | VALUES,
    "tags": st.lists(TEXTS, max_size=3),
    "ttft": st.floats() | st.integers(),
    "error_info": st.fixed_dictionaries({"exception_type": TEXTS, "traceback": TEXTS}),
    "unknown": VALUES,
    "_opik_eval": st.fixed_dictionaries({"filled": st.just(["name"])}),
}
OF_SPANS = {
    "type": st.sampled_from(["llm", "tool", "odd"]),
    "usage": st.dictionaries(TEXTS, st.integers() | st.booleans() | st.floats(), max_size=2),
    "total_estimated_cost": st.floats(allow_nan=False) | st.integers(),
    "parent_span_id": TEXTS,
    "model": TEXTS,
}


def mostly(fields):
    """Return payloads that have some of the fields, and now and then a value of another one."""
    wrong = st.dictionaries(st.sampled_from(sorted(fields)), VALUES, max_size=1)
    right = st.fixed_dictionaries({}, optional=fields)
    return st.one_of(right, right, right, st.builds(lambda a, b: {**a, **b}, right, wrong))


TRACES = st.builds(
    lambda n, rest: {**rest, "kind": "trace", "id": f"t{n}"}, st.integers(0, 3), mostly(FIELDS)
)
SPANS = st.builds(
    lambda n, rest: {**rest, "kind": "span", "id": f"s{n}", "trace_id": "t1"},
    st.integers(0, 3),
    mostly({**FIELDS, **OF_SPANS}),
)


def rows(storage):
    """Return all rows of traces, spans and projects, but for the times of arrival."""
    database = storage._store.database
    found = {}
    for table in ("traces", "spans", "projects"):
        columns = [row[1] for row in database.rows(f"PRAGMA table_info({table})")]
        kept = [name for name in columns if name not in ("row_number", "written_at", "older")]
        names = ", ".join(f'"{name}"' for name in kept)
        found[table] = database.rows(f"SELECT {names} FROM {table} ORDER BY id")
    return found


@settings(max_examples=150, deadline=None)
@given(st.lists(TRACES | SPANS, max_size=4))
def test_payloads_and_their_records_make_equal_rows(tmp_path_factory, payloads):
    """Both ways store the same, or both refuse."""
    payloads = loads(dumps(payloads))
    folder = tmp_path_factory.mktemp("payloads")
    with (
        closing(FileStorage(folder / "short.db")) as short,
        closing(FileStorage(folder / "long.db")) as long,
    ):
        try:
            records = [record_from_wire(payload) for payload in payloads]
        except PayloadError:
            with pytest.raises(PayloadError):
                short.write_payloads(payloads)
            assert rows(short) == rows(long)
            return
        long.write(records)
        short.write_payloads(payloads)
        assert rows(short) == rows(long)
        assert [*short.list_traces()] == [*long.list_traces()]
        assert short.flush() == long.flush()


def test_what_our_client_sends_takes_the_short_way():
    """Complete traces and spans need no validation."""
    now = datetime(2026, 1, 1, 12, 30, 15, 250, tzinfo=UTC)
    common = {"start_time": now, "end_time": now, "input": [1], "output": "x", "tags": ("a",)}
    trace = Trace(id="1", name="n", metadata={"a": 1}, last_updated_at=now, **common)
    span = Span(
        id="1", trace_id="1", type="llm", usage={"total_tokens": 3}, cost_usd=0.5, model="m",
        ttft_seconds=0.25, **common,
    )  # fmt: skip
    for record in (trace, span):
        payload = loads(dumps(record_to_wire(record)))
        columns = plain_columns(type(record), [payload])
        values = [None if column is None else column[0] for column in columns]
        expected = [to_microseconds(v) if isinstance(v, datetime) else v for _, v in record]
        assert [list(v) if isinstance(v, tuple) else v for v in expected] == values


@pytest.mark.parametrize(
    "change",
    [
        {"input": {}, "ttft": 1},
        {"ttft": True},
        {"start_time": "2026-01-31T25:00:00Z"},
        {"name": 1},
        {"id": None},
        {"metadata": []},
        {"tags": ["a", 1]},
        {"error_info": {}},
        {"_opik_eval": {}},
    ],
)
def test_what_is_not_plain_goes_the_long_way(change):
    """Whatever must be converted or refused is left to the record."""
    payload = {"id": "1", **change}
    with pytest.raises(NotPlain):
        plain_columns(Trace, [payload])


def test_other_storages_and_kinds_take_payloads_too(tmp_path):
    """Scores and experiments are written with traces, in one call; nothing of a bad batch is."""
    payloads = [
        {"kind": "trace", "id": "t", "name": "ask"},
        {"kind": "feedback_score", "id": "t", "name": "accuracy", "value": 1},
        {"kind": "experiment", "id": "e", "name": "run"},
    ]
    for storage in (MemoryStorage(), FileStorage(tmp_path / "a.db")):
        with closing(storage):
            for bad in ({"kind": "trace"}, {"kind": "odd", "id": "1"}, 7):
                with pytest.raises(PayloadError):
                    storage.write_payloads([*payloads, bad])
            assert not [*storage.list_traces()]
            storage.write_payloads(payloads)
            assert storage.find_trace("t") == Trace(id="t", name="ask")
            assert [score.value for score in storage.list_feedback_scores("trace")] == [1.0]
            assert storage.find_experiment("e").name == "run"
            storage.write_payloads([{"kind": "trace", "id": "u", "ttft": math.inf}])
            assert storage.flush().delivered == 4
