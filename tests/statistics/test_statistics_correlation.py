"""Correlations: against scipy, with intervals that cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from opik_eval.errors import ConfigError
from opik_eval.statistics import correlate

NUMBERS = st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=30)
ORACLES = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}


@given(NUMBERS, st.sampled_from(sorted(ORACLES)))
def test_values_agree_with_scipy(pairs, method):
    """With and without ties; the interval holds the value."""
    a, b = ([float(x) for x in series] for series in zip(*pairs, strict=True))
    assume(len(set(a)) > 1 and len(set(b)) > 1)
    found = correlate(a, b, method=method)
    assert found.value == pytest.approx(ORACLES[method](a, b).statistic, abs=1e-9)
    assert -1 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize(
    ("method", "population"),
    [
        ("pearson", lambda r: r),
        ("spearman", lambda r: 6 / math.pi * math.asin(r / 2)),
        ("kendall", lambda r: 2 / math.pi * math.asin(r)),
    ],
)
@pytest.mark.parametrize("rho", [0.0, 0.7])
def test_intervals_cover_the_truth(method, population, rho):
    """In about 95 % of normal samples of 30."""
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(400):
        x = rng.normal(size=30)
        y = rho * x + math.sqrt(1 - rho**2) * rng.normal(size=30)
        found = correlate(x.tolist(), y.tolist(), method=method)
        hits += found.low <= population(rho) <= found.high
    assert 0.91 <= hits / 400 <= 0.99


def test_edges():
    """Constant series are undefined, few items say little, perfect ones are points."""
    assert math.isnan(correlate([1, 1], [1, 2]).value)
    assert math.isnan(correlate([], []).value)
    few = correlate([1, 2, 3], [1, 3, 2])
    assert (few.low, few.high) == (-1.0, 1.0)
    perfect = correlate([1, 2, 3, 4, 5], [2, 3, 4, 5, 6])
    assert (perfect.value, perfect.low, perfect.high) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("a", "b", "method", "problem"),
    [
        ([1], [1, 2], "pearson", "1 numbers in one series but 2"),
        ([1, math.inf], [1, 2], "pearson", "finite"),
        ([1, 2], [1, 2], "phi", "no correlation 'phi'"),
    ],
)
def test_what_cannot_be_correlated_is_refused(a, b, method, problem):
    """Unequal lengths, infinities, unknown methods."""
    with pytest.raises(ConfigError, match=problem):
        correlate(a, b, method=method)
