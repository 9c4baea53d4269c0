"""Filters compiled to SQL find what ``matches`` finds, whatever the filter and the records."""

from __future__ import annotations

import math
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opik_eval.errors import ConfigError
from opik_eval.records import ErrorInfo, ExperimentItem, FeedbackScore, Span, SpanType, Trace
from opik_eval.storage.file import FileStorage
from opik_eval.storage.file_dialect import SqliteDialect
from opik_eval.storage.memory import MemoryStorage
from opik_eval.storage.query import (
    FIELDS,
    OPERATORS,
    AllOf,
    AnyOf,
    Condition,
    date_text,
    parse_filter,
)
from opik_eval.storage.sql_filter import compile_filter

_texts = st.text(alphabet="aAbßSsſKK0 1.5%_*?\"'[]{}\\\x00é\u0130\U0001f389\ud800", max_size=4)
_POOL = ["", "a", "A", "ss", "ß", "1", "1.50", "true", "null", "{}", "\ud800", "llm", "\u0130"]
_numbers = st.sampled_from([-1.0, -0.0, 0.5, 1, 1.5, 2**53 + 1, 10**30, 1e300])
_numbers_of_files = count()
_score_names = st.sampled_from(["a", "A", "\ud800"])
_json = st.recursive(
    st.none() | st.booleans() | _numbers | st.floats() | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
_moments = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=n * 750) for n in range(4)]
_times = st.sampled_from(_moments)
_ids = st.sampled_from(["1", "2", "00000000-0000-7c44-939f-f0b3eef982b6"])
_span_ids = st.sampled_from(["s1", "s2"])
_kinds = st.sampled_from(["total_tokens", "a.b", ""])
_counts = st.dictionaries(_kinds, st.sampled_from([0, 1, 2, 2**70]), max_size=2)
_reals = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 1e300, math.inf, math.nan])
_traced = {
    "name": _texts,
    "project_name": _texts,
    "input": _json,
    "output": _json,
    "metadata": st.dictionaries(_texts, _json, max_size=3),
    "tags": st.lists(_texts, max_size=3).map(tuple),
    "start_time": _times,
    "end_time": _times,
    "ttft_seconds": _reals,
    "environment": _texts,
    "error_info": st.just(ErrorInfo(exception_type="E", traceback="")),
    "last_updated_at": _times,
}


def _records(kind, required, optional):
    return st.fixed_dictionaries(required, optional=optional).map(kind.model_validate)


_writable = st.one_of(
    _records(Trace, {"id": _ids}, {**_traced, "thread_id": _texts}),
    _records(
        Span,
        {"id": _span_ids, "trace_id": _ids},
        {
            **_traced,
            "type": st.sampled_from(SpanType),
            "model": _texts,
            "usage": _counts,
            "cost_usd": _reals,
        },
    ),
    _records(
        FeedbackScore,
        {"entity_id": _ids, "name": _score_names, "value": _reals},
        {"author": _texts, "last_updated_at": _times},
    ),
    _records(
        FeedbackScore,
        {"entity_type": st.just("span"), "entity_id": _span_ids, "name": _score_names}
        | {"value": _reals},
        {},
    ),
    _records(
        ExperimentItem,
        {"id": _ids, "experiment_id": _texts, "dataset_item_id": st.just("d")},
        {"trace_id": _ids},
    ),
)


def _condition(random, field, kind, operator):
    key = ""
    if kind in ("dict", "score") or field == "usage":
        key = random.choice(["a", "A", "total_tokens", "a.b", "0.a", "1", "\ud800"])
    return Condition(field, operator, _value(random, kind, operator), key)


def _value(random, kind, operator):
    if operator in ("is_empty", "is_not_empty"):
        return None
    if operator in ("in", "not_in"):
        return tuple(random.choices(_POOL, k=2))
    if kind in ("number", "score"):
        return random.choice(
            [-1, 0, 0.5, 0.75, 1.0, 1.5, 2, 2**70, -(2**70), 10**400, -(10**400), math.nan]
        )
    if kind == "date":
        return random.choice([*map(date_text, _moments), "2026", "2026-01-01", "no date"])
    return random.choice(_POOL)


def _filters(random, entity):
    """One condition for each field and operator, some of them in groups."""
    conditions = [
        _condition(random, field, kind, operator)
        for field, kind in FIELDS[entity].items()
        for operator in OPERATORS[kind]
    ]
    groups = [random.choice([AllOf, AnyOf])(tuple(random.sample(conditions, 2))) for _ in range(9)]
    return [*conditions, *groups, AllOf((AnyOf(tuple(groups[:2])), *groups[2:4]))]


@pytest.mark.parametrize("entity", ["trace", "span"])
@settings(max_examples=40, deadline=None)
@given(records=st.lists(_writable, min_size=4, max_size=10), seed=st.integers(0, 2**32))
def test_filters_mean_in_sql_what_they_mean_in_memory(folder, entity, records, seed):
    """SQL and the memory backend select the same traces and spans."""
    memory = MemoryStorage()
    memory.write(records)
    path = folder / f"{next(_numbers_of_files)}.db"
    with closing(FileStorage(path, payload_limit_bytes=40)) as stored:
        stored.write(records)
        for where in _filters(Random(seed), entity):
            found = [
                [r.id for r in getattr(s, f"list_{entity}s")(where=where)] for s in (memory, stored)
            ]
            assert found[0] == found[1], where


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


def test_nothing_of_a_filter_is_sql():
    """Values and keys are parameters, however they are spelled."""
    for text in ('name = "x\' OR 1=1 --"', 'metadata."a\') --" = "x"', 'tags contains "%"'):
        compiled = compile_filter(parse_filter(text, "trace"), "trace", SqliteDialect())
        assert compiled.sql.count("?") == len(compiled.parameters)
        assert not {"OR", "--", "%"} & set(compiled.sql.split())


def _sql(where):
    return compile_filter(where, "span", SqliteDialect()).sql


def test_no_filter_is_true_everywhere():
    """Without a filter the condition holds for every row."""
    assert _sql(None) == "TRUE"
    assert _sql(AllOf(())) == "(TRUE)"
    assert _sql(AnyOf(())) == "(FALSE)"


def test_a_filter_that_does_not_fit_is_refused():
    """A field that the entity has not is an error before any SQL is made."""
    with pytest.raises(ConfigError, match="nonsense"):
        compile_filter(Condition("nonsense", "=", "x"), "trace", SqliteDialect())
