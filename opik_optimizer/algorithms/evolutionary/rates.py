"""How often each operator is used, learnt from the offspring that were committed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

_PRIOR_TRIES = 4.0
_PRIOR_SUCCESS = 0.3
_LEAST_FACTOR = 0.2


class OperatorRates:
    """Shares of operators: the initial ones, times how much better than others each one does.

    Args:
        shares: Initial shares; those of 0 are never used.
        is_adaptive: Learn from successes.

    Example:
        >>> rates = OperatorRates({"crossover": 0.5, "drop": 0.5})
        >>> for _ in range(8):
        ...     rates.saw("drop", is_success=False)
        ...     rates.saw("crossover", is_success=True)
        >>> rates.shares()["crossover"] > 0.8
        True
    """

    def __init__(self, shares: Mapping[str, float], *, is_adaptive: bool = True) -> None:
        self._initial = {name: share for name, share in shares.items() if share > 0}
        self._is_adaptive = is_adaptive
        self._tries = dict.fromkeys(self._initial, 0)
        self._wins = dict.fromkeys(self._initial, 0)

    @property
    def operators(self) -> list[str]:
        """Names of the operators that are used."""
        return list(self._initial)

    def saw(self, operator: str, *, is_success: bool) -> None:
        """Take note of what came of an operator's offspring."""
        if operator not in self._initial:
            return
        self._tries[operator] += 1
        self._wins[operator] += is_success

    def shares(self, among: Collection[str] | None = None) -> dict[str, float]:
        """Return the present shares of some operators (all if absent); they sum to 1."""
        names = [name for name in self._initial if among is None or name in among]
        weights = {name: self._initial[name] * self._factor(name) for name in names}
        total = sum(weights.values())
        return {name: weight / total for name, weight in weights.items()}

    def draw(self, rng: random.Random, among: Collection[str]) -> str | None:
        """Return one of some operators; ``None`` if none of them is in use."""
        shares = self.shares(among)
        return rng.choices(list(shares), weights=list(shares.values()))[0] if shares else None

    def report(self) -> dict[str, dict[str, float]]:
        """Return what is known of each operator."""
        shares = self.shares()
        return {
            name: {
                "tries": self._tries[name],
                "successes": self._wins[name],
                "share": round(shares[name], 3),
            }
            for name in self._initial
        }

    def _factor(self, name: str) -> float:
        """Return the operator's expected success relative to that of all, at least 0.2."""
        if not self._is_adaptive:
            return 1.0
        tries, wins = sum(self._tries.values()), sum(self._wins.values())
        usual = (wins + _PRIOR_SUCCESS * _PRIOR_TRIES) / (tries + _PRIOR_TRIES)
        own = (self._wins[name] + usual * _PRIOR_TRIES) / (self._tries[name] + _PRIOR_TRIES)
        return max(own / usual, _LEAST_FACTOR)
