"""From scores to yes and no: a threshold, chosen on some items and tested on others."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from opik_eval.errors import ConfigError


class ChosenThreshold(NamedTuple):
    """A threshold and where it came from.

    Attributes:
        threshold: Scores from here on are a yes.
        dev: Indices of the items it was chosen on.
        rest: Indices of the others, on which it can be tested.
    """

    threshold: float
    dev: list[int]
    rest: list[int]


def choose_threshold(
    scores: Sequence[float], truth: Sequence[bool], *, dev_share: float = 0.4, seed: int = 0
) -> ChosenThreshold:
    """Choose a threshold on a random part of the items.

    Args:
        scores: Finite numbers.
        truth: Whether each item is a yes.
        dev_share: Share of the yes and of the no to choose on, in (0, 1).
        seed: Which items these are.

    Raises:
        ConfigError: ``dev_share`` is no share, or there are fewer than two yes or two no.

    Example:
        >>> chosen = choose_threshold([0.9, 0.8, 0.1, 0.3], [True, True, False, False])
        >>> len(chosen.dev), len(chosen.rest)
        (2, 2)
    """
    if not 0 < dev_share < 1:
        raise ConfigError(f"dev_share must lie between 0 and 1, not {dev_share:g}")
    dev: list[int] = []
    for kind in (True, False):
        members = [index for index, is_yes in enumerate(truth) if is_yes == kind]
        if len(members) < 2:
            raise ConfigError(
                f"a threshold cannot be chosen and tested with {len(members)} items whose label "
                f"is {'yes' if kind else 'no'}",
                remedy="label more items, or give the threshold",
            )
        random.Random(seed).shuffle(members)
        dev += members[: min(len(members) - 1, max(1, round(dev_share * len(members))))]
    threshold = best_threshold([scores[i] for i in dev], [truth[i] for i in dev])
    return ChosenThreshold(threshold, sorted(dev), sorted({*range(len(scores))} - {*dev}))


def best_threshold(scores: Sequence[float], truth: Sequence[bool]) -> float:
    """Return the threshold with the best balanced accuracy, half-way between two scores.

    Of several equally good ones it is the one with the most room around it; where no threshold is
    better than a yes to everything, it is the lowest score.

    Args:
        scores: Finite numbers.
        truth: Whether each item is a yes; both must occur.

    Example:
        >>> best_threshold([0.1, 0.2, 0.8, 0.9], [False, False, True, True])
        0.5
    """
    yes, no = sum(truth), len(truth) - sum(truth)
    lost: defaultdict[float, float] = defaultdict(float)
    for score, is_yes in zip(scores, truth, strict=True):
        lost[score] += -1 / yes if is_yes else 1 / no
    ordered = sorted(lost)
    best, threshold = (0.0, 0.0), ordered[0]
    gain = 0.0  # in sensitivity + specificity, by saying no to all below
    for below, above in pairwise(ordered):
        gain += lost[below]
        candidate = (round(gain, 12), above - below)
        if candidate > best:
            best, threshold = candidate, (below + above) / 2
    return threshold


__all__ = ["ChosenThreshold", "best_threshold", "choose_threshold"]
