"""How far two or more raters agree, beyond what chance would do.

Agreement is not accuracy. Where one label is rare, kappa and alpha are low even though nearly all
labels are equal, because chance alone would make nearly all equal; look at the base rate beside
them, and at balanced accuracy, which a rater who always says the same cannot exceed 0.5 in.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal, TypeVar, cast, get_args

from opik_eval.errors import ConfigError
from opik_eval.statistics.intervals import wilson_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Label = TypeVar("Label", bound=Hashable)
Weights = Literal["linear", "quadratic"]
Level = Literal["nominal", "ordinal", "interval"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """A measure with its confidence interval.

    Attributes:
        value: NaN where it is not defined, such as the kappa of raters who all say the same.
        low: Lower end; NaN where the data say nothing about it.
        high: Upper end; NaN where the data say nothing about it.
        n: Items it rests on.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] (n={self.n})"


@dataclass(frozen=True, slots=True)
class BinaryConfusion:
    """How often a judge's yes and no met the truth's.

    Attributes:
        true_positives: Both say yes.
        false_positives: The judge alone says yes.
        false_negatives: The truth alone says yes.
        true_negatives: Both say no.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def n(self) -> int:
        """All items."""
        return self.positives + self.negatives

    @property
    def positives(self) -> int:
        """Items whose truth is yes."""
        return self.true_positives + self.false_negatives

    @property
    def negatives(self) -> int:
        """Items whose truth is no."""
        return self.true_negatives + self.false_positives

    @property
    def sensitivity(self) -> float:
        """Share of the true yes that the judge finds; NaN without any."""
        return _ratio(self.true_positives, self.positives)

    @property
    def specificity(self) -> float:
        """Share of the true no that the judge finds; NaN without any."""
        return _ratio(self.true_negatives, self.negatives)

    @property
    def accuracy(self) -> float:
        """Share of items on which both agree; NaN without any."""
        return _ratio(self.true_positives + self.true_negatives, self.n)

    @property
    def base_rate(self) -> float:
        """Share of items whose truth is yes; NaN without any."""
        return _ratio(self.positives, self.n)

    def balanced_accuracy(self, *, confidence: float = 0.95) -> Agreement:
        """Return the mean of sensitivity and specificity.

        The interval joins the Wilson intervals of the two, which are independent.

        Source: Newcombe 1998; Zou and Donner 2008 (variance estimates recovery).
        """
        value = (self.sensitivity + self.specificity) / 2
        if math.isnan(value):
            return Agreement(value, math.nan, math.nan, self.n)
        z = NormalDist().inv_cdf((1 + confidence) / 2)
        ends = [
            (share, *wilson_interval(share, count, z))
            for share, count in (
                (self.sensitivity, self.positives),
                (self.specificity, self.negatives),
            )
        ]
        below = math.hypot(*(share - low for share, low, _ in ends)) / 2
        above = math.hypot(*(high - share for share, _, high in ends)) / 2
        return Agreement(value, value - below, value + above, self.n)


def confusion(predicted: Sequence[bool], truth: Sequence[bool]) -> BinaryConfusion:
    """Count how often predictions met the truth.

    Raises:
        ConfigError: The lengths differ.

    Example:
        >>> confusion([True, True, False], [True, False, False]).accuracy
        0.6666666666666666
    """
    counts = Counter(zip(map(bool, _paired(predicted, truth)), map(bool, truth), strict=True))
    return BinaryConfusion(
        counts[True, True], counts[True, False], counts[False, True], counts[False, False]
    )


def cohen_kappa(
    a: Sequence[Label],
    b: Sequence[Label],
    *,
    weights: Weights | None = None,
    confidence: float = 0.95,
) -> Agreement:
    """Return Cohen's kappa of two raters: 1 full agreement, 0 no better than chance.

    Args:
        a: Labels of one rater.
        b: Labels of the other, for the same items.
        weights: Count near misses as partial agreement: by the ``linear`` or ``quadratic`` distance
            of the labels' ranks. The labels must then be numbers.
        confidence: Coverage of the interval.

    Raises:
        ConfigError: The lengths differ, or labels with weights are no numbers.

    Source: Cohen 1960 and 1968; Fleiss, Cohen and Everitt 1969 (large-sample error).

    Example:
        >>> kappa = cohen_kappa([1, 1, 0, 0, 1], [1, 0, 0, 0, 1])
        >>> round(kappa.value, 4)
        0.6154
    """
    n = len(_paired(a, b))
    labels = _sorted_labels({*a, *b}, numeric=weights is not None)
    counts = Counter(zip(a, b, strict=True))
    share_a = {label: count / n for label, count in Counter(a).items()}
    share_b = {label: count / n for label, count in Counter(b).items()}
    weight = _weighting(labels, weights)
    observed = math.fsum(weight[pair] * count for pair, count in counts.items()) / n if n else 0.0
    expected = math.fsum(
        weight[i, j] * share_a.get(i, 0.0) * share_b.get(j, 0.0) for i in labels for j in labels
    )
    if n == 0 or math.isclose(expected, 1.0):
        return Agreement(math.nan, math.nan, math.nan, n)
    kappa = (observed - expected) / (1 - expected)
    row = {i: math.fsum(weight[i, j] * share_b.get(j, 0.0) for j in labels) for i in labels}
    column = {j: math.fsum(weight[i, j] * share_a.get(i, 0.0) for i in labels) for j in labels}
    spread = math.fsum(
        count / n * (weight[i, j] - (row[i] + column[j]) * (1 - kappa)) ** 2
        for (i, j), count in counts.items()
    )
    variance = (spread - (kappa - expected * (1 - kappa)) ** 2) / (n * (1 - expected) ** 2)
    half = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(max(variance, 0.0))
    return Agreement(kappa, max(-1.0, kappa - half), min(1.0, kappa + half), n)


def krippendorff_alpha(
    ratings: Sequence[Sequence[float | None]],
    *,
    level: Level = "nominal",
    confidence: float = 0.95,
    resamples: int = 1_000,
    seed: int = 0,
) -> Agreement:
    """Return Krippendorff's alpha of any number of raters, with gaps.

    Args:
        ratings: For each item, what each rater gave; ``None`` = not rated. Items with fewer than
            two ratings do not count.
        level: What makes two ratings differ: ``nominal`` any difference, ``ordinal`` the ranks
            between them, ``interval`` the squared distance. For labels that are no numbers, number
            them and stay nominal.
        confidence: Coverage of the interval.
        resamples: Bootstrap samples of items behind the interval; 0 = no interval.
        seed: Seed of the bootstrap.

    Raises:
        ConfigError: There is no such level.

    Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability".

    Example:
        >>> krippendorff_alpha([[1, 1], [2, 2], [3, 4], [1, 1]], resamples=0).value
        0.6666666666666667
    """
    import numpy as np

    if level not in get_args(Level):
        raise ConfigError(f"there is no level {level!r}", remedy=f"use one of {get_args(Level)}")
    units = [[r for r in item if r is not None] for item in ratings]
    units = [unit for unit in units if len(unit) > 1]
    if not units:
        return Agreement(math.nan, math.nan, math.nan, 0)
    parts = _sums_by_unit(units, level)
    value = float(_alpha(parts.sum(axis=0)))
    if not resamples or math.isnan(value):
        return Agreement(value, math.nan, math.nan, len(units))
    generator = np.random.default_rng(seed)
    kinds, counts = np.unique(parts, axis=0, return_counts=True)  # equal items are drawn together
    drawn = generator.multinomial(len(units), counts / len(units), resamples)
    samples = _alpha(drawn @ kinds)
    # A sample of equal ratings says nothing; leaving it out would narrow the interval.
    samples = np.where(np.isnan(samples), value, samples)
    tail = (1 - confidence) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return Agreement(value, float(low), float(high), len(units))


def _sums_by_unit(units: Sequence[Sequence[float]], level: Level) -> NDArray[np.float64]:
    """Return, for each item: observed disagreement, ratings, sum of squares, sum.

    Every level is a squared distance between points: of the numbers themselves, of their mean
    ranks, or of unit vectors, one for each label. So all there is to know about an item are its
    sums, however many different ratings there are.
    """
    import numpy as np

    sizes = np.array([len(unit) for unit in units])
    pooled = np.array([rating for unit in units for rating in unit], dtype=np.float64)
    _, which, counts = np.unique(pooled, return_inverse=True, return_counts=True)
    if level == "nominal":
        points = np.eye(len(counts))[which]
    elif level == "ordinal":
        points = (np.cumsum(counts) - counts / 2)[which][:, None]
    else:
        points = (pooled - pooled.mean())[:, None]  # centred, so that squares do not cancel
    starts = np.cumsum(sizes) - sizes
    sums = np.add.reduceat(points, starts)
    squares = np.add.reduceat((points**2).sum(axis=1), starts)
    observed = (sizes * squares - (sums**2).sum(axis=1)) / (sizes - 1)
    return np.column_stack([observed, sizes, squares, sums])


def _alpha(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return alpha for totals over items, in the last axis."""
    import numpy as np

    observed, n, squares = totals[..., 0], totals[..., 1], totals[..., 2]
    expected = n * squares - (totals[..., 3:] ** 2).sum(axis=-1)
    defined = expected > 1e-12 * n * squares
    ratio = (n - 1) * observed / np.where(defined, expected, 1.0)
    return np.where(defined, 1 - ratio, np.nan)


def _weighting(
    labels: Sequence[Label], weights: Weights | None
) -> Mapping[tuple[Label, Label], float]:
    """Return how much each pair of labels counts as agreement, from 0 to 1."""
    widest = max(len(labels) - 1, 1)
    power = 2 if weights == "quadratic" else 1
    return {
        (one, other): float(i == j) if weights is None else 1 - (abs(i - j) / widest) ** power
        for i, one in enumerate(labels)
        for j, other in enumerate(labels)
    }


def _sorted_labels(labels: set[Label], *, numeric: bool) -> list[Label]:
    if not numeric:
        return list(labels)
    if not all(isinstance(label, int | float) for label in labels):
        raise ConfigError("weighted kappa needs labels that are numbers", remedy="number them")
    return sorted(labels, key=lambda label: cast("float", label))


def _paired(a: Sequence[object], b: Sequence[object]) -> Sequence[object]:
    if len(a) != len(b):
        raise ConfigError(f"{len(a)} ratings of one rater but {len(b)} of the other")
    return a


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


__all__ = [
    "Agreement",
    "BinaryConfusion",
    "cohen_kappa",
    "confusion",
    "krippendorff_alpha",
]
