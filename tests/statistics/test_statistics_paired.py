"""Paired comparisons: against other libraries, by enumeration, by simulation, by properties."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from opik_eval.errors import ConfigError
from opik_eval.statistics import benjamini_hochberg, compare_paired, holm, verdict_on

BITS = st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0]))
BINARY = st.lists(BITS, min_size=1, max_size=40)
NUMERIC = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30)
P_VALUES = st.lists(st.floats(0, 1), max_size=12)


def split(pairs):
    """Return the two runs of a list of pairs."""
    return [before for before, _ in pairs], [after for _, after in pairs]


def pairs_of_counts(both, only_a, only_b, neither):
    """Return the 0/1 pairs of a table of counts."""
    return split([(1, 1)] * both + [(1, 0)] * only_a + [(0, 1)] * only_b + [(0, 0)] * neither)


@settings(deadline=None)
@given(BINARY)
def test_mcnemar_equals_statsmodels(pairs):
    """The p of 0/1 pairs is that of the exact McNemar test."""
    a, b = split(pairs)
    table = np.zeros((2, 2))
    for before, after in pairs:
        table[int(before), int(after)] += 1
    result = compare_paired(a, b)
    assert result.test == "exact McNemar"
    assert result.p_value == pytest.approx(float(mcnemar(table, exact=True).pvalue))


@settings(deadline=None)
@given(BINARY)
def test_sign_flip_of_bits_equals_mcnemar(pairs):
    """On 0/1 pairs the sign-flip permutation is the same test as McNemar's."""
    a, b = split(pairs[:18])
    assert compare_paired(a, b, test="permutation").p_value == pytest.approx(
        compare_paired(a, b, test="mcnemar").p_value
    )


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=9))
def test_sign_flip_equals_all_sign_patterns(pairs):
    """Up to 20 units the p counts every pattern of signs."""
    a, b = split(pairs)
    differences = [y - x for x, y in pairs]
    patterns = itertools.product([-1, 1], repeat=len(pairs))
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in patterns]
    expected = sum(total >= abs(sum(differences)) for total in sums) / len(sums)
    assert compare_paired(a, b, test="permutation").p_value == pytest.approx(expected)


@pytest.mark.parametrize("digits", [0, 12], ids=["few sizes", "all sizes different"])
def test_sampled_sign_flip_equals_scipy(digits):
    """With more units the sampled p agrees with scipy's permutation test."""
    rng = np.random.default_rng(2)
    a = np.round(rng.normal(0, 3, 150), digits)
    b = np.round(a + rng.normal(0.45, 3, 150), digits)
    expected = scipy.stats.permutation_test(
        (b - a,),
        np.mean,
        permutation_type="samples",
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    ).pvalue
    result = compare_paired(a.tolist(), b.tolist())
    assert result.test == "sign-flip permutation (9999 samples)"
    assert result.p_value == pytest.approx(expected, abs=0.02)


def test_limit_of_the_sign_flip_continues_the_samples():
    """Just above the limit the normal law gives the p that sampling gives just below."""
    rng = np.random.default_rng(4)
    difference = rng.normal(0.02, 1, 5_400)
    limit = compare_paired([0.5] * 5_400, (0.5 + difference).tolist())
    sampled = compare_paired([0.5] * 4_999, (0.5 + difference[:4_999]).tolist())
    z = sum(difference) / math.sqrt(sum(difference**2))
    assert limit.test == "sign-flip permutation (normal limit)"
    assert limit.p_value == pytest.approx(2 * scipy.stats.norm.sf(abs(z)))
    z_sampled = sum(difference[:4_999]) / math.sqrt(sum(difference[:4_999] ** 2))
    assert sampled.p_value == pytest.approx(2 * scipy.stats.norm.sf(abs(z_sampled)), abs=0.02)


def test_wilcoxon_equals_scipy():
    """Wilcoxon is offered, and is scipy's."""
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=30), rng.normal(0.5, 1, size=30)
    result = compare_paired(a.tolist(), b.tolist(), test="wilcoxon")
    assert result.p_value == pytest.approx(scipy.stats.wilcoxon(b - a).pvalue)
    assert compare_paired([1.0, 2.0], [1.0, 2.0], test="wilcoxon").p_value == 1.0


def score_statistic(difference, up, down, n):
    """Return Tango's statistic with the constrained estimate found by search."""

    def deviance(share_down):
        share_up = share_down + difference
        rest = 1 - share_up - share_down
        terms = ((up, share_up), (down, share_down), (n - up - down, rest))
        return -sum(count * math.log(max(p, 1e-300)) for count, p in terms if count)

    best = scipy.optimize.minimize_scalar(
        deviance,
        bounds=(max(0.0, -difference), (1 - difference) / 2),
        method="bounded",
        options={"xatol": 1e-12},
    ).x
    return (up - down - n * difference) / math.sqrt(n * (2 * best + difference * (1 - difference)))


@pytest.mark.parametrize(
    "counts", [(20, 9, 4, 10), (5, 1, 12, 3), (30, 6, 6, 30), (1, 0, 38, 0), (4, 7, 0, 9)]
)
def test_binary_interval_inverts_the_score_test(counts):
    """At both ends the score statistic, its nuisance parameter maximised by search, is 1.96."""
    a, b = pairs_of_counts(*counts)
    result = compare_paired(a, b)
    _, down, up, _ = counts
    n = sum(counts)
    assert score_statistic(result.low, up, down, n) == pytest.approx(1.96, abs=1e-3)
    assert score_statistic(result.high, up, down, n) == pytest.approx(-1.96, abs=1e-3)


def test_binary_interval_of_published_table():
    """54 concordant pairs give Tango's published interval of +-0.0664."""
    result = compare_paired(*pairs_of_counts(54, 0, 0, 0))
    assert (result.low, result.high) == pytest.approx((-0.0664, 0.0664), abs=5e-5)


def test_numeric_interval_is_t_of_the_differences():
    """The interval of numbers is the paired t interval."""
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=25), rng.normal(size=25)
    result = compare_paired(a.tolist(), b.tolist())
    expected = scipy.stats.ttest_rel(b, a).confidence_interval(0.95)
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high))
    assert result.effect_size == pytest.approx((b - a).mean() / (b - a).std(ddof=1))


def test_clusters_are_flipped_as_a_whole():
    """Four copies of every pair, labelled as such, are no more evidence than the pairs alone."""
    a, b = [0.1, 0.5, 0.2, 0.9, 0.4, 0.3], [0.3, 0.7, 0.1, 1.0, 0.6, 0.8]
    once = compare_paired(a, b)
    copied = compare_paired(a * 4, b * 4, clusters=[*range(6)] * 4)
    assert copied.p_value == once.p_value
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))
    assert (copied.n, copied.informative) == (24, 6)
    assert compare_paired(a * 4, b * 4).p_value < once.p_value


@settings(deadline=None)
@given(st.one_of(BINARY, NUMERIC), st.sampled_from([True, False, None]))
def test_swapping_the_runs_mirrors_everything(pairs, higher_is_better):
    """b against a says the opposite of a against b, with the same p."""
    a, b = split(pairs)
    one = compare_paired(a, b, higher_is_better=higher_is_better)
    other = compare_paired(b, a, higher_is_better=higher_is_better)
    assert other.p_value == one.p_value
    assert (other.wins, other.losses, other.ties) == (one.losses, one.wins, one.ties)
    assert (-other.high, -other.low) == pytest.approx((one.low, one.high))
    opposite = {"better": "worse", "worse": "better"}
    assert other.verdict == opposite.get(one.verdict, one.verdict)


@settings(deadline=None)
@given(st.one_of(BINARY, NUMERIC), st.randoms(use_true_random=False))
def test_order_of_pairs_makes_no_difference(pairs, rng):
    """Shuffled pairs give the same numbers, and the interval holds the difference."""
    one = compare_paired(*split(pairs))
    other = compare_paired(*split(rng.sample(pairs, len(pairs))))
    assert other == one or math.isnan(one.effect_size)
    assert other.p_value == one.p_value
    assert one.low <= one.difference <= one.high
    assert one.wins + one.losses + one.ties == one.n == len(pairs)


@settings(deadline=None)
@given(BINARY, st.floats(0.5, 0.98))
def test_more_confidence_means_a_wider_interval(pairs, confidence):
    """Score intervals are nested in the confidence asked for."""
    a, b = split(pairs)
    narrow = compare_paired(a, b, confidence=confidence)
    wide = compare_paired(a, b, confidence=confidence + 0.015)
    assert wide.low <= narrow.low
    assert narrow.high <= wide.high


@pytest.mark.parametrize(
    ("wins", "losses", "ties", "higher_is_better", "verdict"),
    [
        (0, 0, 0, True, "insufficient evidence"),
        (5, 0, 100, True, "insufficient evidence"),
        (0, 0, 5, True, "insufficient evidence"),
        (0, 0, 6, True, "no difference shown"),
        (6, 0, 0, True, "better"),
        (6, 0, 0, False, "worse"),
        (0, 6, 0, True, "worse"),
        (6, 0, 0, None, "different"),
        (5, 5, 0, True, "no difference shown"),
    ],
)
def test_verdicts(wins, losses, ties, higher_is_better, verdict):
    """Six informative pairs are the least that can decide at 5 %."""
    a, b = pairs_of_counts(ties, losses, wins, 0)
    assert compare_paired(a, b, higher_is_better=higher_is_better).verdict == verdict


def test_verdict_follows_the_adjusted_p():
    """A p that does not survive adjustment is no difference shown."""
    assert verdict_on(0.2, 0.04, units=50, informative=20) == "better"
    assert verdict_on(0.2, 0.08, units=50, informative=20) == "no difference shown"


def test_wins_count_in_the_better_direction():
    """Where lower is better, a fall is a win."""
    result = compare_paired([3.0, 2.0, 5.0], [1.0, 2.5, 5.0], higher_is_better=False)
    assert (result.wins, result.losses, result.ties) == (1, 1, 1)


@pytest.mark.parametrize(
    ("a", "b", "arguments"),
    [
        ([1], [], {}),
        ([math.nan], [1.0], {}),
        ([0.5], [1.0], {"test": "mcnemar"}),
        ([0, 1], [1, 1], {"test": "mcnemar", "clusters": ["x", "x"]}),
    ],
)
def test_wrong_arguments_are_refused(a, b, arguments):
    """What cannot be compared raises."""
    with pytest.raises(ConfigError):
        compare_paired(a, b, **arguments)


def rejections(draw, runs, **arguments):
    """Return the share of runs without true difference that are called different at 5 %."""
    return sum(compare_paired(*draw(), **arguments).p_value <= 0.05 for _ in range(runs)) / runs


@pytest.mark.parametrize("n", [12, 40, 150])
def test_binary_false_alarms_stay_below_5_percent(n):
    """Without a difference, exact McNemar alarms in at most 5 % of runs (5.5 % with noise)."""
    rng = np.random.default_rng(21)
    draws = rng.binomial(1, 0.6, (1_500, 2, n)).tolist()
    assert rejections(draws.pop, 1_500) <= 0.055


def test_numeric_false_alarms_are_5_percent():
    """The sign-flip test is exact: 5 % false alarms on symmetric noise, not more, not far less."""
    draws = np.random.default_rng(22).normal(size=(2_500, 2, 14)).tolist()
    assert 0.04 <= rejections(draws.pop, 2_500) <= 0.055


def test_sampled_false_alarms_are_5_percent():
    """Sampling the signs keeps the level."""
    draws = np.random.default_rng(23).integers(0, 4, (500, 2, 40)).tolist()
    assert 0.03 <= rejections(draws.pop, 500) <= 0.055


@settings(deadline=None, max_examples=15)  # the oracle collects garbage on every call
@given(P_VALUES)
def test_holm_equals_statsmodels(p_values):
    """Holm's adjustment is statsmodels'."""
    expected = multipletests(p_values, method="holm")[1] if p_values else []
    assert holm(p_values) == pytest.approx(list(expected))


@settings(deadline=None)
@given(P_VALUES)
def test_benjamini_hochberg_equals_statsmodels(p_values):
    """The adjustment of the false discovery rate is statsmodels'."""
    expected = multipletests(p_values, method="fdr_bh")[1] if p_values else []
    assert benjamini_hochberg(p_values) == pytest.approx(list(expected))


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_impossible_p_values_are_refused(adjust, p):
    """A p outside 0 .. 1 raises."""
    with pytest.raises(ConfigError):
        adjust([0.5, p])
