"""From the trials of one item to one value."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from opik_eval.errors import ConfigError

Reducer = Callable[[Sequence[float]], float]
"""Takes the values of an item's trials, at least one, and returns one value."""

_WITH_K = re.compile(r"(at_least|pass_at|pass_hat|pass@|pass\^)_?(\d+)")


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean, the same in any order of ``values``."""
    return math.fsum(_some(values)) / len(values)


def median(values: Sequence[float]) -> float:
    """Return the middle value, or the mean of the two middle ones."""
    ordered = sorted(_some(values))
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def mode(values: Sequence[float]) -> float:
    """Return the most frequent value; of several, the smallest."""
    counts = Counter(_some(values))
    most = max(counts.values())
    return min(value for value, count in counts.items() if count == most)


def maximum(values: Sequence[float]) -> float:
    """Return the largest value."""
    return max(_some(values))


def at_least_k(values: Sequence[float], k: int, *, threshold: float = 1.0) -> float:
    """Return 1.0 if at least ``k`` values reach ``threshold``, else 0.0.

    Raises:
        ConfigError: ``k`` is not in 1 .. number of values.
    """
    return float(_passed(values, k, threshold) >= k)


def pass_at_k(values: Sequence[float], k: int, *, threshold: float = 1.0) -> float:
    """Estimate the chance that at least one of ``k`` fresh trials passes.

    Unbiased from n trials of which c passed: 1 - C(n-c, k) / C(n, k), as a product that neither
    overflows nor cancels.

    Args:
        values: One value per trial.
        k: Trials to draw; at most the number of values.
        threshold: Values from here on pass.

    Raises:
        ConfigError: ``k`` is not in 1 .. number of values; fewer trials than ``k`` cannot tell.

    Source:
        Chen et al. 2021, "Evaluating Large Language Models Trained on Code".

    Example:
        >>> pass_at_k([1, 0, 0, 0], k=2)
        0.5
    """
    passed = _passed(values, k, threshold)
    n = len(values)
    if n - passed < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(n - passed + 1, n + 1))


def pass_hat_k(values: Sequence[float], k: int, *, threshold: float = 1.0) -> float:
    """Estimate the chance that all of ``k`` fresh trials pass: C(c, k) / C(n, k).

    Args:
        values: One value per trial.
        k: Trials to draw; at most the number of values.
        threshold: Values from here on pass.

    Raises:
        ConfigError: ``k`` is not in 1 .. number of values.

    Source:
        Yao et al. 2024, "tau-bench", where it is written pass^k.

    Example:
        >>> pass_hat_k([1, 1, 1, 0], k=2)
        0.5
    """
    passed = _passed(values, k, threshold)
    n = len(values)
    return math.prod((passed - i) / (n - i) for i in range(k)) if passed >= k else 0.0


def reducer(name: str) -> Reducer:
    """Return the reducer of that name.

    Args:
        name: ``mean``, ``median``, ``mode``, ``max``, ``at_least_2``, ``pass_at_3`` (or
            ``pass@3``), ``pass_hat_3`` (or ``pass^3``), with any number.

    Raises:
        ConfigError: There is no such reducer.

    Example:
        >>> reducer("pass@2")([1, 0, 0, 0])
        0.5
    """
    if name in _PLAIN:
        return _PLAIN[name]
    found = _WITH_K.fullmatch(name)
    if found is None:
        raise ConfigError(
            f"there is no reducer {name!r}",
            remedy=f"use one of {', '.join(_PLAIN)}, at_least_K, pass_at_K, pass_hat_K",
        )
    return partial(_OF_K[found[1]], k=int(found[2]))


def _some(values: Sequence[float]) -> Sequence[float]:
    if not values:
        raise ConfigError("there are no values to reduce")
    return values


def _passed(values: Sequence[float], k: int, threshold: float) -> int:
    if not 1 <= k <= len(values):
        raise ConfigError(
            f"k={k} does not fit {len(values)} trials",
            remedy="choose k between 1 and the number of trials, or run more trials",
        )
    return sum(value >= threshold for value in values)


_PLAIN: dict[str, Reducer] = {"mean": mean, "median": median, "mode": mode, "max": maximum}
_OF_K = {
    "at_least": at_least_k,
    "pass_at": pass_at_k,
    "pass@": pass_at_k,
    "pass_hat": pass_hat_k,
    "pass^": pass_hat_k,
}
