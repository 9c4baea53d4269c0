"""How far two series of numbers rise and fall together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

from opik_eval.errors import ConfigError
from opik_eval.statistics.agreement import Agreement

Correlation = Literal["pearson", "spearman", "kendall"]


def correlate(
    a: Sequence[float],
    b: Sequence[float],
    *,
    method: Correlation = "spearman",
    confidence: float = 0.95,
) -> Agreement:
    """Return a correlation with its interval; NaN where a series is constant.

    Args:
        a: Finite numbers.
        b: Numbers for the same items.
        method: ``pearson`` for straight lines; ``spearman`` of the ranks; ``kendall`` the tau-b of
            concordant pairs, with ties.
        confidence: Coverage of the interval, by Fisher's transformation.

    Raises:
        ConfigError: The lengths differ, a number is not finite, or there is no such method.

    Source: Fisher 1915; Bonett and Wright 2000 (Spearman); Fieller, Hartley and Pearson 1957
        (Kendall).

    Example:
        >>> correlate([1, 2, 3, 4], [1, 3, 2, 4]).value
        0.8
    """
    if len(a) != len(b):
        raise ConfigError(f"{len(a)} numbers in one series but {len(b)} in the other")
    if not all(map(math.isfinite, (*a, *b))):
        raise ConfigError("correlations are of finite numbers", remedy="leave unscored items out")
    if method not in ("pearson", "spearman", "kendall"):
        raise ConfigError(f"there is no correlation {method!r}")
    n = len(a)
    if n < 2 or min(a) == max(a) or min(b) == max(b):
        return Agreement(math.nan, math.nan, math.nan, n)
    value = max(-1.0, min(1.0, round(_coefficient(a, b, method), 15)))
    if n < 5 or abs(value) == 1.0:
        return Agreement(value, -1.0 if n < 5 else value, 1.0 if n < 5 else value, n)
    variance = {
        "pearson": 1 / (n - 3),
        "spearman": (1 + value**2 / 2) / (n - 3),
        "kendall": 0.437 / (n - 4),
    }[method]
    half = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(variance)
    centre = math.atanh(value)
    return Agreement(value, math.tanh(centre - half), math.tanh(centre + half), n)


def _coefficient(a: Sequence[float], b: Sequence[float], method: Correlation) -> float:
    from scipy import stats

    if method == "kendall":
        return float(stats.kendalltau(a, b).statistic)
    if method == "spearman":
        a, b = stats.rankdata(a).tolist(), stats.rankdata(b).tolist()
    return float(stats.pearsonr(a, b).statistic)


__all__ = ["Correlation", "correlate"]
