"""Ranking several candidates by comparisons of two at a time."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

from opik_eval.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PRIOR = 0.5  # wins and losses against an average candidate that everybody starts with
_STEPS = 100
_TOLERANCE = 1e-10


class Game(NamedTuple):
    """One comparison.

    Attributes:
        a: One candidate.
        b: The other.
        score: 1 if a is better, 0 if b is, 0.5 for a tie; anything between for partial wins.
        cluster: What the comparison belongs to, such as the dataset item; comparisons of one
            cluster may depend on each other. ``None`` = it stands alone.
    """

    a: str
    b: str
    score: float
    cluster: Hashable = None


@dataclass(frozen=True, slots=True)
class Rated:
    """A candidate's place in a ranking.

    Attributes:
        name: The candidate.
        strength: Log-odds of winning against a candidate of average strength.
        low: Lower end of the interval of ``strength``.
        high: Upper end.
        win_probability: Probability of winning against one of average strength.
        best_rank: Rank if all that may be below it are.
        worst_rank: Rank if all that may be above it are.
        games: Comparisons it took part in.
    """

    name: str
    strength: float
    low: float
    high: float
    win_probability: float
    best_rank: int
    worst_rank: int
    games: int


def bradley_terry(games: Sequence[Game], *, confidence: float = 0.95) -> list[Rated]:
    """Rank candidates by the Bradley-Terry model, the strongest first.

    The model gives each candidate a strength, such that the odds of one against another are those
    of their strengths; ties count as half a win. So that a candidate that won all its games has a
    finite strength, each starts with half a win and half a loss against an average one. Intervals
    are robust to dependence within clusters. Two candidates differ in rank only where the interval
    of their *difference* says so, which is narrower than two intervals that do not overlap.

    Args:
        games: Comparisons; candidates must be linked by them, directly or through others.
        confidence: Coverage of each interval; they are not adjusted for being many.

    Raises:
        ConfigError: There are no games, a score is outside 0 to 1, a candidate plays itself, or two
            groups of candidates never met.

    Source: Bradley and Terry 1952; Davidson 1970 (ties as half wins is its simplification); Liang
        and Zeger 1986 (clusters).

    Example:
        >>> games = [Game("a", "b", 1.0)] * 7 + [Game("b", "a", 1.0)] * 3
        >>> first, second = bradley_terry(games)
        >>> first.name, round(first.win_probability, 2), first.worst_rank
        ('a', 0.6, 2)
    """
    import numpy as np

    names = _checked_names(games)
    place = {name: index for index, name in enumerate(names)}
    design = np.zeros((len(games), len(names)))
    for row, game in zip(design, games, strict=True):
        row[place[game.a]], row[place[game.b]] = 1.0, -1.0
    scores = np.array([game.score for game in games])
    strengths = _fit(design, scores)
    covariance = _robust_covariance(design, scores, strengths, games)
    centred = np.eye(len(names)) - 1 / len(names)
    strengths, covariance = centred @ strengths, centred @ covariance @ centred
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    half = z * np.sqrt(np.diag(covariance))
    gap = strengths[:, None] - strengths[None, :]
    errors = np.sqrt(np.maximum(_variances_of_differences(covariance), 0.0))
    above = (gap < -z * errors).sum(axis=1)
    below = (gap > z * errors).sum(axis=1)
    rated = [
        Rated(
            name=name,
            strength=float(strengths[i]),
            low=float(strengths[i] - half[i]),
            high=float(strengths[i] + half[i]),
            win_probability=1 / (1 + math.exp(-float(strengths[i]))),
            best_rank=1 + int(above[i]),
            worst_rank=len(names) - int(below[i]),
            games=int(np.abs(design[:, i]).sum()),
        )
        for name, i in place.items()
    ]
    return sorted(rated, key=lambda one: -one.strength)


def _checked_names(games: Sequence[Game]) -> list[str]:
    groups: dict[str, set[str]] = {}
    for game in games:
        if not 0 <= game.score <= 1 or game.a == game.b:
            raise ConfigError(f"no comparison of two candidates, scored from 0 to 1: {game}")
        joined = groups.get(game.a, {game.a}) | groups.get(game.b, {game.b})
        groups.update(dict.fromkeys(joined, joined))
    if not games:
        raise ConfigError("there are no comparisons to rank by")
    one = groups[games[0].a]
    if len(one) < len(groups):
        raise ConfigError(
            f"{sorted(one)} and {sorted(set(groups) - one)} were never compared with each other",
            remedy="add comparisons across the groups",
        )
    return sorted(groups)


def _fit(design: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the strengths, by Newton's method on the penalised likelihood."""
    import numpy as np

    strengths = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        gradient = design.T @ (scores - _sigmoid(design @ strengths))
        gradient += _PRIOR * (1 - 2 * _sigmoid(strengths))
        step = np.linalg.solve(_information(design, strengths), gradient)
        step *= min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-300))  # far steps overshoot
        strengths = strengths + step
        if float(np.abs(step).max()) < _TOLERANCE:
            break
    return strengths


def _information(
    design: NDArray[np.float64], strengths: NDArray[np.float64]
) -> NDArray[np.float64]:
    import numpy as np

    chances = _sigmoid(design @ strengths)
    own = _sigmoid(strengths)
    weighted = design * (chances * (1 - chances))[:, None]
    return np.asarray(design.T @ weighted + np.diag(2 * _PRIOR * own * (1 - own)))


def _robust_covariance(
    design: NDArray[np.float64],
    scores: NDArray[np.float64],
    strengths: NDArray[np.float64],
    games: Sequence[Game],
) -> NDArray[np.float64]:
    import numpy as np

    inverse = np.linalg.inv(_information(design, strengths))
    labels = [game.cluster for game in games if game.cluster is not None]
    if len(set(labels)) == len(labels):
        return np.asarray(inverse)  # nothing depends on anything: the model's own covariance
    index = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    alone = iter(range(len(index), len(index) + len(games)))
    rows = [next(alone) if game.cluster is None else index[game.cluster] for game in games]
    sums = np.zeros((max(rows) + 1, design.shape[1]))
    np.add.at(sums, rows, design * (scores - _sigmoid(design @ strengths))[:, None])
    meat = sums.T @ sums * (len(sums) / max(len(sums) - 1, 1))
    return np.asarray(inverse @ meat @ inverse)


def _variances_of_differences(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    own = np.diag(covariance)
    return np.asarray(own[:, None] + own[None, :] - 2 * covariance)


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    return np.asarray(1 / (1 + np.exp(-np.clip(values, -500, 500))))


__all__ = ["Game", "Rated", "bradley_terry"]
