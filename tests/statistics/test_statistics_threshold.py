"""Thresholds, by trying all of them."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from opik_eval.errors import ConfigError
from opik_eval.statistics.agreement import confusion
from opik_eval.statistics.threshold import best_threshold, choose_threshold

CASES = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=25)


def balanced(scores, truth, threshold):
    return confusion([score >= threshold for score in scores], truth).balanced_accuracy().value


@given(CASES)
def test_no_other_threshold_is_better(cases):
    """Of all possible cuts."""
    scores, truth = [float(s) for s, _ in cases], [t for _, t in cases]
    assume(len(set(truth)) == 2)
    found = balanced(scores, truth, best_threshold(scores, truth))
    assert found >= max(balanced(scores, truth, cut - 0.5) for cut in range(8)) - 1e-9


def test_of_equally_good_ones_it_has_the_most_room():
    """The gap from 0.2 to 0.6 is wider than the one from 0.6 to 0.7."""
    scores = [0.1, 0.2, 0.6, 0.7]
    assert best_threshold(scores, [False, False, True, True]) == pytest.approx(0.4)
    assert best_threshold([0.5, 0.5], [True, False]) == 0.5


@given(CASES, st.integers(0, 5))
def test_dev_and_rest_are_all_items_and_have_both_kinds(cases, seed):
    """Each item serves once, and both parts have yes and no."""
    scores, truth = [float(s) for s, _ in cases], [t for _, t in cases]
    assume(2 <= sum(truth) <= len(truth) - 2)
    chosen = choose_threshold(scores, truth, seed=seed)
    assert sorted([*chosen.dev, *chosen.rest]) == list(range(len(cases)))
    for part in (chosen.dev, chosen.rest):
        assert {truth[index] for index in part} == {True, False}
    assert chosen == choose_threshold(scores, truth, seed=seed)


def test_impossible_splits_are_refused():
    """A share outside 0 to 1, or one kind with a single item."""
    with pytest.raises(ConfigError, match="dev_share"):
        choose_threshold([1, 0], [True, False], dev_share=1.0)
    with pytest.raises(ConfigError, match="whose label is yes"):
        choose_threshold([1, 0, 0], [True, False, False])
