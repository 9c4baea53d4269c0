"""The honest winner: which candidate a run returns, and what may be said of its score.

The best of many noisy means is too good to be true. Three things are done about it:

- **Evidence.** A candidate replaces the baseline only if the paired differences say so: those on
  the validation sample, corrected for how many candidates were tried on it, joined with those on
  the holdout, which nothing was chosen on (Stouffer's weighted sum of z). Else the baseline is
  returned.
- **Shrinkage.** What choosing the best adds to its mean is measured and taken off: the items are
  resampled, the best on the resample is chosen, and its mean on the items left out says what it is
  worth. Then that is joined with the holdout's mean by the number of items.
- **Order.** Finalists are compared on all items they share, holdout included.

Source: Stouffer et al. 1949; Sidak 1967; Tsamardinos, Greasidou and Borboudakis 2018 (bootstrap
bias corrected cross-validation).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opik_eval.statistics import Estimate, compare_paired, mean_interval

if TYPE_CHECKING:
    from opik_eval.statistics import PairedComparison
    from opik_optimizer.evaluation import Evaluation

_RESAMPLES = 500


@dataclass(frozen=True, kw_only=True)
class HoldoutScore:
    """The returned prompt and the initial prompt on items that nothing was chosen on.

    Attributes:
        score: The returned prompt's.
        initial_score: The initial prompt's.
        comparison: Initial prompt against returned prompt, item by item.
    """

    score: Estimate
    initial_score: Estimate
    comparison: PairedComparison


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a run returns, and why.

    Attributes:
        winner: The returned candidate's evaluation on the validation sample.
        is_baseline: The initial prompt is returned.
        reason: Why, in one sentence.
        p_value: One-sided p-value of "the best finalist is no better than the initial prompt",
            corrected for the number of candidates; ``None`` where nothing was to be compared.
        validation: Initial prompt against the winner on the validation sample.
        holdout: The same on the holdout, if there is one.
        estimate: What the winner's score is expected to be on new items.
        low: Lower end of the 95 % interval of ``estimate``.
        high: Upper end.
        optimism: What was taken off the validation mean for having been chosen.
    """

    winner: Evaluation
    is_baseline: bool
    reason: str
    p_value: float | None
    validation: PairedComparison
    holdout: HoldoutScore | None
    estimate: float
    low: float
    high: float
    optimism: float


def select_winner(
    baseline: Evaluation,
    finalists: Sequence[Evaluation],
    *,
    holdout: Mapping[str, Evaluation],
    compared: Sequence[Evaluation],
    alpha: float = 0.05,
    seed: int = 0,
) -> Selection:
    """Choose between the finalists and the baseline.

    Args:
        baseline: The initial prompt on the validation sample.
        finalists: Complete evaluations on the same sample, best first.
        holdout: Evaluations on the holdout by candidate id, the baseline's among them; may be
            empty.
        compared: All complete evaluations of the run on the validation sample; their number is how
            often luck had a chance.
        alpha: Level of the evidence asked for, in (0, 1]. 1 returns the best finalist whatever the
            evidence, as long as its mean is higher.
        seed: Seed of the resampling.
    """
    better = [f for f in finalists if f.score > baseline.score]
    ranked = sorted(better, key=lambda f: _joint_mean(f, holdout), reverse=True)
    tried = max(1, len({e.candidate.id for e in compared} - {baseline.candidate.id}))
    p_value: float | None = None
    reason = "no candidate had a higher mean than the initial prompt on the validation sample"
    for finalist in ranked[:1]:
        p_value = _evidence(baseline, finalist, holdout, tried)
        if p_value <= alpha or alpha >= 1:
            reason = f"it beats the initial prompt (one-sided p = {p_value:.3g})"
            return _selection(baseline, finalist, holdout, compared, reason, p_value, seed)
        reason = (
            f"the best of {tried} candidates has a mean higher by "
            f"{finalist.score - baseline.score:.3g}, which may be luck "
            f"(one-sided p = {p_value:.2g}, asked for: {alpha:g})"
        )
    return _selection(baseline, baseline, holdout, (), reason, p_value, seed)


def optimism_of_best(scores: Sequence[Sequence[float]], *, seed: int = 0) -> float:
    """Return how much choosing the best row adds to its mean, at least 0.

    Args:
        scores: One row per candidate, one column per item.
        seed: Seed of the resampling.

    Example:
        >>> optimism_of_best([[1.0, 0.0, 1.0, 0.0]])
        0.0
    """
    import numpy as np

    table = np.asarray(scores, dtype=float)
    if table.ndim != 2 or len(table) < 2 or table.shape[1] < 2:
        return 0.0
    n = table.shape[1]
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=_RESAMPLES)
    chosen = (drawn @ table.T).argmax(axis=1)
    left_out = drawn == 0
    sizes = left_out.sum(axis=1)
    usable = sizes > 0
    unseen = (left_out * table[chosen]).sum(axis=1)[usable] / sizes[usable]
    return max(0.0, float(table.mean(axis=1).max() - unseen.mean()))


def _selection(
    baseline: Evaluation,
    winner: Evaluation,
    holdout: Mapping[str, Evaluation],
    compared: Sequence[Evaluation],
    reason: str,
    p_value: float | None,
    seed: int,
) -> Selection:
    ids = list(baseline.scores_by_item)
    rows = {e.candidate.id: [e.scores_by_item[i] for i in ids] for e in compared}
    optimism = optimism_of_best(list(rows.values()), seed=seed)
    unseen = _holdout_score(baseline, winner, holdout)
    estimate, low, high = _estimate(winner, optimism, holdout.get(winner.candidate.id))
    return Selection(
        winner=winner,
        is_baseline=winner.candidate.id == baseline.candidate.id,
        reason=reason,
        p_value=p_value,
        validation=compare_paired(*_pairs(baseline, winner)),
        holdout=unseen,
        estimate=estimate,
        low=low,
        high=high,
        optimism=optimism,
    )


def _pairs(a: Evaluation, b: Evaluation) -> tuple[list[float], list[float]]:
    shared = [item for item in a.scores_by_item if item in b.scores_by_item]
    return [a.scores_by_item[i] for i in shared], [b.scores_by_item[i] for i in shared]


def _joint_mean(finalist: Evaluation, holdout: Mapping[str, Evaluation]) -> float:
    values = list(finalist.scores_by_item.values())
    unseen = holdout.get(finalist.candidate.id)
    if unseen is not None:
        values += unseen.scores_by_item.values()
    return math.fsum(values) / len(values)


def _evidence(
    baseline: Evaluation, finalist: Evaluation, holdout: Mapping[str, Evaluation], tried: int
) -> float:
    """Return the one-sided p-value of "no better", over validation and holdout."""
    chosen = _one_sided(*_pairs(baseline, finalist))
    corrected = -math.expm1(tried * math.log1p(-min(chosen, 1 - 1e-12)))
    before, after = holdout.get(baseline.candidate.id), holdout.get(finalist.candidate.id)
    if before is None or after is None:
        return corrected
    unseen = _one_sided(*_pairs(before, after))
    return _stouffer(
        [(corrected, len(finalist.scores_by_item)), (unseen, len(after.scores_by_item))]
    )


def _one_sided(a: Sequence[float], b: Sequence[float]) -> float:
    comparison = compare_paired(a, b)
    half = comparison.p_value / 2
    if comparison.informative == 0:
        return 0.5
    return half if comparison.difference > 0 else 1 - half


def _stouffer(parts: Sequence[tuple[float, int]]) -> float:
    from scipy.special import ndtr, ndtri

    tiny = 1e-12
    weighted = [math.sqrt(n) * ndtri(1 - min(max(p, tiny), 1 - tiny)) for p, n in parts]
    total = math.sqrt(sum(n for _, n in parts))
    return float(1 - ndtr(math.fsum(weighted) / total))


def _holdout_score(
    baseline: Evaluation, winner: Evaluation, holdout: Mapping[str, Evaluation]
) -> HoldoutScore | None:
    before, after = holdout.get(baseline.candidate.id), holdout.get(winner.candidate.id)
    if before is None or after is None:
        return None
    first, second = _pairs(before, after)
    return HoldoutScore(
        score=mean_interval(second),
        initial_score=mean_interval(first),
        comparison=compare_paired(first, second),
    )


def _estimate(
    winner: Evaluation, optimism: float, unseen: Evaluation | None
) -> tuple[float, float, float]:
    """Join the corrected validation mean with the holdout's, by the number of items."""
    values = list(winner.scores_by_item.values())
    corrected = math.fsum(values) / len(values) - optimism
    more = list(unseen.scores_by_item.values()) if unseen is not None else []
    joint = (corrected * len(values) + math.fsum(more)) / (len(values) + len(more))
    spread = mean_interval([*values, *more])
    shift = joint - spread.mean
    # What was taken off is known no better than to about its own size.
    return joint, min(joint, spread.low + shift - optimism / 2), max(joint, spread.high + shift)
