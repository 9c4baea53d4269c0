"""Is b better than a? Paired comparisons, and p-values of several of them together.

| values | test | interval of the difference |
|---|---|---|
| 0/1 | exact McNemar (two-sided binomial on the discordant pairs; not mid-p) | Tango's score |
| numbers, or 0/1 in clusters | sign-flip permutation of the mean | Student's t, clustered |
| on request | Wilcoxon signed-rank | Student's t, clustered |

The sign-flip test enumerates all signs up to 20 units, draws 9 999 seeded samples up to 5 000 units
(p = (b+1)/(m+1), never 0), and takes the normal limit of the same distribution above.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from opik_eval.errors import ConfigError
from opik_eval.statistics.intervals import mean_interval

Verdict = Literal["better", "worse", "different", "no difference shown", "insufficient evidence"]
PairedTest = Literal["auto", "mcnemar", "permutation", "wilcoxon"]

_ENUMERATED_UNITS = 20
_SAMPLED_UNITS = 5_000
_SAMPLES = 9_999
_BATCH = 4_000_000  # random signs held in memory at once


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """What the pairs say about b against a.

    Attributes:
        difference: Mean of b minus mean of a; NaN without pairs.
        low: Lower end of the difference's confidence interval; ``-inf`` where nothing is known.
        high: Upper end; ``inf`` where nothing is known.
        p_value: Two-sided p-value of "no difference"; 1.0 where no pair differs.
        test: What computed it.
        n: Number of pairs.
        wins: Pairs in which b is better (where no direction is better: higher).
        losses: Pairs in which b is worse (where no direction is better: lower).
        ties: Pairs in which they are equal.
        effect_size: d_z, the mean difference in units of the differences' standard deviation; NaN
            where all differences are equal.
        verdict: See ``verdict_on``.
        mean_a: Mean of a over the pairs.
        mean_b: Mean of b over the pairs.
        informative: Pairs (with clusters: clusters) that differ; the test rests on these alone.
    """

    difference: float
    low: float
    high: float
    p_value: float
    test: str
    n: int
    wins: int
    losses: int
    ties: int
    effect_size: float
    verdict: Verdict
    mean_a: float
    mean_b: float
    informative: int


def compare_paired(
    a: Sequence[float],
    b: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    test: PairedTest = "auto",
    higher_is_better: bool | None = True,
    confidence: float = 0.95,
    alpha: float = 0.05,
    seed: int = 0,
) -> PairedComparison:
    """Compare two runs over the same items.

    Args:
        a: Values of the baseline.
        b: Values of the candidate; ``b[i]`` belongs to the same item as ``a[i]``.
        clusters: What each pair belongs to, where pairs depend on each other.
        test: ``auto`` decides by the table at the top of this module, from the values alone.
        higher_is_better: Direction; ``None`` where neither end is better.
        confidence: Coverage of the interval, in (0, 1).
        alpha: Level of the verdict, in (0, 1).
        seed: Seed of the sampled permutations; the order of the pairs makes no difference.

    Raises:
        ConfigError: The lengths differ, a value is not finite, or the test does not fit the values.

    Source:
        McNemar 1947; Tango 1998; Phipson and Smyth 2010 (p of sampled permutations).

    Example:
        >>> result = compare_paired([0, 0, 0, 0, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1, 0])
        >>> result.wins, result.losses, result.ties, round(result.p_value, 3), result.verdict
        (6, 0, 2, 0.031, 'better')
    """
    if len(a) != len(b):
        raise ConfigError(f"{len(a)} values of a but {len(b)} of b: pairs are needed")
    differences = [after - before for before, after in zip(a, b, strict=True)]
    estimate = mean_interval(differences, clusters=clusters, confidence=confidence, method="t")
    clustered = estimate.n_clusters < estimate.n
    binary = all(value in (0, 1) for value in (*a, *b)) and not clustered
    units = _units(differences, clusters)
    low, high = estimate.low, estimate.high
    if binary and differences:
        low, high = _tango_interval(differences, confidence)
    name, p_value = _tested(units, test, binary=binary, seed=seed)
    ups, downs = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    wins, losses = (downs, ups) if higher_is_better is False else (ups, downs)
    informative = sum(unit != 0 for unit in units)
    return PairedComparison(
        difference=estimate.mean,
        low=low,
        high=high,
        p_value=p_value,
        test=name,
        n=estimate.n,
        wins=wins,
        losses=losses,
        ties=estimate.n - wins - losses,
        effect_size=_effect_size(differences, estimate.mean),
        verdict=verdict_on(
            estimate.mean,
            p_value,
            units=len(units),
            informative=informative,
            higher_is_better=higher_is_better,
            alpha=alpha,
        ),
        mean_a=math.fsum(a) / len(a) if a else math.nan,
        mean_b=math.fsum(b) / len(b) if b else math.nan,
        informative=informative,
    )


def verdict_on(
    difference: float,
    p_value: float,
    *,
    units: int,
    informative: int,
    higher_is_better: bool | None = True,
    alpha: float = 0.05,
) -> Verdict:
    """Put a comparison into words.

    "Insufficient evidence" means that no outcome could have been significant: with m informative
    pairs a two-sided p cannot fall below 2/2^m, so at alpha = 0.05 six are needed. Where many pairs
    were compared and all of them tied, "no difference shown" is the fair word.

    Args:
        difference: Mean of b minus mean of a.
        p_value: p-value, adjusted if it is one of several.
        units: Independent pairs or clusters.
        informative: Those of them that differ.
        higher_is_better: Direction; ``None`` where neither end is better.
        alpha: Level, in (0, 1).
    """
    deciding = informative if informative else units
    if 2.0 ** (1 - deciding) > alpha:
        return "insufficient evidence"
    if p_value > alpha or difference == 0:
        return "no difference shown"
    if higher_is_better is None:
        return "different"
    return "better" if (difference > 0) == higher_is_better else "worse"


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values: the chance of any false alarm stays below alpha.

    Source:
        Holm 1979.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    count = len(_checked(p_values))
    adjusted = [1.0] * count
    reached = 0.0
    for rank, index in enumerate(sorted(range(count), key=p_values.__getitem__)):
        reached = max(reached, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = reached
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return adjusted p-values that bound the expected share of false alarms among all alarms.

    Source:
        Benjamini and Hochberg 1995.

    Example:
        >>> benjamini_hochberg([0.01, 0.04, 0.03])
        [0.03, 0.04, 0.04]
    """
    count = len(_checked(p_values))
    adjusted = [1.0] * count
    reached = 1.0
    descending = sorted(range(count), key=p_values.__getitem__, reverse=True)
    for rank, index in zip(range(count, 0, -1), descending, strict=True):
        reached = min(reached, count * p_values[index] / rank)
        adjusted[index] = reached
    return adjusted


def _checked(p_values: Sequence[float]) -> Sequence[float]:
    if not all(0 <= p <= 1 for p in p_values):
        raise ConfigError("p-values must lie in 0 .. 1")
    return p_values


def _units(differences: Sequence[float], clusters: Sequence[Hashable] | None) -> list[float]:
    """Return the independent units of the test: differences, or their sums within clusters."""
    if clusters is None:
        return list(differences)
    members: dict[Hashable, list[float]] = {}
    for difference, label in zip(differences, clusters, strict=True):
        members.setdefault(label, []).append(difference)
    return [math.fsum(part) for part in members.values()]


def _tested(
    units: Sequence[float], test: PairedTest, *, binary: bool, seed: int
) -> tuple[str, float]:
    if test == "mcnemar" and not binary:
        raise ConfigError(
            "McNemar's test is for independent pairs of 0/1 values",
            remedy="use test='permutation', or test='auto'",
        )
    changed = [abs(unit) for unit in units if unit]
    if test == "wilcoxon":
        return "Wilcoxon signed-rank", _wilcoxon([unit for unit in units if unit])
    if binary and test in ("auto", "mcnemar"):
        return "exact McNemar", _binomial_p(sum(unit > 0 for unit in units), len(changed))
    compute, kind = _sign_flip(len(changed))
    name = f"sign-flip permutation ({kind})"
    return name, compute(sorted(changed), abs(math.fsum(units)), seed)


def _binomial_p(successes: int, trials: int) -> float:
    """Return the two-sided exact p of ``successes`` under fair coin flips."""
    from scipy.special import bdtr

    if trials == 0:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(successes, trials - successes), trials, 0.5)))


def _wilcoxon(changed: Sequence[float]) -> float:
    if not changed:
        return 1.0
    from scipy.stats import wilcoxon

    return float(wilcoxon(changed).pvalue)


def _sign_flip(units: int) -> tuple[Callable[[Sequence[float], float, int], float], str]:
    if units <= _ENUMERATED_UNITS:
        return _enumerated_p, "exact"
    if units <= _SAMPLED_UNITS:
        return _sampled_p, f"{_SAMPLES} samples"
    return _limiting_p, "normal limit"


def _enumerated_p(sizes: Sequence[float], observed: float, _seed: int) -> float:
    import numpy as np

    if not sizes:
        return 1.0
    # The first sign can stay fixed: the distribution is symmetric.
    sums = np.array([sizes[0]])
    for size in sizes[1:]:
        sums = np.concatenate((sums - size, sums + size))
    return float(np.mean(np.abs(sums) >= observed - _tolerance(sizes)))


def _sampled_p(sizes: Sequence[float], observed: float, seed: int) -> float:
    import numpy as np

    generator = np.random.default_rng(seed)
    # Equal sizes are flipped together: the number of positive signs among them is binomial.
    distinct, counts = np.unique(np.array(sizes), return_counts=True)
    together = 2 * len(distinct) < len(sizes)
    weights = distinct if together else np.array(sizes)
    step = max(1, _BATCH // len(weights))
    reached = 0
    for start in range(0, _SAMPLES, step):
        rows = min(step, _SAMPLES - start)
        if together:
            positive = generator.binomial(counts, 0.5, (rows, len(weights))) @ weights
        else:
            noise = generator.integers(0, 256, (rows, -(-len(weights) // 8)), dtype=np.uint8)
            positive = np.unpackbits(noise, axis=1, count=len(weights)).astype(float) @ weights
        sums = 2 * positive - math.fsum(sizes)
        reached += int(np.sum(np.abs(sums) >= observed - _tolerance(sizes)))
    return (reached + 1) / (_SAMPLES + 1)


def _limiting_p(sizes: Sequence[float], observed: float, _seed: int) -> float:
    scale = math.sqrt(math.fsum(size**2 for size in sizes))
    return 2 * NormalDist().cdf(-observed / scale)


def _tolerance(sizes: Sequence[float]) -> float:
    """Return the rounding error below which two sums of these sizes count as equal."""
    return 1e-12 * math.fsum(sizes)


def _effect_size(differences: Sequence[float], mean: float) -> float:
    if len(differences) < 2 or min(differences) == max(differences):
        return math.nan
    squares = math.fsum((difference - mean) ** 2 for difference in differences)
    return mean / math.sqrt(squares / (len(differences) - 1))


def _tango_interval(differences: Sequence[float], confidence: float) -> tuple[float, float]:
    """Return the score interval of a difference of paired shares.

    Unlike Wald's it does not collapse to a point where no pair differs.
    """
    n = len(differences)
    up, down = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    quantile = NormalDist().inv_cdf((1 + confidence) / 2)
    return -_tango_end(down, up, n, quantile), _tango_end(up, down, n, quantile)


def _tango_end(up: int, down: int, n: int, quantile: float) -> float:
    """Return the largest difference that the score test does not reject, by bisection."""
    inside, outside = (up - down) / n, 1.0
    for _ in range(60):
        middle = (inside + outside) / 2
        if _tango_distance(middle, up, down, n) <= quantile:
            inside = middle
        else:
            outside = middle
    return inside


def _tango_distance(difference: float, up: int, down: int, n: int) -> float:
    """Return how many standard errors the observed difference lies below ``difference``."""
    linear = -up - down + (2 * n - up + down) * difference
    constant = -down * difference * (1 - difference)
    share_down = (math.sqrt(linear**2 - 8 * n * constant) - linear) / (4 * n)
    variance = n * (2 * share_down + difference * (1 - difference))
    gap = n * difference - up + down
    return gap / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, gap)
