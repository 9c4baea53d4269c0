"""Levenshtein ratios against independent computations."""

from __future__ import annotations

import difflib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opik_eval.errors import MetricError
from opik_eval.metrics.text_distance import LevenshteinRatio

# Worked out by hand: texts, insert/delete ratio, true edit ratio
TABLE = [
    ("kitten", "sitting", 1 - 5 / 13, 1 - 3 / 7),
    ("", "", 1.0, 1.0),
    ("abc", "", 0.0, 0.0),
    ("abc", "ABC", 1.0, 1.0),
    ("abc", "xyz", 0.0, 0.0),
    ("ab", "ba", 0.5, 0.0),
    ("\u00e9", "e\u0301", 1.0, 1.0),
    ("日本", "日本語", 0.8, 2 / 3),
]


@pytest.mark.parametrize(("one", "other", "indel", "edit"), TABLE)
def test_ratio(one, other, indel, edit):
    """The table of both definitions."""
    assert LevenshteinRatio().score(one, other).value == pytest.approx(indel)
    assert LevenshteinRatio(edits="levenshtein").score(one, other).value == pytest.approx(edit)


def edit_distance(one, other, replace_cost):
    """Return the edit distance by the textbook table."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            cost = 0 if a == b else replace_cost
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + cost)
    return row[-1]


texts = st.text(alphabet="abcé ", max_size=12)


@settings(deadline=None)  # the first example loads a library
@given(one=texts, other=texts)
def test_the_ratios_agree_with_the_textbook_table(one, other):
    """Both definitions agree with dynamic programming, where replacing costs 2 or 1."""
    if not one and not other:
        return
    indel = 1 - edit_distance(one, other, 2) / (len(one) + len(other))
    edit = 1 - edit_distance(one, other, 1) / max(len(one), len(other))
    metric = LevenshteinRatio(case_sensitive=True)
    true_edits = LevenshteinRatio(case_sensitive=True, edits="levenshtein")
    assert metric.score(one, other).value == pytest.approx(indel)
    assert true_edits.score(one, other).value == pytest.approx(edit)


def test_letter_case_counts_where_asked_for():
    """Case-sensitive comparison tells upper from lower case."""
    assert LevenshteinRatio(case_sensitive=True).score("abc", "ABC").value == 0.0


def test_it_is_the_ratio_that_difflib_computes_on_simple_texts():
    """The default is the well-known 2M/T."""
    expected = difflib.SequenceMatcher(None, "kitten", "sitting").ratio()
    assert LevenshteinRatio().score("kitten", "sitting").value == pytest.approx(expected)


def test_unknown_edits_are_refused():
    """A typo is an error when the metric is made."""
    with pytest.raises(MetricError, match="no edits='hamming'"):
        LevenshteinRatio(edits="hamming")
