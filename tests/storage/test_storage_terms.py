"""Terms of metadata: whatever a filter accepts has one of the filter's terms."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from opik_eval.records import Trace
from opik_eval.serialization import dumps, loads
from opik_eval.storage.metadata_terms import signed, terms_for, terms_of
from opik_eval.storage.query import Condition, join_key, matches

_keys = st.sampled_from(["a", "A", "0", "00", "a.b", "", "\ud800"])
_texts = st.sampled_from(["", "a", "A", "ß", "SS", "1", "1.0", "true", "{}", "nan", "\ud800"])
_leaves = (
    st.none()
    | st.booleans()
    | st.sampled_from([0, 1, 1.0, -0.0, 1.5, 2**70, 10**400, math.nan, math.inf])
    | _texts
)
_json = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3),
    max_leaves=8,
)
_values = _texts | st.sampled_from(["1.50", "1e0", "-0", "0", "false", "[]", "Infinity"])


@given(
    st.dictionaries(_keys, _json, max_size=3),
    st.lists(_keys, min_size=1, max_size=3),
    _values | st.tuples(_values, _values),
)
def test_what_matches_has_a_term(metadata, path, value):
    """The terms of metadata and of a condition meet wherever the condition holds."""
    operator = "in" if isinstance(value, tuple) else "="
    condition = Condition("metadata", operator, value, join_key(path))
    wanted = terms_for(condition)
    stored = Trace(id="1", metadata=loads(dumps(metadata)))
    if wanted is not None and matches(condition, stored):
        assert set(wanted) & set(terms_of(metadata) or ())


@given(st.dictionaries(_keys, _json, max_size=3))
def test_terms_are_those_of_what_is_stored(metadata):
    """Metadata have the terms of the JSON that they become."""
    stored = terms_of(loads(dumps(metadata)))
    assert sorted(terms_of(metadata) or ()) == sorted(stored or ())


def test_terms_of_what_json_does_not_know():
    """Times, tuples and other keys count as the JSON they become."""
    odd = {"at": datetime(2026, 1, 1, tzinfo=UTC), "t": (1,), "k": {1: "a"}}
    assert sorted(terms_of(odd)) == sorted(terms_of(loads(dumps(odd))))


def test_metadata_with_many_values_are_always_looked_at():
    """More values than are indexed, or deeper ones, give a term that every condition asks for."""
    wanted = terms_for(Condition("metadata", "=", "anything", "k"))
    deep: object = "x"
    for _ in range(60):
        deep = {"k": deep}
    for metadata in ({"many": list(range(500))}, deep):
        assert set(terms_of(metadata)) & set(wanted)
    assert len(terms_of({"many": list(range(500))})) == 65


def test_conditions_without_terms():
    """Parts of texts, orders, whole metadata and whole objects are not found by terms."""
    for operator, value, key in (
        ("contains", "a", "k"), ("=", "a", ""), ("=", '{"a":1}', "k"), (">", "1", "k"),
        ("is_empty", None, "k"), ("=", "a", "k.00"),
    ):  # fmt: skip
        assert terms_for(Condition("metadata", operator, value, key)) is None
    assert terms_of(None) is terms_of({}) is terms_of({"a": None}) is None


def test_signed_terms_are_the_same_bits():
    """Signed numbers are what unsigned ones of 32 bits look like to PostgreSQL."""
    assert signed([0, 2**31 - 1, 2**31, 2**32 - 1]) == [0, 2**31 - 1, -(2**31), -1]
