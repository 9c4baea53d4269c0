"""Runs the probe before a search: a few items, with the initial prompt and some candidates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from opik_optimizer.probe import ProbeReport, judge_headroom, repeat_noise

if TYPE_CHECKING:
    from opik_optimizer.candidate import Candidate
    from opik_optimizer.evaluation import Evaluation
    from opik_optimizer.ground import Ground
    from opik_optimizer.session import Session

_ITEMS = 20
_REPEATS = 2

Scores = Mapping[str, float]


async def run_probe(
    session: Session, ground: Ground, candidates: Sequence[Candidate]
) -> ProbeReport:
    """Measure noise and headroom; what is run counts and is kept like everything else.

    Args:
        session: The session, before its search.
        ground: Data and budget.
        candidates: What to try, if the algorithm has something to try.

    Raises:
        BudgetExceededError: The probe does not fit the budget.
    """
    before = ground.account.metric_calls
    ids = session.validation_ids[:_ITEMS]
    baseline = session.baseline.on(ids)
    again = [
        await session.evaluate(session.seed_candidate, ids, repeat=repeat)
        for repeat in range(1, 1 + _REPEATS)
    ]
    tried = [await session.evaluate(candidate, ids) for candidate in candidates]
    runs = [evaluation.scores_by_item for evaluation in (baseline, *again)]
    scores = [evaluation.scores_by_item for evaluation in tried]
    steady = {item: fmean(run[item] for run in runs) for item in ids}
    best_possible = session.best_possible
    verdict, reason, gain = judge_headroom(steady, scores, best_possible=best_possible)
    noise = repeat_noise(runs)
    calls = _expected_calls(ground)
    return ProbeReport(
        verdict=verdict,
        reason=reason,
        noise=noise,
        baseline=fmean(steady.values()),
        headroom=best_possible - fmean(steady.values()),
        best_gain=gain,
        detectable_gain=_detectable(steady, scores, noise or 0.0, len(session.validation_ids)),
        metric_calls=ground.account.metric_calls - before,
        expected_metric_calls=calls,
        expected_cost_usd=_expected_cost(session.baseline, calls),
    )


def _detectable(steady: Scores, scores: Sequence[Scores], noise: float, n: int) -> float:
    """Return the smallest gain that ``n`` pairs tell from noise, by what was seen of pairs."""
    from opik_eval.statistics import PairedNumeric, minimum_detectable_effect

    spreads = [stdev(run[i] - steady[i] for i in steady) for run in scores if len(steady) > 1]
    if not spreads and len(steady) > 1:
        spreads = [stdev(steady.values())]  # as if a candidate changed every answer that it can
    spread = max([math.sqrt(2) * noise, *spreads])
    return minimum_detectable_effect(PairedNumeric(spread), n) if spread > 0 else 0.0


def _expected_calls(ground: Ground) -> int | None:
    limits, splits = ground.limits, ground.splits
    if limits.metric_calls is not None:
        return limits.metric_calls
    if limits.trials is None:
        return None
    return (1 + limits.trials) * len(splits.validation) + 2 * len(splits.holdout)


def _expected_cost(baseline: Evaluation, calls: int | None) -> float | None:
    cost = baseline.cost_usd
    return None if cost is None or calls is None else calls * cost / len(baseline.results)


__all__ = ["run_probe"]
