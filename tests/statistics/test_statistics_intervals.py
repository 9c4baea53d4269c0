"""Intervals: against other libraries, by simulation, and by properties."""

import math
import random

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from opik_eval.errors import ConfigError
from opik_eval.statistics import mean_interval

NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False)
SHARES = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=60)
MANY = st.lists(NUMBERS, min_size=2, max_size=60)


@pytest.mark.parametrize(("passed", "n"), [(0, 1), (1, 1), (0, 10), (7, 10), (10, 10), (411, 500)])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_wilson_equals_statsmodels(passed, n, confidence):
    """The interval of 0/1 values is statsmodels' Wilson interval."""
    estimate = mean_interval([1] * passed + [0] * (n - passed), confidence=confidence)
    low, high = proportion_confint(passed, n, alpha=1 - confidence, method="wilson")
    assert estimate.method == "wilson"
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=1e-12)


@settings(deadline=None)
@given(MANY)
def test_t_equals_scipy(values):
    """The interval of numbers is scipy's t interval, its standard error scipy's."""
    estimate = mean_interval(values, method="t")
    error = scipy.stats.sem(values)
    assert estimate.mean == pytest.approx(np.mean(values), rel=1e-9, abs=1e-6)
    assert estimate.standard_error == pytest.approx(error, rel=1e-6, abs=1e-6)
    low, high = scipy.stats.t.interval(0.95, len(values) - 1, np.mean(values), max(error, 1e-300))
    assert (estimate.low, estimate.high) == pytest.approx((low, high), rel=1e-6, abs=1e-4)


def test_clusters_of_equal_size_equal_t_on_their_means():
    """With balanced trials the clustered interval is the t interval of the items' means."""
    rng = np.random.default_rng(3)
    table = rng.normal(size=(12, 4)) + rng.normal(size=(12, 1))
    labels = [item for item in range(12) for _ in range(4)]
    estimate = mean_interval(table.ravel().tolist(), clusters=labels)
    low, high = scipy.stats.t.interval(0.95, 11, table.mean(), scipy.stats.sem(table.mean(axis=1)))
    assert (estimate.low, estimate.high) == pytest.approx((low, high))
    assert (estimate.n, estimate.n_clusters, estimate.method) == (48, 12, "clustered t")


def test_clusters_of_unequal_size_equal_the_sandwich_by_hand():
    """The clustered standard error is the CR1 sandwich with the factor C/(C-1)."""
    values, labels = [1.0, 2.0, 3.0, 5.0, 9.0], ["a", "a", "b", "b", "c"]
    mean = 4.0
    squares = (1 + 2 - 2 * mean) ** 2 + (3 + 5 - 2 * mean) ** 2 + (9 - mean) ** 2
    estimate = mean_interval(values, clusters=labels)
    assert estimate.mean == mean
    assert estimate.standard_error == pytest.approx(math.sqrt(squares * 3 / 2) / 5)


def test_bca_approaches_scipy_for_many_values():
    """With many values the expanded percentiles make no difference to scipy's plain BCa."""
    values = np.random.default_rng(5).exponential(size=400)
    ours = mean_interval(values.tolist(), method="bca")
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=9_999, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours.method == "bca"
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.006)


def test_bca_resamples_whole_clusters():
    """Doubling every value inside its cluster changes nothing for the bootstrap."""
    values = np.random.default_rng(6).exponential(size=30).tolist()
    once = mean_interval(values, method="bca")
    twice = mean_interval(values * 2, clusters=[*range(30)] * 2, method="bca")
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high))


def test_bca_falls_back_to_percentiles_where_it_is_undefined():
    """Without any resampled mean on one side BCa has no bias correction; percentiles remain."""
    estimate = mean_interval([0.0, 2.0], method="bca", resamples=1)
    assert estimate.method == "percentile"
    assert estimate.low <= estimate.mean <= estimate.high


@pytest.mark.parametrize(
    ("values", "clusters", "expected"),
    [
        ([], None, (math.nan, -math.inf, math.inf, "none")),
        ([0.3], None, (0.3, -math.inf, math.inf, "none")),
        ([0.3, 0.5], ["a", "a"], (0.4, -math.inf, math.inf, "none")),
        ([1, 0], ["a", "a"], (0.5, 0.0, 1.0, "none")),
        ([0.1] * 3, None, (0.1, 0.1, 0.1, "constant")),
    ],
)
def test_edge_cases(values, clusters, expected):
    """Too few values leave the interval open; equal numbers make it a point, and say so."""
    estimate = mean_interval(values, clusters=clusters)
    found = (estimate.mean, estimate.low, estimate.high, estimate.method)
    assert found == pytest.approx(expected, nan_ok=True)


def test_shares_that_are_all_equal_keep_an_interval():
    """All items passing in all trials does not prove that all items always pass."""
    estimate = mean_interval([1] * 20, clusters=[i // 2 for i in range(20)])
    assert estimate.method == "clustered wilson"
    assert 0.6 < estimate.low < 0.75
    assert estimate.high == 1.0


@pytest.mark.parametrize(
    "arguments",
    [
        {"values": [math.nan]},
        {"values": [math.inf, 1]},
        {"values": [1], "clusters": []},
        {"values": [0.5], "method": "wilson"},
        {"values": [1], "confidence": 1.0},
        {"values": [1], "confidence": 0.0},
    ],
)
def test_wrong_arguments_are_refused(arguments):
    """What cannot be computed honestly raises."""
    with pytest.raises(ConfigError):
        mean_interval(**arguments)


@settings(deadline=None)
@given(st.one_of(SHARES, MANY), st.randoms(use_true_random=False), st.integers(1, 5))
def test_interval_holds_the_mean_and_ignores_order(values, rng, per_cluster):
    """The mean lies inside, and shuffling values with their labels changes nothing at all."""
    labels = [i // per_cluster for i in range(len(values))]
    estimate = mean_interval(values, clusters=labels)
    assert estimate.low <= estimate.mean <= estimate.high
    order = list(range(len(values)))
    rng.shuffle(order)
    shuffled = mean_interval([values[i] for i in order], clusters=[labels[i] for i in order])
    assert shuffled == estimate or math.isnan(estimate.standard_error)


@settings(deadline=None)
@given(st.one_of(SHARES, MANY), st.floats(0.5, 0.98), st.integers(1, 3))
def test_more_confidence_means_a_wider_interval(values, confidence, per_cluster):
    """Intervals are nested in the confidence asked for."""
    labels = [i // per_cluster for i in range(len(values))]
    narrow = mean_interval(values, clusters=labels, confidence=confidence)
    wide = mean_interval(values, clusters=labels, confidence=confidence + 0.015)
    assert wide.low <= narrow.low
    assert narrow.high <= wide.high


@settings(deadline=None)
@given(SHARES)
def test_flipping_shares_mirrors_the_interval(values):
    """Counting failures instead of passes gives the mirrored interval."""
    estimate = mean_interval(values)
    mirrored = mean_interval([1 - value for value in values])
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((estimate.low, estimate.high))


@settings(deadline=None, max_examples=20)
@given(MANY, st.randoms(use_true_random=False))
def test_bca_holds_the_mean_and_ignores_order(values, rng):
    """The bootstrap is seeded and sorts first, so order makes no difference."""
    estimate = mean_interval(values, method="bca", resamples=200)
    shuffled = rng.sample(values, len(values))
    assert estimate.low <= estimate.mean <= estimate.high
    assert mean_interval(shuffled, method="bca", resamples=200) == estimate


def covered(draw, truth, runs, **arguments):
    """Return how often the interval of what ``draw`` gives holds the truth."""
    hits = 0
    for _ in range(runs):
        values, clusters = draw()
        estimate = mean_interval(values, clusters=clusters, **arguments)
        hits += estimate.low <= truth <= estimate.high
    return hits / runs


def test_wilson_covers_the_truth():
    """By exact enumeration, 95 % Wilson intervals of 60 values hold shares from 0.1 to 0.9."""
    intervals = [mean_interval([1] * passed + [0] * (60 - passed)) for passed in range(61)]
    low = np.array([estimate.low for estimate in intervals])
    high = np.array([estimate.high for estimate in intervals])
    coverages = [
        scipy.stats.binom.pmf(np.arange(61), 60, share)[(low <= share) & (share <= high)].sum()
        for share in np.linspace(0.1, 0.9, 81)
    ]
    assert 0.945 <= np.mean(coverages) <= 0.955
    assert min(coverages) >= 0.92


@pytest.mark.parametrize("n", [5, 40])
def test_t_covers_the_truth(n):
    """95 % t intervals of normal values hold the true mean in 93 to 97 % of runs."""
    draws = np.random.default_rng(12).normal(size=(2_000, n)).tolist()
    assert 0.93 <= covered(lambda: (draws.pop(), None), 0.0, 2_000) <= 0.97


def test_clustered_t_covers_the_truth():
    """Trials of one item that resemble each other do not shrink the interval."""
    rng = np.random.default_rng(13)
    draws = rng.normal(size=(2_000, 20, 1)) + rng.normal(size=(2_000, 20, 3))
    tables = draws.reshape(2_000, 60).tolist()
    labels = [i // 3 for i in range(60)]
    assert 0.93 <= covered(lambda: (tables.pop(), labels), 0.0, 2_000) <= 0.97


@pytest.mark.parametrize(
    ("items", "trials", "a", "b"), [(20, 3, 2, 1), (40, 5, 1, 1), (30, 4, 4, 1)]
)
def test_clustered_wilson_covers_the_truth(items, trials, a, b):
    """The same holds for 0/1 trials, whose pass rates differ from item to item."""
    rng = np.random.default_rng(14)
    rates = rng.beta(a, b, (2_000, items, 1))
    draws = rng.binomial(1, np.broadcast_to(rates, (2_000, items, trials)))
    tables = draws.reshape(2_000, -1).tolist()
    labels = [i // trials for i in range(items * trials)]
    assert 0.93 <= covered(lambda: (tables.pop(), labels), a / (a + b), 2_000) <= 0.97


def test_ignoring_clusters_would_not_cover():
    """The simulation can fail: without labels the interval of such trials is far too short."""
    rng = np.random.default_rng(15)
    draws = rng.normal(size=(500, 20, 1)) + 0.3 * rng.normal(size=(500, 20, 5))
    tables = draws.reshape(500, 100).tolist()
    assert covered(lambda: (tables.pop(), None), 0.0, 500) < 0.8


def test_bca_covers_the_truth():
    """95 % BCa intervals of 60 mildly skewed values hold the true mean in 93 to 97 % of runs."""
    draws = np.random.default_rng(16).gamma(4.0, size=(1_000, 60)).tolist()
    hits = covered(lambda: (draws.pop(), None), 4.0, 1_000, method="bca", resamples=600)
    assert 0.93 <= hits <= 0.97


def test_same_seed_same_interval():
    """The bootstrap's randomness is the seed's alone."""
    rng = random.Random(1)
    values = [rng.gauss(0, 1) for _ in range(10)]
    first = mean_interval(values, method="bca", seed=4)
    assert mean_interval(values, method="bca", seed=4) == first
    assert mean_interval(values, method="bca", seed=5) != first
