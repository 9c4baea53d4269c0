"""Rows that are read many at once give what each gives by itself."""

from __future__ import annotations

from datetime import UTC

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opik_eval.errors import StorageError
from opik_eval.records import (
    DatasetItem,
    ErrorInfo,
    ExperimentItem,
    FeedbackScore,
    ItemScore,
    Span,
    SpanType,
)
from opik_eval.serialization import dumps, loads, loads_each
from opik_eval.storage.file_dialect import SqliteDialect
from opik_eval.storage.sql_tables import (
    DATASET_ITEMS,
    EXPERIMENT_ITEMS,
    FEEDBACK_SCORES,
    SPANS,
    RowCodec,
)

MANY = 20
TEXTS = st.text(max_size=6)
NUMBERS = st.none() | st.floats()
TIMES = st.none() | st.datetimes(timezones=st.just(UTC))
INTEGERS = st.integers(-(2**70), 2**70)
OBJECTS = st.dictionaries(TEXTS, TEXTS | INTEGERS | st.lists(st.booleans()), max_size=2)
TAGS = st.none() | st.lists(TEXTS, max_size=2).map(tuple)
SCORES = st.builds(ItemScore, name=TEXTS, value=NUMBERS, metadata=st.none() | OBJECTS)
RECORDS = [
    (DATASET_ITEMS, st.builds(DatasetItem, id=TEXTS, data=OBJECTS, tags=TAGS, created_at=TIMES)),
    (
        FEEDBACK_SCORES,
        st.builds(
            FeedbackScore, entity_id=TEXTS, name=TEXTS, value=st.floats(), reason=st.none() | TEXTS
        ),
    ),
    (
        SPANS,
        st.builds(
            Span,
            id=TEXTS,
            trace_id=TEXTS,
            type=st.none() | st.sampled_from(SpanType),
            input=st.none() | OBJECTS | TEXTS,
            tags=TAGS,
            error_info=st.none() | st.builds(ErrorInfo, exception_type=TEXTS, traceback=TEXTS),
            usage=st.none() | st.dictionaries(TEXTS, st.integers(0, 9), max_size=2),
            start_time=TIMES,
        ),
    ),
    (
        EXPERIMENT_ITEMS,
        st.builds(
            ExperimentItem,
            id=TEXTS,
            experiment_id=TEXTS,
            dataset_item_id=TEXTS,
            output=st.none() | OBJECTS | INTEGERS,
            scores=st.none() | st.lists(SCORES, max_size=2).map(tuple),
            task_seconds=NUMBERS,
        ),
    ),
]


def codec_of(table):
    """Return the codec of a table of the file backend."""
    return RowCodec(table, SqliteDialect())


def shown(record):
    """Return a record and what was said of it, with NaN equal to itself."""
    return repr(record), record.model_fields_set


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_many_rows_give_the_records_that_each_gives(data):
    """Values, types and what was not said agree for all kinds, NULLs among values included."""
    table, records = data.draw(st.sampled_from(RECORDS))
    codec, some = codec_of(table), data.draw(st.lists(records, min_size=1, max_size=4))
    rows = codec.encode(some * MANY, *[[None] * len(some) * MANY for _ in table.own])
    assert [*map(shown, codec.decode_many(rows))] == [*map(shown, map(codec.decode, rows))]


@pytest.mark.parametrize("place", [0, MANY])
@pytest.mark.parametrize(("column", "cell"), [("data", "{"), ("data", "[1]"), ("id", None)])
def test_a_broken_row_is_named_after_all_rows_before_it(place, column, cell):
    """One bad row among many costs no other row that comes before it."""
    codec = codec_of(DATASET_ITEMS)
    items = [DatasetItem(id=str(n), data={"n": n}) for n in range(2 * MANY)]
    rows = codec.encode(items, *[[None] * len(items) for _ in DATASET_ITEMS.own])
    broken = list(rows[place])
    broken[codec.columns.index(column)] = cell
    rows[place] = tuple(broken)
    found = codec.decode_many(rows)
    assert [next(found) for _ in range(place)] == items[:place]
    with pytest.raises((StorageError, ValueError)):
        next(found)


@given(st.lists(OBJECTS | TEXTS | st.none() | st.just("\x1f") | INTEGERS, max_size=4))
def test_texts_read_at_once_are_those_read_one_by_one(values):
    """Whatever stands between them in one text, the values are their own."""
    texts = [dumps(value).decode() for value in values]
    assert loads_each(texts) == [loads(text) for text in texts]


@pytest.mark.parametrize("texts", [["[1", "2]"], ["1,2", "3"], [""], ["1", "]", "[2"]])
def test_texts_that_are_json_only_together_are_refused(texts):
    """Each text must be JSON by itself."""
    with pytest.raises(ValueError, match=r".+"):
        loads_each(texts)
