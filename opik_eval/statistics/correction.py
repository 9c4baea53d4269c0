"""Means of a judge's scores, corrected for the judge's errors.

A judge that is wrong in some way is wrong on average too, and no number of items mends that: more
items only make the interval around the wrong mean narrower. A sample of items with labels by people
says how wrong it is. Both corrections here turn that into a better mean and into an interval that
carries the uncertainty of the sample as well as that of the items.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, variance

from opik_eval.errors import ConfigError
from opik_eval.statistics.agreement import BinaryConfusion


@dataclass(frozen=True, slots=True)
class Corrected:
    """A corrected mean.

    Attributes:
        mean: The estimate of the true mean.
        low: Lower end of its interval.
        high: Upper end.
        raw_mean: Mean of the judge's own scores.
        method: ``rogan-gladen`` or ``prediction-powered``.
        n: Items that only the judge scored.
        n_labelled: Items with a label.
    """

    mean: float
    low: float
    high: float
    raw_mean: float
    method: str
    n: int
    n_labelled: int

    def __str__(self) -> str:
        return (
            f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}], raw {self.raw_mean:.3f} "
            f"({self.method}, n={self.n}, labelled={self.n_labelled})"
        )


def rogan_gladen(
    verdicts: Sequence[bool], judge: BinaryConfusion, *, confidence: float = 0.95
) -> Corrected:
    """Return the true share of yes behind a judge's verdicts.

    It needs nothing of the labelled items but the judge's sensitivity and specificity, so these may
    come from elsewhere, with another share of yes. Where the judge is no better than chance, the
    verdicts say nothing, and the interval is 0 to 1.

    Args:
        verdicts: The judge's yes and no on the items to sum up.
        judge: What it does on labelled items.
        confidence: Coverage of the interval.

    Raises:
        ConfigError: There are no verdicts, or labels of one kind only.

    Source: Rogan and Gladen 1978; Lang and Reiczigel 2014 (interval).

    Example:
        >>> judge = BinaryConfusion(
        ...     true_positives=45, false_positives=10, false_negatives=5, true_negatives=40
        ... )
        >>> corrected = rogan_gladen([True] * 60 + [False] * 40, judge)
        >>> round(corrected.mean, 3)
        0.571
    """
    n = len(verdicts)
    if n == 0 or judge.positives == 0 or judge.negatives == 0:
        raise ConfigError(
            f"a correction needs verdicts and labels of both kinds, not {n} verdicts and labels "
            f"with {judge.positives} yes and {judge.negatives} no",
            remedy="label more items, some of each kind",
        )
    raw = sum(map(bool, verdicts)) / n
    edge = judge.sensitivity + judge.specificity - 1
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    low, high = _lang_reiczigel(raw, n, judge, z)
    if edge <= 0:
        return Corrected(math.nan, 0.0, 1.0, raw, "rogan-gladen", n, judge.n)
    mean = min(1.0, max(0.0, (raw + judge.specificity - 1) / edge))
    low, high = min(low, mean), max(high, mean)
    return Corrected(mean, low, high, raw, "rogan-gladen", n, judge.n)


def _lang_reiczigel(raw: float, n: int, judge: BinaryConfusion, z: float) -> tuple[float, float]:
    """Return the interval; shares are drawn a little to the middle so that none has no error."""
    items = n + z**2
    share = (n * raw + z**2 / 2) / items
    positives, negatives = judge.positives + 2, judge.negatives + 2
    sensitivity = (judge.true_positives + 1) / positives
    specificity = (judge.true_negatives + 1) / negatives
    edge = sensitivity + specificity - 1
    if edge <= 0:
        return 0.0, 1.0
    centre = (share + specificity - 1) / edge
    noise_yes = sensitivity * (1 - sensitivity) / positives
    noise_no = specificity * (1 - specificity) / negatives
    shift = 2 * z**2 * (centre * noise_yes - (1 - centre) * noise_no)
    spread = share * (1 - share) / items + centre**2 * noise_yes + (1 - centre) ** 2 * noise_no
    half = z * math.sqrt(spread) / edge
    return max(0.0, centre + shift - half), min(1.0, centre + shift + half)


def prediction_powered_mean(
    scores: Sequence[float],
    labelled_scores: Sequence[float],
    labels: Sequence[float],
    *,
    confidence: float = 0.95,
) -> Corrected:
    """Return the mean label that all items would have, from the judge's scores and a few labels.

    The labelled items must be drawn from the same population as the others. The better the judge
    predicts the labels, the narrower the interval; a judge that predicts nothing gets no weight,
    which leaves the interval of the labels alone. Labels may be any numbers, not only
    0 and 1.

    Args:
        scores: The judge's scores of the items without label.
        labelled_scores: Its scores of the items with label.
        labels: Their labels, on the same scale.
        confidence: Coverage of the interval.

    Raises:
        ConfigError: There are fewer than two items of either kind, or the lengths differ.

    Source: Angelopoulos et al. 2023, "Prediction-Powered Inference"; Angelopoulos, Duchi and Zrnic
        2023, "PPI++" (the weight).

    Example:
        >>> scores = [0.9, 0.8, 0.4, 0.9, 0.7, 0.3, 0.8, 0.6]
        >>> corrected = prediction_powered_mean(scores, [0.9, 0.5, 0.3, 0.8], [0.7, 0.4, 0.1, 0.6])
        >>> corrected.mean < corrected.raw_mean
        True
    """
    n, few = len(scores), len(labels)
    if len(labelled_scores) != few or n < 2 or few < 2:
        raise ConfigError(
            f"prediction-powered inference needs two or more scores without label (there are {n}) "
            f"and as many labels ({few}) as scores with label ({len(labelled_scores)})"
        )
    centre_labels, centre_labelled = fmean(labels), fmean(labelled_scores)
    shared = math.fsum(
        (label - centre_labels) * (score - centre_labelled)
        for label, score in zip(labels, labelled_scores, strict=True)
    ) / (few - 1)
    pooled = variance([*scores, *labelled_scores])
    weight = 0.0 if pooled == 0 else min(1.0, max(0.0, shared / ((1 + few / n) * pooled)))
    rectified = [
        label - weight * score for label, score in zip(labels, labelled_scores, strict=True)
    ]
    raw = fmean(scores)
    mean = weight * raw + fmean(rectified)
    error = math.sqrt(weight**2 * variance(scores) / n + variance(rectified) / few)
    half = _quantile(few - 1, confidence) * error
    return Corrected(mean, mean - half, mean + half, raw, "prediction-powered", n, few)


def _quantile(degrees_of_freedom: int, confidence: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, (1 + confidence) / 2))


__all__ = ["Corrected", "prediction_powered_mean", "rogan_gladen"]
