"""Agreement: against scikit-learn, statsmodels, the krippendorff package and textbook tables."""

from __future__ import annotations

import math
import random
from importlib import import_module

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from opik_eval.errors import ConfigError
from opik_eval.statistics import (
    BinaryConfusion,
    cohen_kappa,
    confusion,
    krippendorff_alpha,
)

RATINGS = st.lists(
    st.lists(st.one_of(st.none(), st.integers(1, 4)), min_size=3, max_size=3),
    min_size=2,
    max_size=12,
)
PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=3, max_size=40)
# Krippendorff 2011: four observers, twelve units, gaps.
TEXTBOOK = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]


@pytest.mark.parametrize(
    ("level", "value"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_alpha_of_the_textbook(level, value):
    """The table in "Computing Krippendorff's Alpha-Reliability"."""
    units = list(zip(*TEXTBOOK, strict=True))
    found = krippendorff_alpha(units, level=level)
    assert found.value == pytest.approx(value, abs=5e-4)
    assert found.n == 11
    assert found.low < found.value <= found.high


@given(RATINGS, st.sampled_from(["nominal", "ordinal", "interval"]))
def test_alpha_agrees_with_the_krippendorff_package(ratings, level):
    """For any ratings with gaps, at every level."""
    package = import_module("krippendorff")
    known = {rating for item in ratings for rating in item if rating is not None}
    pairable = [item for item in ratings if sum(rating is not None for rating in item) > 1]
    assume(len({r for item in pairable for r in item if r is not None}) > 1)
    assume(len(known) > 1)
    table = np.array(pairable, dtype=float).T
    expected = package.alpha(reliability_data=table, level_of_measurement=level)
    found = krippendorff_alpha(ratings, level=level, resamples=0)
    assert found.value == pytest.approx(expected, abs=1e-9)


def test_alpha_of_numbers_costs_nothing_extra():
    """Thousands of different values need no table of pairs of values."""
    rng = random.Random(0)
    ratings = [[value, value + rng.gauss(0, 0.1)] for value in (rng.random() for _ in range(3000))]
    assert 0.8 < krippendorff_alpha(ratings, level="interval", resamples=20).value < 1


def test_alpha_without_differences_is_undefined():
    """Equal ratings only, or no item with two: there is nothing to agree on."""
    assert math.isnan(krippendorff_alpha([[1, 1], [1, 1]]).value)
    assert math.isnan(krippendorff_alpha([[1, None]]).value)
    with pytest.raises(ConfigError, match="no level 'ratio'"):
        krippendorff_alpha([[1, 1]], level="ratio")


@given(PAIRS, st.sampled_from([None, "linear", "quadratic"]))
def test_kappa_agrees_with_scikit_learn(pairs, weights):
    """Plain and weighted."""
    metrics = import_module("sklearn.metrics")
    a, b = zip(*pairs, strict=True)
    labels = sorted({*a, *b})
    assume(len(set(a)) > 1 or len(set(b)) > 1)
    expected = metrics.cohen_kappa_score(a, b, weights=weights, labels=labels)
    found = cohen_kappa(a, b, weights=weights)
    if math.isnan(found.value):
        assert math.isnan(expected)
    else:
        assert found.value == pytest.approx(expected, abs=1e-9)
        assert -1 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
def test_the_error_of_kappa_agrees_with_statsmodels(weights):
    """Fleiss, Cohen and Everitt's large-sample error."""
    inter_rater = import_module("statsmodels.stats.inter_rater")
    table = np.array([[22, 3, 1], [4, 15, 5], [1, 6, 18]])
    pairs = [(i, j) for i in range(3) for j in range(3) for _ in range(table[i, j])]
    a, b = zip(*pairs, strict=True)
    wt = {None: None, "linear": "linear", "quadratic": "quadratic"}[weights]
    expected = inter_rater.cohens_kappa(table, wt=wt)
    found = cohen_kappa(a, b, weights=weights)
    assert found.value == pytest.approx(expected.kappa)
    assert (found.high - found.low) / 2 == pytest.approx(1.959964 * expected.std_kappa, rel=1e-6)


def test_kappa_of_cohens_example():
    """Two raters of 50 applications: 20 and 15 in agreement, kappa 0.4."""
    a = ["yes"] * 25 + ["no"] * 25
    b = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert cohen_kappa(a, b).value == pytest.approx(0.4)


def test_kappa_of_edges():
    """One label only is undefined; unequal lengths and words with weights are refused."""
    assert math.isnan(cohen_kappa([1, 1], [1, 1]).value)
    assert math.isnan(cohen_kappa([], []).value)
    with pytest.raises(ConfigError, match="1 ratings of one rater but 2"):
        cohen_kappa([1], [1, 2])
    with pytest.raises(ConfigError, match="labels that are numbers"):
        cohen_kappa(["a", "b"], ["a", "b"], weights="linear")


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=50))
def test_confusion_agrees_with_scikit_learn(pairs):
    """Counts, and balanced accuracy where both kinds occur."""
    metrics = import_module("sklearn.metrics")
    predicted = [verdict for verdict, _ in pairs]
    truth = [is_yes for _, is_yes in pairs]
    found = confusion(predicted, truth)
    assert found.n == len(pairs)
    if len(set(truth)) < 2:
        assert math.isnan(found.balanced_accuracy().value)
        return
    assert found.base_rate == sum(truth) / len(truth)
    balanced = found.balanced_accuracy()
    assert balanced.value == pytest.approx(metrics.balanced_accuracy_score(truth, predicted))
    assert -1e-9 <= balanced.low <= balanced.value <= balanced.high <= 1 + 1e-9
    tn, fp, fn, tp = metrics.confusion_matrix(truth, predicted, labels=[False, True]).ravel()
    assert found == BinaryConfusion(tp, fp, fn, tn)


def test_balanced_accuracy_covers_the_truth():
    """Its 95 % interval holds the true value in about 95 % of samples, also near the edge."""
    rng = np.random.default_rng(0)
    for sensitivity, specificity in ((0.8, 0.7), (0.97, 0.9)):
        hits = 0
        for _ in range(1000):
            tp, tn = rng.binomial(40, sensitivity), rng.binomial(60, specificity)
            found = BinaryConfusion(tp, 60 - tn, 40 - tp, tn).balanced_accuracy()
            hits += found.low <= (sensitivity + specificity) / 2 <= found.high
        assert 0.93 <= hits / 1000 <= 0.985


def test_alpha_covers_the_truth():
    """The bootstrap interval holds the alpha of a large sample in most small ones."""
    rng = np.random.default_rng(1)

    def sample(n):
        truth = rng.integers(0, 3, n)
        return [[t if rng.random() < 0.8 else rng.integers(0, 3) for _ in range(2)] for t in truth]

    target = krippendorff_alpha(sample(30_000), resamples=0).value
    hits = 0
    for _ in range(200):
        found = krippendorff_alpha(sample(60), resamples=300)
        hits += found.low <= target <= found.high
    assert 0.89 <= hits / 200 <= 1.0


def test_intervals_are_shown_with_their_items():
    """One line with value, interval and n."""
    assert str(cohen_kappa([1, 0, 1, 0], [1, 0, 1, 1])).endswith("(n=4)")
