"""Intervals around a mean: how far the truth may be from the number we show.

| values | interval |
|---|---|
| 0/1, one per cluster | Wilson score interval |
| 0/1, several per cluster | Wilson on the effective sample size, with Student's t instead of z |
| numbers, one per cluster | Student's t |
| numbers, several per cluster | Student's t, cluster-robust error, C-1 degrees of freedom |
| numbers, on request | BCa bootstrap of clusters, with expanded percentiles |

The method follows from the values alone, never from the sample size. BCa is not chosen by itself:
in simulations on exponential, log-normal and U-shaped data with 8 to 80 values it covered the mean
no more often than t did.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

from opik_eval.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IntervalMethod = Literal["auto", "wilson", "t", "bca"]

_BATCH = 4_000_000  # resampled values held in memory at once


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and what is known about its precision.

    Attributes:
        mean: Mean of all values; NaN without values.
        low: Lower end of the interval; ``-inf`` where the values say nothing about it.
        high: Upper end; ``inf`` where the values say nothing about it.
        standard_error: Standard error of the mean, cluster-robust where values come in clusters;
            NaN with fewer than two clusters.
        n: Number of values.
        n_clusters: Number of clusters; equals ``n`` where every value is its own.
        method: What computed the interval: ``wilson``, ``clustered wilson``, ``t``,
            ``clustered t``, ``bca``, ``percentile``, ``constant`` (equal values: no spread to learn
            from, so the interval is a point) or ``none`` (too few values).
    """

    mean: float
    low: float
    high: float
    standard_error: float
    n: int
    n_clusters: int
    method: str


def mean_interval(
    values: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    method: IntervalMethod = "auto",
    resamples: int = 9_999,
    seed: int = 0,
) -> Estimate:
    """Return the mean of ``values`` with its standard error and confidence interval.

    Args:
        values: Finite numbers. Leave unscored and failed results out, and count them.
        clusters: What each value belongs to, such as the dataset item of a trial. Values of one
            cluster may depend on each other; clusters may not.
        confidence: Coverage asked for, in (0, 1).
        method: ``auto`` decides by the table at the top of this module.
        resamples: Bootstrap samples of ``bca``.
        seed: Seed of the bootstrap; the same values give the same interval in any order.

    Returns:
        The estimate. Without values, or with one cluster of numbers, the interval is unbounded.

    Raises:
        ConfigError: A value is not finite, the lengths differ, or ``wilson`` meets other values
            than 0 and 1.

    Source:
        Wilson 1927; Korn and Graubard 1998 (effective sample size with t for clustered shares);
        Liang and Zeger 1986 with the factor C/(C-1); Efron 1987 and Hesterberg 2015 (BCa).

    Example:
        >>> estimate = mean_interval([1, 1, 0, 1, 1, 0, 1, 1])
        >>> f"{estimate.mean:.2f} [{estimate.low:.2f}, {estimate.high:.2f}] {estimate.method}"
        '0.75 [0.41, 0.93] wilson'
    """
    sums, sizes = _by_cluster(values, clusters, confidence)
    n, count = len(values), len(sums)
    binary = all(value in (0, 1) for value in values)
    if method == "wilson" and not binary:
        raise ConfigError(
            "the Wilson interval is for values that are all 0 or 1",
            remedy="use method='t' or method='auto'",
        )
    if n == 0:
        return Estimate(math.nan, -math.inf, math.inf, math.nan, 0, 0, "none")
    lowest, highest = min(values), max(values)
    mean = float(lowest) if lowest == highest else math.fsum(values) / n
    error = _standard_error(sums, sizes, mean)
    if binary and method in ("auto", "wilson"):
        low, high, name = _share_interval(mean, error, n, count, confidence)
    elif count < 2:
        low, high, name = -math.inf, math.inf, "none"
    elif lowest == highest:
        error, low, high, name = 0.0, mean, mean, "constant"
    elif method == "bca":
        low, high, name = _bca_interval(sums, sizes, mean, confidence, resamples, seed)
    else:
        half = _t_quantile(count - 1, confidence) * error
        low, high, name = mean - half, mean + half, "t" if count == n else "clustered t"
    return Estimate(mean, low, high, error, n, count, name)


def _by_cluster(
    values: Sequence[float], clusters: Sequence[Hashable] | None, confidence: float
) -> tuple[list[float], list[int]]:
    """Return sum and size of every cluster, after checking the arguments."""
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence must lie between 0 and 1, not {confidence}")
    if not all(map(math.isfinite, values)):
        raise ConfigError(
            "values must be finite numbers", remedy="leave unscored values out and count them"
        )
    if clusters is None:
        return [float(value) for value in values], [1] * len(values)
    if len(clusters) != len(values):
        raise ConfigError(f"{len(values)} values but {len(clusters)} cluster labels")
    members: dict[Hashable, list[float]] = {}
    for value, label in zip(values, clusters, strict=True):
        members.setdefault(label, []).append(value)
    return [math.fsum(part) for part in members.values()], [len(m) for m in members.values()]


def _standard_error(sums: Sequence[float], sizes: Sequence[int], mean: float) -> float:
    count, n = len(sums), sum(sizes)
    if count < 2:
        return math.nan
    squares = math.fsum((s - k * mean) ** 2 for s, k in zip(sums, sizes, strict=True))
    return math.sqrt(squares * count / (count - 1)) / n


def _share_interval(
    share: float, error: float, n: int, count: int, confidence: float
) -> tuple[float, float, str]:
    if count == n:
        return *wilson_interval(share, n, _z_quantile(confidence)), "wilson"
    if count < 2:
        return 0.0, 1.0, "none"
    # All values equal show no variance between clusters: then every cluster counts once.
    effective = min(n, share * (1 - share) / error**2) if error > 0 else count
    return *wilson_interval(
        share, effective, _t_quantile(count - 1, confidence)
    ), "clustered wilson"


def wilson_interval(share: float, n: float, quantile: float) -> tuple[float, float]:
    """Return Wilson's score interval of a share among ``n`` trials.

    Args:
        share: Observed share, in [0, 1].
        n: Sample size, which may be an effective one; above 0.
        quantile: Two-sided quantile, such as 1.96.
    """
    spread = quantile**2 / n
    centre = (share + spread / 2) / (1 + spread)
    half = math.sqrt(spread * (share * (1 - share) + spread / 4)) / (1 + spread)
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def _z_quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _t_quantile(degrees_of_freedom: int, confidence: float) -> float:
    # scipy.special loads in half the time of scipy.stats.
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, (1 + confidence) / 2))


def _bca_interval(
    sums: Sequence[float],
    sizes: Sequence[int],
    mean: float,
    confidence: float,
    resamples: int,
    seed: int,
) -> tuple[float, float, str]:
    import numpy as np
    from scipy.special import ndtr, ndtri

    order = sorted(zip(sums, sizes, strict=True))
    totals = np.array([total for total, _ in order])
    weights = np.array([float(size) for _, size in order])
    means = _resampled_means(totals, weights, resamples, seed)
    below = float(np.mean(means < mean) + np.mean(means == mean) / 2)
    count = len(order)
    jackknife = (totals.sum() - totals) / (weights.sum() - weights)
    deviations = jackknife.mean() - jackknife
    largest = float(abs(deviations).max())
    # Percentiles are widened to those of t and of the unbiased variance; else BCa is too short.
    reach = _t_quantile(count - 1, confidence) * math.sqrt(count / (count - 1))
    if not 0 < below < 1 or largest == 0:
        ends, name = [-reach, reach], "percentile"
    else:
        bias = float(ndtri(below))
        deviations /= largest  # cubes of tiny numbers would vanish
        acceleration = float((deviations**3).sum()) / (6 * float((deviations**2).sum()) ** 1.5)
        ends = [_corrected(sign * reach, bias, acceleration) for sign in (-1, 1)]
        name = "bca"
    low, high = np.quantile(means, ndtr(ends))
    return min(float(low), mean), max(float(high), mean), name


def _corrected(end: float, bias: float, acceleration: float) -> float:
    shifted = bias + end
    room = 1 - acceleration * shifted
    # Past its pole the correction would jump to the other end of the distribution.
    return bias + shifted / room if room > 0 else math.copysign(math.inf, shifted)


def _resampled_means(
    totals: NDArray[np.float64], weights: NDArray[np.float64], resamples: int, seed: int
) -> NDArray[np.float64]:
    import numpy as np

    generator = np.random.default_rng(seed)
    count = len(totals)
    step = max(1, _BATCH // count)
    parts = []
    for start in range(0, resamples, step):
        picks = generator.integers(0, count, (min(step, resamples - start), count))
        parts.append(totals[picks].sum(axis=1) / weights[picks].sum(axis=1))
    return np.concatenate(parts)
