"""Contract of values and filters: what comes back, and what conditions find."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime

import pytest

from opik_eval.errors import ConfigError
from opik_eval.ids import derived_id
from opik_eval.records import (
    DatasetItem,
    ErrorInfo,
    ExperimentItem,
    FeedbackScore,
    Record,
    Span,
    SpanType,
    Trace,
)
from opik_eval.serialization import to_jsonable
from opik_eval.storage.base import Storage
from opik_eval.storage.query import Condition, parse_filter
from opik_eval.testing.storage_cases import StorageCase, add_dataset, contents, day, item

VALUES: tuple[object, ...] = (
    "",
    "NULL",
    "nul\x00byte",
    "ünï¢ödé 🎉 \u2028",
    "lone \ud800 surrogate",
    0,
    False,
    True,
    2**53 + 1,
    -(2**63),
    10**40,
    0.1,
    1e300,
    5e-324,
    -0.0,
    [],
    {},
    [None],
    {"": {"a.b": [1, {"c": None}]}},
    {"q\"'": "it's"},
    "x" * 300_000,
)
"""Values that must come back as they are."""

MAPPED: tuple[object, ...] = (math.nan, math.inf, -math.inf, (1, 2), {1: 2}, b"\x00\xff", day(0))
"""Values that JSON cannot hold and that come back as ``serialization.to_jsonable`` maps them."""

TRACE_FILTERS: tuple[tuple[str, str], ...] = (
    ("", "1 2 3 4"),
    ('name = "ASK"', "1"),
    ('name != "ask"', "2 3 4"),
    ('name contains "S"', "1 2"),
    ('name not_contains "s"', "3 4"),
    ('name starts_with "t" or name ends_with "K"', "1 2"),
    ('name > "ask"', "2"),
    ('name >= "ask" and name <= "ASK"', "1"),
    ('name in ("ask", "TELL S")', "1 2"),
    ('name not_in ("ask", "other")', "2 3 4"),
    ("name is_empty", "3 4"),
    ("name is_not_empty", "1 2"),
    ('name contains "%" or name contains "_"', ""),
    ('id = "3"', "3"),
    ('input = "straße"', "1"),
    ('input contains "STRASSE"', "1"),
    ('input contains "\\"a\\":"', "2"),
    ('input_json.a.b = "deep"', "2"),
    ('input_json.list[1] = "two"', "2"),
    ("input_json.list.2 > 2.5", "2"),
    ('input_json."dotted.key" is_not_empty', "2"),
    ("metadata.n > 9", "2 3"),
    ("metadata.n >= 9", "1 2 3"),
    ("metadata.n = 9.0", "1"),
    ("metadata.n < 10", "1"),
    ('metadata.n > 9 and metadata.n < "a"', "2"),
    ('metadata.n < "x"', "1 2 3"),
    ("metadata.n != 9", "2 3 4"),
    ("metadata.n in (9, 10)", "1 2"),
    ("metadata.n not_in (9, 10)", "3 4"),
    ('metadata.n contains "0"', "2"),
    ("metadata.n is_empty", "4"),
    ("metadata.flag = true", "1"),
    ("metadata.flag = false", "2"),
    ("metadata.missing is_empty", "1 2 3 4"),
    ("metadata.null is_empty", "1 2 3 4"),
    ("metadata is_empty", "4"),
    ('metadata contains "flag"', "1 2"),
    ('tags contains "SLO"', "1"),
    ('tags = "slow"', "1"),
    ('tags != "slow"', "2 3 4"),
    ('tags not_contains "low"', "2 3 4"),
    ('tags in ("ok", "slow")', "1 2"),
    ("tags is_empty", "3 4"),
    ("start_time >= 2026-01-02T00:00:00Z", "2"),
    ("start_time < 2026-01-02", "1"),
    ('start_time = "2026-01-02T02:00:00+02:00"', "2"),
    ("start_time is_empty", "3 4"),
    ("end_time != 2026-01-02", "1 2 3 4"),
    ("duration > 1499", "1"),
    ("duration = 1500 and duration_seconds = 1.5", "1"),
    ("duration_seconds < 1", "2"),
    ("duration != 1500", "2 3 4"),
    ("ttft = 250", "1"),
    ("ttft_seconds <= 0.25", "1"),
    ("error_info is_not_empty", "2"),
    ("error_info is_empty", "1 3 4"),
    ('environment = "PROD"', "1"),
    ('environment in ("prod", "dev")', "1"),
    ('thread_id = "x"', "2"),
    ('project_name = "p"', "1"),
    ("feedback_scores.accuracy > 0.5", "1 2"),
    ("feedback_scores.accuracy = 0.25", "2"),
    ("feedback_scores.accuracy != 0.25", "1 3 4"),
    ("feedback_scores.accuracy is_empty", "3 4"),
    ('feedback_scores."two words" <= 3', "1"),
    ("feedback_scores.ACCURACY is_not_empty", ""),
    ("feedback_scores is_not_empty", "1 2"),
    ("span_feedback_scores.s = 2", "1"),
    ("span_feedback_scores.s is_empty", "2 3 4"),
    ("usage.total_tokens = 30", "1"),
    ("usage.prompt_tokens >= 5", "1"),
    ("usage.other is_empty", "1 2 3 4"),
    ("total_estimated_cost = 0.75", "1"),
    ("cost_usd is_empty", "2 3 4"),
    ("span_count = 3 and llm_span_count = 2", "1"),
    ("span_count = 0", "3 4"),
    ('experiment_id = "E"', "1 2"),
    ('experiment_id = "f"', "2"),
    ("experiment_id is_empty", "3 4"),
    ('created_at >= "2026-01-01"', ""),
    ('name = "ask" and metadata.n = 10 or name = "tell s"', "2"),
    ('name = "ask" and (metadata.n = 10 or metadata.n = 9)', "1"),
)
"""Filters of traces and the ids that they find among those of ``filtered_traces``."""


def filtered_traces() -> list[Record]:
    """Return the records that ``TRACE_FILTERS`` are about."""
    error = ErrorInfo(exception_type="ValueError", message="m", traceback="tb")
    nested = {"a": {"b": "DEEP"}, "list": [1, "two", 3], "dotted.key": 0}
    return [
        Trace(
            id="1",
            name="ask",
            project_name="P",
            input="STRASSE",
            metadata={"n": 9, "flag": True, "null": None},
            tags=("slow", "x"),
            start_time=day(0),
            end_time=datetime(2026, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC),
            ttft_seconds=0.25,
            environment="prod",
        ),
        Trace(
            id="2",
            name="Tell S",
            input=nested,
            metadata={"n": 10, "flag": False},
            tags=("OK",),
            start_time=day(1),
            end_time=datetime(2026, 1, 2, 0, 0, 0, 1, tzinfo=UTC),
            error_info=error,
            thread_id="X",
        ),
        Trace(id="3", name="", input=[], metadata={"n": "text"}, tags=()),
        Trace(id="4"),
        Span(id="a", trace_id="1", type=SpanType.LLM, usage={"total_tokens": 10}, cost_usd=0.5),
        Span(
            id="b",
            trace_id="1",
            type=SpanType.LLM,
            usage={"total_tokens": 20, "prompt_tokens": 5},
            cost_usd=0.25,
        ),
        Span(id="c", trace_id="1"),
        Span(id="d", trace_id="2", type=SpanType.TOOL),
        FeedbackScore(entity_id="1", name="accuracy", value=1),
        FeedbackScore(entity_id="1", name="two words", value=3),
        FeedbackScore(entity_id="2", name="accuracy", value=0.25),
        FeedbackScore(entity_id="2", name="accuracy", value=0.75, author="ann"),
        FeedbackScore(entity_type="span", entity_id="c", name="s", value=2),
        ExperimentItem(id="i", experiment_id="e", dataset_item_id="d", trace_id="1"),
        ExperimentItem(id="j", experiment_id="e", dataset_item_id="d", trace_id="2"),
        ExperimentItem(id="k", experiment_id="f", dataset_item_id="d", trace_id="2"),
    ]


class ValueContract(StorageCase):
    """Whatever a user puts in comes back."""

    @pytest.mark.parametrize("position", range(len(VALUES)))
    def test_json_values_come_back_unchanged(self, storage: Storage, position: int) -> None:
        """Every JSON value survives in inputs, metadata and items, type included."""
        value = VALUES[position]
        storage.write([Trace(id="t", input=value, metadata={"k": value})])
        dataset_id = add_dataset(storage)
        storage.change_items(dataset_id, upsert=[item("i", k=value)])
        found = self.reopen(storage).find_trace("t")
        assert found is not None
        for read in (found.input, (found.metadata or {})["k"]):
            assert repr(read) == repr(value)
        assert repr(contents(storage, dataset_id)) == repr([{"k": value}])

    def test_other_values_come_back_as_json_maps_them(self, storage: Storage) -> None:
        """What JSON cannot hold is mapped once, by the rules of the serialization."""
        storage.write([Trace(id=str(n), output=[value]) for n, value in enumerate(MAPPED)])
        found = [trace.output for trace in storage.list_traces()]
        assert found == [[to_jsonable(value)] for value in MAPPED]

    def test_strings_of_records_may_be_any_unicode(self, storage: Storage) -> None:
        """Names, ids, tags and keys may hold any characters; only ids must do without NUL."""
        odd = "ab'\"\n🎉%_"
        nul = f"{odd}\x00{odd}"
        trace = Trace(id=odd, name=nul, project_name=odd, tags=(nul,), thread_id=odd)
        storage.write([trace, FeedbackScore(entity_id=odd, name=odd, value=1, author=odd)])
        storage.write_cached(odd, b"v")
        seen = self.reopen(storage)
        assert seen.find_trace(odd) == trace
        assert list(seen.list_traces(project_name=odd)) == [trace]
        assert [s.author for s in seen.list_feedback_scores("trace", [odd])] == [odd]
        assert seen.read_cached(odd) == b"v"
        for where in (Condition("name", "=", nul), Condition("tags", "contains", "\x00AB")):
            assert list(seen.list_traces(where=where)) == [trace]
        assert [thread.id for thread in seen.list_threads(project_name=odd)] == [odd]

    def test_times_keep_their_microseconds(self, storage: Storage) -> None:
        """Times come back in UTC to the microsecond, far from today too."""
        moments = [datetime(1, 1, 1, tzinfo=UTC), datetime(2026, 5, 6, 7, 8, 9, 123457, tzinfo=UTC)]
        moments += [datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)]
        storage.write([Trace(id=str(n), start_time=m) for n, m in enumerate(moments)])
        assert [trace.start_time for trace in storage.list_traces()] == moments


class FilterContract(StorageCase):
    """Filters mean what ``opik_eval.storage.query_match`` says."""

    def test_filters_of_traces(self, storage: Storage) -> None:
        """Every kind of field and operator finds exactly the traces it should."""
        storage.write(filtered_traces())  # type: ignore[arg-type]
        for text, expected in TRACE_FILTERS:
            where = parse_filter(text, "trace")
            assert (text, _ids(storage.list_traces(where=where))) == (text, expected.split())

    def test_filters_combine_with_project_limit_and_order(self, storage: Storage) -> None:
        """A limit counts the rows that pass the filter."""
        storage.write(
            [Trace(id=str(n), project_name="ab"[n % 2], metadata={"n": n}) for n in range(10)]
        )
        where = parse_filter("metadata.n > 2", "trace")
        found = storage.list_traces(project_name="A", where=where, limit=2, newest_first=True)
        assert _ids(found) == ["8", "6"]

    def test_ids_tell_when_a_trace_was_created(self, storage: Storage) -> None:
        """created_at is the time inside a UUIDv7 and missing from other ids."""
        known = [derived_id("x", at=day(number)) for number in range(3)]
        storage.write([Trace(id=trace_id) for trace_id in (*known, "other")])
        after = parse_filter("created_at > 2026-01-01", "trace")
        assert _ids(storage.list_traces(where=after)) == known[1:]
        unknown = parse_filter("created_at is_empty", "trace")
        assert _ids(storage.list_traces(where=unknown)) == ["other"]

    def test_filters_of_spans(self, storage: Storage) -> None:
        """Spans filter by their own fields, scores, usage and cost."""
        storage.write(filtered_traces())  # type: ignore[arg-type]
        for text, expected in (
            ('type = "LLM"', "a b"),
            ('type != "llm"', "c d"),
            ('trace_id = "1" and usage.total_tokens > 15', "b"),
            ("cost_usd <= 0.5", "a b"),
            ("cost_usd is_empty", "c d"),
            ("feedback_scores.s = 2", "c"),
            ("feedback_scores.s != 2", "a b d"),
            ("model is_empty and parent_span_id is_empty and provider is_empty", "a b c d"),
        ):
            where = parse_filter(text, "span")
            assert (text, _ids(storage.list_spans(where=where))) == (text, expected.split())

    def test_filters_of_threads(self, storage: Storage) -> None:
        """Threads filter by what is derived and by their scores."""
        storage.write(
            [
                Trace(id="1", thread_id="a", project_name="p", input="hi", start_time=day(0)),
                Trace(id="2", thread_id="a", project_name="p", output="yo", end_time=day(1)),
                Trace(id="3", thread_id="b", project_name="p", input={"x": 1}),
                FeedbackScore(
                    entity_type="thread", entity_id="a", name="n", value=1, project_name="P"
                ),
                FeedbackScore(
                    entity_type="thread", entity_id="b", name="n", value=1, project_name="other"
                ),
            ]
        )
        for text, expected in (
            ("number_of_messages = 2", "a"),
            ('first_message contains "HI"', "a"),
            ('first_message contains "\\"x\\""', "b"),
            ('last_message = "yo"', "a"),
            ("duration = 86400000 and duration_seconds = 86400", "a"),
            ("start_time is_empty", "b"),
            ("feedback_scores.n = 1", "a"),
            ("feedback_scores.n is_empty", "b"),
            ('id in ("A", "B") and project_name = "P"', "a b"),
        ):
            where = parse_filter(text, "thread")
            assert (text, _ids(storage.list_threads(where=where))) == (text, expected.split())

    def test_filters_of_dataset_items(self, storage: Storage) -> None:
        """Items filter by data, tags and what else they carry, in any version."""
        dataset_id = add_dataset(storage)
        items = [
            DatasetItem(id="1", data={"q": "Paris", "n": 1}, tags=("a",), created_at=day(0)),
            DatasetItem(id="2", data={"q": {"deep": ["x"]}, "n": 20}, source="manual"),
        ]
        storage.change_items(dataset_id, upsert=items)
        storage.change_items(dataset_id, delete=["1"])
        for text, expected in (
            ('data.q = "PARIS"', "1"),
            ('data.q.deep[0] = "x"', "2"),
            ("data.n > 3", "2"),
            ('full_data contains "paris"', "1"),
            ('tags = "a"', "1"),
            ('source = "manual"', "2"),
            ("created_at <= 2026-01-01", "1"),
            ("description is_empty", "1 2"),
        ):
            where = parse_filter(text, "dataset_item")
            found = storage.list_dataset_items(dataset_id, version=1, where=where)
            assert (text, _ids(found)) == (text, expected.split())
        latest = storage.list_dataset_items(
            dataset_id, where=parse_filter("data.n > 0", "dataset_item")
        )
        assert _ids(latest) == ["2"]

    def test_a_filter_for_another_kind_of_record_is_refused(self, storage: Storage) -> None:
        """A field that the record has not is an error, not an empty result."""
        for where in (Condition("nonsense", "=", "x"), Condition("name", "=", 3.0)):
            with pytest.raises(ConfigError):
                list(storage.list_traces(where=where))
        with pytest.raises(ConfigError):
            list(storage.list_spans(where=Condition("thread_id", "=", "x")))
        with pytest.raises(ConfigError):
            list(storage.list_threads(where=Condition("tags", "=", "x")))
        with pytest.raises(ConfigError):
            list(storage.list_dataset_items("d", where=Condition("q", "=", "x")))


def _ids(records: Iterable[Record]) -> list[str]:
    return [str(record.id) for record in records]  # type: ignore[attr-defined]
