"""How many items does a comparison need, and what can a given number show?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from opik_eval.errors import ConfigError

_MOST_PAIRS = 10_000_000
_TAIL = 8  # standard deviations of the binomial beyond which its mass is negligible


class Design(Protocol):
    """A paired comparison before it is run."""

    @property
    def largest_effect(self) -> float:
        """Largest difference that is possible."""
        ...

    def power(self, n: int, effect: float, alpha: float) -> float:
        """Return the chance that ``n`` pairs show a true difference ``effect``."""
        ...


@dataclass(frozen=True, slots=True)
class PairedBinary:
    """Pairs of 0/1 values, tested with exact McNemar. The power is exact, not asymptotic.

    Attributes:
        discordant_share: Expected share of pairs that differ, in (0, 1].
    """

    discordant_share: float

    def __post_init__(self) -> None:
        if not 0 < self.discordant_share <= 1:
            raise ConfigError(
                f"discordant_share must lie in (0, 1], not {self.discordant_share}",
                remedy="take the share of items on which a pilot's two runs differ",
            )

    @property
    def largest_effect(self) -> float:
        """All discordant pairs on one side."""
        return self.discordant_share

    def power(self, n: int, effect: float, alpha: float) -> float:
        """Return the chance of p <= alpha, over all numbers of discordant pairs."""
        import numpy as np
        from scipy.stats import binom

        share = self.discordant_share
        towards = (1 + min(1.0, abs(effect) / share)) / 2
        reach = _TAIL * math.sqrt(n * share * (1 - share)) + 1
        first, last = math.floor(n * share - reach), math.ceil(n * share + reach)
        discordant = np.arange(max(0, first), min(n, last) + 1)
        # Largest count of the rarer side that is still significant; -1 where none is.
        limit = np.asarray(binom.ppf(alpha / 2, discordant, 0.5))
        limit = limit - (binom.cdf(limit, discordant, 0.5) > alpha / 2)
        rejected = binom.cdf(limit, discordant, towards) + binom.cdf(limit, discordant, 1 - towards)
        return float(np.sum(binom.pmf(discordant, n, share) * rejected))


@dataclass(frozen=True, slots=True)
class PairedNumeric:
    """Pairs of numbers; the power is that of the paired t test, which the sign-flip test attains.

    Attributes:
        sd_difference: Expected standard deviation of the pairs' differences, above 0.
    """

    sd_difference: float

    def __post_init__(self) -> None:
        if not 0 < self.sd_difference < math.inf:
            raise ConfigError(f"sd_difference must be above 0, not {self.sd_difference}")

    @property
    def largest_effect(self) -> float:
        """Twenty standard deviations, far beyond what needs a test."""
        return 20 * self.sd_difference

    def power(self, n: int, effect: float, alpha: float) -> float:
        """Return the chance that the two-sided t test rejects."""
        from scipy.special import nctdtr, stdtrit

        if n < 2:
            return 0.0
        shift = abs(effect) * math.sqrt(n) / self.sd_difference
        limit = float(stdtrit(n - 1, 1 - alpha / 2))
        below, far_below = (float(nctdtr(n - 1, shift, end)) for end in (limit, -limit))
        # scipy gives NaN for chances too small to represent.
        return (
            1
            - (0.0 if math.isnan(below) else below)
            + (0.0 if math.isnan(far_below) else far_below)
        )


def design_of(a: Sequence[float], b: Sequence[float]) -> Design:
    """Return the design that a pilot's pairs suggest.

    Args:
        a: Values of one run.
        b: Values of the other, in the same order.

    Raises:
        ConfigError: The pilot has too few pairs, or none that differ.
    """
    differences = [after - before for before, after in zip(a, b, strict=True)]
    if len(differences) < 2 or min(differences) == max(differences):
        raise ConfigError(
            "the pilot shows no variation between pairs",
            remedy="run more items, or state the design: PairedBinary or PairedNumeric",
        )
    if all(value in (0, 1) for value in (*a, *b)):
        return PairedBinary(sum(d != 0 for d in differences) / len(differences))
    mean = math.fsum(differences) / len(differences)
    squares = math.fsum((d - mean) ** 2 for d in differences)
    return PairedNumeric(math.sqrt(squares / (len(differences) - 1)))


def minimum_detectable_effect(
    design: Design, n: int, *, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Return the smallest true difference that ``n`` pairs would show with the given power.

    Args:
        design: What is known of the pairs.
        n: Number of pairs, at least 1.
        alpha: Level of the two-sided test.
        power: Wanted chance to detect, in (0, 1).

    Returns:
        The difference; ``inf`` if even the largest possible one would be missed too often.

    Example:
        >>> round(minimum_detectable_effect(PairedBinary(0.2), 200), 3)
        0.091
    """
    _check(alpha, power)
    low, high = 0.0, design.largest_effect
    if n < 1 or design.power(n, high, alpha) < power:
        return math.inf
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if design.power(n, middle, alpha) >= power else (middle, high)
    return high


def needed_pairs(design: Design, effect: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """Return how many pairs show a true difference ``effect`` with the given power.

    Args:
        design: What is known of the pairs.
        effect: True difference to find; its sign does not matter.
        alpha: Level of the two-sided test.
        power: Wanted chance to detect, in (0, 1).

    Raises:
        ConfigError: The effect is 0, larger than the design allows, or needs over 10 million pairs.

    Example:
        >>> needed_pairs(PairedNumeric(sd_difference=0.3), effect=0.05)
        285
    """
    _check(alpha, power)
    if not 0 < abs(effect) <= design.largest_effect:
        raise ConfigError(
            f"an effect of {effect:g} is impossible or nothing; at most {design.largest_effect:g}"
        )
    high = 2
    while design.power(high, effect, alpha) < power:
        high *= 2
        if high > _MOST_PAIRS:
            raise ConfigError(f"an effect of {effect:g} needs over {_MOST_PAIRS} pairs")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (low, middle) if design.power(middle, effect, alpha) >= power else (middle, high)
        )
    return high


def _check(alpha: float, power: float) -> None:
    if not (0 < alpha < 1 and 0 < power < 1):
        raise ConfigError("alpha and power must lie between 0 and 1")
