"""Spearman's correlation against scipy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from opik_eval.errors import MetricError
from opik_eval.metrics import SpearmanRanking


@given(st.lists(st.integers(), min_size=2, max_size=30, unique=True), st.data())
def test_the_correlation_is_scipys(reference, data):
    """For any order of any number of items."""
    output = data.draw(st.permutations(reference))
    score = SpearmanRanking().score(output=output, reference=reference)
    places = [output.index(item) for item in reference]
    expected = spearmanr(range(len(reference)), places).statistic
    assert score.metadata["rho"] == pytest.approx(expected)
    assert score.value == pytest.approx((expected + 1) / 2)


@pytest.mark.parametrize(
    ("output", "reference", "expected"),
    [
        (["a"], ["a"], 1.0),
        ([1, 2, 3], [3, 2, 1], 0.0),
        ([{"id": 1}, {"id": 2}], [{"id": 1}, {"id": 2}], 1.0),
        (("b", "a", "c"), ["a", "b", "c"], 0.75),
    ],
)
def test_golden_scores(output, reference, expected):
    """One item, the reverse, items that cannot be hashed, another kind of sequence."""
    assert SpearmanRanking().score(output=output, reference=reference).value == expected


@pytest.mark.parametrize(
    ("output", "reference", "problem"),
    [
        ([], [], "'output' is empty"),
        (["a", "a"], ["a", "b"], "'output' has an item twice"),
        (["a", "b"], ["b", "b"], "'reference' has an item twice"),
        (["a", "b"], ["a", "c"], 'only in one of them: "b", "c"'),
        (["a"], ["a", "c"], 'only in one of them: "c"'),
    ],
)
def test_what_is_no_pair_of_rankings_is_refused(output, reference, problem):
    """The error says what is wrong with which of them."""
    with pytest.raises(MetricError, match=problem):
        SpearmanRanking().score(output=output, reference=reference)
