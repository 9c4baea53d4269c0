"""The records: immutable, strict, in UTC."""

from __future__ import annotations

import datetime as dt
import typing

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval import records
from opik_eval.records import Record, Trace, UtcDatetime, utc_now

RECORDS = sorted(
    (
        value
        for value in vars(records).values()
        if isinstance(value, type) and issubclass(value, Record) and value is not Record
    ),
    key=lambda kind: kind.__name__,
)
moments = st.datetimes(
    min_value=dt.datetime.fromisoformat("0001-01-03"),
    max_value=dt.datetime.fromisoformat("9999-12-29"),
    timezones=st.none() | st.timezones() | st.just(dt.UTC),
)


@given(moments)
def test_times_are_in_utc(moment):
    """Every time names the same moment, in UTC; a naive one is taken as UTC."""
    stored = Trace(id="1", start_time=moment).start_time
    assert stored.tzinfo is dt.UTC or stored.utcoffset() == dt.timedelta(0)
    # Times that a clock skips or shows twice equal no time of another zone; hence not ``moment``.
    assert stored == (moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC))
    assert Trace.model_validate_json(Trace(id="1", start_time=moment).model_dump_json()) == Trace(
        id="1", start_time=moment
    )


def test_now_is_aware():
    """The clock of the records gives UTC."""
    before = dt.datetime.now(dt.UTC)
    assert before <= utc_now() <= dt.datetime.now(dt.UTC)
    assert utc_now().utcoffset() == dt.timedelta(0)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_records_are_immutable_and_strict(kind):
    """No field of a record can be set, and none can be invented."""
    record = kind.model_construct()
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        record.id = "2"
    with pytest.raises(pydantic.ValidationError, match="nonsense"):
        kind(nonsense=1)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_absent_fields_say_nothing(kind):
    """What is not required is ``None`` by default, which never erases, or a harmless constant."""
    constants = {"sdk", "trace", "mustache", False}
    for name, field in kind.model_fields.items():
        assert field.is_required() or field.default is None or field.default in constants, name


def test_times_are_declared_as_utc():
    """Every field that holds a time is of the type that converts."""
    for kind in RECORDS:
        for name, hint in typing.get_type_hints(kind, include_extras=True).items():
            if "datetime" in str(hint):
                assert UtcDatetime in typing.get_args(hint), f"{kind.__name__}.{name}"
