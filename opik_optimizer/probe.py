"""What can be known before money is spent: noise, headroom, expected calls and cost.

Independent studies find that about half of all prompt optimizations end below the prompt they began
with, and that the same prompt judged again differs by several points. A probe of a few dozen calls
says whether the scores are steady enough, whether there is room above the baseline, and whether
what the reflection model proposes moves the score at all.

Source: the headroom test of arXiv 2604.14585 (candidates on one set of items, their gain against
the spread).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["go", "stop", "unknown"]


@dataclass(frozen=True, kw_only=True)
class ProbeReport:
    """What the probe found.

    Attributes:
        verdict: ``go`` = candidates move the score; ``stop`` = no headroom, or nothing beyond
            noise; ``unknown`` = there were no candidates to try.
        reason: Why, in one sentence.
        noise: Standard deviation of the score of one item over repeated runs of one prompt;
            ``None`` with fewer than two runs.
        baseline: Mean of the initial prompt on the probed items.
        headroom: Best possible score minus ``baseline``.
        best_gain: Largest mean gain of a tried candidate on the same items.
        detectable_gain: Smallest gain that the planned validation sample can tell from noise.
        metric_calls: What the probe used.
        expected_metric_calls: Metric calls of the planned run.
        expected_cost_usd: Their cost at the probe's prices; ``None`` = unknown.
    """

    verdict: Verdict
    reason: str
    noise: float | None
    baseline: float
    headroom: float
    best_gain: float | None
    detectable_gain: float
    metric_calls: int
    expected_metric_calls: int | None
    expected_cost_usd: float | None


def repeat_noise(runs: Sequence[Mapping[str, float]]) -> float | None:
    """Return the standard deviation of an item's score over equal runs, pooled over items.

    Args:
        runs: Scores by item id, one mapping for each run of the same prompt.

    Example:
        >>> repeat_noise([{"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 0.0}])
        0.5
    """
    squares, freedom = 0.0, 0
    for item in runs[0] if runs else ():
        values = [run[item] for run in runs if item in run]
        if len(values) > 1:
            mean = math.fsum(values) / len(values)
            squares += math.fsum((value - mean) ** 2 for value in values)
            freedom += len(values) - 1
    return math.sqrt(squares / freedom) if freedom else None


def judge_headroom(
    baseline: Mapping[str, float],
    candidates: Sequence[Mapping[str, float]] | None,
    *,
    best_possible: float,
    alpha: float = 0.15,
) -> tuple[Verdict, str, float | None]:
    """Say whether it is worth going on, from scores of candidates on the baseline's items.

    A single candidate is tested on its gains. Of several, the gains are pooled by item, and each is
    tested alone with Bonferroni's correction; one sign of life is enough to go on.

    Args:
        baseline: Score by item of the initial prompt.
        candidates: The same for candidates; none if nothing new was written, ``None`` if nobody was
            asked for any.
        best_possible: Upper end of the metric's range.
        alpha: Chance to go on although nothing helps.

    Returns:
        Verdict, reason, largest mean gain.
    """
    mean = math.fsum(baseline.values()) / len(baseline)
    if mean >= best_possible:
        return "stop", f"the initial prompt has {mean:.3g}, and no score is higher", None
    if candidates is None:
        return "unknown", "there was no candidate to try", None
    if not candidates:
        return "stop", "nothing was proposed that is not in the initial prompt", None
    gains = [[run[i] - baseline[i] for i in baseline] for run in candidates]
    means = [math.fsum(gain) / len(gain) for gain in gains]
    best = max(means)
    pooled = [math.fsum(column) / len(column) for column in zip(*gains, strict=True)]
    p_values = [_one_sided(pooled) * 2, *(_one_sided(g) * 2 * len(gains) for g in gains)]
    smallest = _one_sided(pooled) if len(gains) == 1 else min(1.0, *p_values)
    if smallest <= alpha:
        return "go", f"a candidate gains {best:+.3g} on {len(baseline)} items", best
    tried = "the candidate" if len(gains) == 1 else f"the best of {len(gains)} candidates"
    return (
        "stop",
        f"{tried} gains {best:+.3g} on {len(baseline)} items, no more than luck would give "
        f"(p = {smallest:.2g})",
        best,
    )


def _one_sided(gains: Sequence[float]) -> float:
    from opik_eval.statistics import compare_paired

    comparison = compare_paired([0.0] * len(gains), list(gains))
    if comparison.informative == 0:
        return 1.0
    half = comparison.p_value / 2
    return half if comparison.difference > 0 else 1 - half
