"""Equality, containment, patterns and SQuAD's exact match."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.errors import MetricError
from opik_eval.metrics.exact import Contains, Equals, ExactMatch, RegexMatch
from opik_eval.metrics.text import fold, squad_normalise


@dataclass
class Point:
    x: int


class Colour(enum.Enum):
    RED = "red"


EQUAL = [
    ("Paris", "paris"),
    ("Straße", "STRASSE"),
    ("\u00e9", "e\u0301"),
    (1, 1.0),
    (1, "1"),
    ("1.0", 1),
    (0.5, "0.5"),
    (True, "true"),
    ("True", True),
    (2.0**70, 2**70),
    (float("nan"), "NaN"),
    ({"a": 1, "b": [1, {"c": None}]}, {"b": [1.0, {"c": None}], "a": 1}),
    ({"A": "X"}, {"a": "x"}),
    ('{"a": 1, "b": 2}', {"b": 2, "a": 1}),
    ((1, 2), [1, 2]),
    ({1, 2}, {2, 1}),
    (np.array([1, 2]), [1, 2]),
    (Point(1), {"x": 1}),
    (Colour.RED, "Red"),
    (b"ab", b"ab"),
    ("", ""),
]
DIFFERENT = [
    ("A ", "A"),
    (1, True),
    ([1], [True]),
    ("1", True),
    (1, 2),
    ("007", 7),
    ({"a": 1}, {"a": 1, "b": None}),
    ({"a": 1}, [["a", 1]]),
    ({"a": 1}, "a"),
    ([1, 2], [2, 1]),
    ({"A": 1, "a": 2}, {"a": 2}),
    ("[" * 2000, [1]),
]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_equal_values(one, other):
    """What a reader would call the same is equal, both ways round."""
    assert Equals().score(one, other).value == 1.0
    assert Equals().score(other, one).value == 1.0


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_values(one, other):
    """Spaces, order, types of truth and missing keys make a difference."""
    assert Equals().score(one, other).value == 0.0
    assert Equals().score(other, one).value == 0.0


@pytest.mark.parametrize(("one", "other"), [("Paris", "paris"), ({"A": 1}, {"a": 1}), ("ß", "SS")])
def test_letter_case_counts_where_asked_for(one, other):
    """Case-sensitive comparison keeps Unicode normalisation and drops case folding."""
    assert Equals(case_sensitive=True).score(one, other).value == 0.0
    assert Equals(True).score("\u00e9", "e\u0301").value == 1.0


json_values = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@given(value=json_values, case_sensitive=st.booleans())
def test_everything_equals_itself(value, case_sensitive):
    """Equality is reflexive, NaN included."""
    assert Equals(case_sensitive).score(value, value).value == 1.0


@given(one=json_values, other=json_values)
def test_equality_is_symmetric(one, other):
    """Output and reference may change places."""
    assert Equals().score(one, other).value == Equals().score(other, one).value


@given(text=st.text())
def test_folding_is_idempotent_and_hides_case(text):
    """A folded text is in its final form; upper case folds to the same, sharp s and all."""
    once = fold(text, case_sensitive=False)
    assert fold(once, case_sensitive=False) == once
    exact = fold(text, case_sensitive=True)
    assert fold(exact, case_sensitive=True) == exact


CONTAINS = [
    ("It is PARIS.", "paris", False, 1.0),
    ("It is PARIS.", "paris", True, 0.0),
    ("caf\u00e9", "e\u0301", True, 1.0),
    ("pari", "paris", False, 0.0),
    ("", "x", False, 0.0),
    ("GROSSE", "große", False, 1.0),
]


@pytest.mark.parametrize(("output", "reference", "case_sensitive", "value"), CONTAINS)
def test_contains(output, reference, case_sensitive, value):
    """The reference is looked for as a part of the output."""
    assert Contains(case_sensitive).score(output, reference).value == value


def test_the_reference_of_an_item_goes_before_that_of_the_constructor():
    """The constructor's reference is a default."""
    metric = Contains(reference="cat")
    assert metric.score("a cat").value == 1.0
    assert metric.score("a cat", "dog").value == 0.0
    assert metric.score("a cat", None).value == 1.0


@pytest.mark.parametrize("reference", [None, ""])
def test_nothing_to_look_for_is_an_error(reference):
    """Every text contains the empty text, so the score would say nothing."""
    with pytest.raises(MetricError, match="'reference'"):
        Contains().score("text", reference)


REGEX = [
    (r"\d+", "room 12", 1.0),
    (r"^\d+$", "room 12", 0.0),
    ("ROOM", "room 12", 0.0),
    ("", "anything", 1.0),
]


@pytest.mark.parametrize(("regex", "output", "value"), REGEX)
def test_regex(regex, output, value):
    """The expression may match anywhere."""
    assert RegexMatch(regex).score(output).value == value


@pytest.mark.parametrize("regex", ["(", "*", 3, None])
def test_an_invalid_expression_is_refused_when_the_metric_is_made(regex):
    """A typo shows before any task has run."""
    with pytest.raises(MetricError, match="not a regular expression") as refusal:
        RegexMatch(regex)
    assert refusal.value.remedy


# Expected values worked out by hand from the order of steps: lower, punctuation, articles, spaces.
SQUAD = [
    ("The Eiffel Tower.", "eiffel tower"),
    ("U.S.A.", "usa"),
    ("x-ray", "xray"),
    ("$5.00", "500"),
    ("  a  big\tand\nold  the house ", "big and old house"),
    ("An", ""),
    ("A-team", "ateam"),
    ("it’s", "it’s"),
    ("Ａ", "ａ"),
    ("theatre banana an", "theatre banana"),
    ("...", ""),
    ("E\u0301", "é"),
]


@pytest.mark.parametrize(("text", "normal"), SQUAD)
def test_squad_normalisation(text, normal):
    """The table of SQuAD's normalisation."""
    assert squad_normalise(text) == normal


def test_exact_match_takes_the_best_of_the_references():
    """One right reference is enough; two answers that are empty in the end are equal."""
    assert ExactMatch().score("The tower", ["bridge", "tower!"]).value == 1.0
    assert ExactMatch().score("tower", ("bridge", "gate")).value == 0.0
    assert ExactMatch().score("the", "...").value == 1.0
    assert ExactMatch().score("", "tower").value == 0.0


def test_an_empty_list_of_references_is_an_error():
    """Without a reference there is nothing to be right or wrong about."""
    with pytest.raises(MetricError, match="empty list as 'reference'"):
        ExactMatch().score("x", [])
