"""Reducers: against closed forms and by properties."""

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opik_eval.errors import ConfigError
from opik_eval.statistics import (
    at_least_k,
    maximum,
    mean,
    median,
    mode,
    pass_at_k,
    pass_hat_k,
    reducer,
)

VALUES = st.lists(st.integers(-9, 9).map(float), min_size=1, max_size=12)
TRIALS = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=40)


@settings(deadline=None)
@given(VALUES)
def test_plain_reducers_equal_the_standard_library(values):
    """mean, median and max are the standard library's."""
    assert mean(values) == pytest.approx(statistics.mean(values))
    assert median(values) == statistics.median(values)
    assert maximum(values) == max(values)


@settings(deadline=None)
@given(VALUES)
def test_mode_is_the_smallest_of_the_most_frequent(values):
    """Ties do not depend on the order of the trials."""
    assert mode(values) == min(statistics.multimode(values))
    assert mode(values[::-1]) == mode(values)


@settings(deadline=None)
@given(TRIALS, st.data())
def test_pass_at_k_and_pass_hat_k_equal_the_binomial_forms(trials, data):
    """The products equal 1 - C(n-c,k)/C(n,k) and C(c,k)/C(n,k)."""
    k = data.draw(st.integers(1, len(trials)))
    n, c = len(trials), int(sum(trials))
    assert pass_at_k(trials, k) == pytest.approx(1 - math.comb(n - c, k) / math.comb(n, k))
    assert pass_hat_k(trials, k) == pytest.approx(math.comb(c, k) / math.comb(n, k))
    assert at_least_k(trials, k) == (c >= k)


def test_pass_at_k_stays_exact_for_many_trials():
    """The product neither overflows nor cancels for 20 000 trials."""
    trials = [1.0] * 7 + [0.0] * 19_993
    exact = 1 - math.comb(19_993, 100) / math.comb(20_000, 100)
    assert pass_at_k(trials, 100) == pytest.approx(exact, rel=1e-12)


@settings(deadline=None)
@given(TRIALS)
def test_one_trial_passes_with_the_pass_rate(trials):
    """pass@1 and pass^1 are the mean."""
    assert pass_at_k(trials, 1) == pytest.approx(mean(trials))
    assert pass_hat_k(trials, 1) == pytest.approx(mean(trials))


@pytest.mark.parametrize("function", [at_least_k, pass_at_k, pass_hat_k])
@pytest.mark.parametrize("k", [0, 3, -1])
def test_k_must_fit_the_trials(function, k):
    """More trials than there are cannot be drawn."""
    with pytest.raises(ConfigError, match="does not fit 2 trials"):
        function([1.0, 0.0], k)


def test_threshold_decides_what_passes():
    """Graded values pass from the threshold on."""
    assert pass_at_k([0.7, 0.2], 1, threshold=0.7) == 0.5
    assert at_least_k([0.7, 0.8], 2, threshold=0.7) == 1.0


@pytest.mark.parametrize("function", [mean, median, mode, maximum])
def test_nothing_cannot_be_reduced(function):
    """An item without values has no value."""
    with pytest.raises(ConfigError):
        function([])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mean", 0.25),
        ("median", 0.0),
        ("mode", 0.0),
        ("max", 1.0),
        ("at_least_2", 0.0),
        ("pass_at_2", 0.5),
        ("pass@2", 0.5),
        ("pass_hat_1", 0.25),
        ("pass^1", 0.25),
    ],
)
def test_reducers_have_names(name, expected):
    """Every reducer can be named in a setting."""
    assert reducer(name)([1.0, 0.0, 0.0, 0.0]) == expected


@pytest.mark.parametrize("name", ["", "best", "pass@", "pass@x", "at_least"])
def test_unknown_reducers_are_refused(name):
    """A typo names the choices."""
    with pytest.raises(ConfigError, match="no reducer"):
        reducer(name)
