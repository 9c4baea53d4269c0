"""Word overlap after SQuAD's normalisation."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.errors import MetricError
from opik_eval.metrics.overlap import TokenF1, token_overlap

# Worked out by hand: output, reference, precision, recall, f1
TABLE = [
    ("in the year 1912", "1912", 1 / 3, 1.0, 0.5),
    ("cat cat dog", "cat", 1 / 3, 1.0, 0.5),
    ("cat", "cat cat dog", 1.0, 1 / 3, 0.5),
    ("the cat", "a dog", 0.0, 0.0, 0.0),
    ("The Cat!", "cat", 1.0, 1.0, 1.0),
    ("", "", 1.0, 1.0, 1.0),
    ("the", "a", 1.0, 1.0, 1.0),
    ("", "cat", 0.0, 0.0, 0.0),
    ("cat", "...", 0.0, 0.0, 0.0),
    ("a b c d", "b c e", 2 / 3, 2 / 3, 2 / 3),
]


@pytest.mark.parametrize(("output", "reference", "precision", "recall", "f1"), TABLE)
def test_overlap(output, reference, precision, recall, f1):
    """The table of precision, recall and F1."""
    assert token_overlap(output, reference) == pytest.approx((precision, recall, f1))


def test_the_metric_reports_the_measure_it_is_told_to():
    """F1 by default; recall or precision where asked; all three in the metadata."""
    output, reference = "in the year 1912", "1912"
    assert TokenF1().score(output, reference).value == 0.5
    assert TokenF1(measure="recall").score(output, reference).value == 1.0
    score = TokenF1("precision").score(output, reference)
    assert score.value == pytest.approx(1 / 3)
    assert score.metadata == pytest.approx({"precision": 1 / 3, "recall": 1.0, "f1": 0.5})


def test_the_best_reference_counts():
    """The maximum over the references is by the chosen measure."""
    assert TokenF1().score("red dog", ["cat", "red dog", "red"]).value == 1.0


def test_an_unknown_measure_is_refused():
    """A typo is an error when the metric is made."""
    with pytest.raises(MetricError, match="no measure='F1'") as refusal:
        TokenF1(measure="F1")
    assert "'recall'" in str(refusal.value.remedy)


words = st.lists(st.sampled_from(["cat", "dog", "bird"]), min_size=1, max_size=8)


@given(one=words, other=words)
def test_f1_is_the_harmonic_mean_and_symmetric(one, other):
    """F1 agrees with its textbook formula on multisets."""
    overlap = token_overlap(" ".join(one), " ".join(other))
    shared = sum(min(Counter(one)[word], Counter(other)[word]) for word in set(one))
    precision, recall = shared / len(one), shared / len(other)
    expected = 2 * precision * recall / (precision + recall) if shared else 0.0
    assert overlap.f1 == pytest.approx(expected)
    assert overlap.f1 == token_overlap(" ".join(other), " ".join(one)).f1
