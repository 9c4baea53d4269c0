"""What a run keeps back for the holdout, so that the search cannot spend it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from opik_eval.models.budget import Reservation
from opik_optimizer.budget import Lease, LeaseSize
from opik_optimizer.evaluation import Evaluation
from opik_optimizer.ground import Ground

LARGEST_SHARE = 0.25
"""Largest share of what is left after the baseline that is kept back."""

_CUSHION = 1.25


@dataclass(frozen=True, kw_only=True)
class Reserve:
    """What is kept back.

    Attributes:
        lease: Metric calls.
        models: Model calls, tokens and cost, estimated from the baseline.
        candidates: How many can be scored on the whole holdout, the initial prompt included.
    """

    lease: Lease
    models: Reservation
    candidates: int


@dataclass(frozen=True, kw_only=True)
class _PerItem:
    """What one item takes, by the baseline."""

    calls: float
    tokens: float
    cost_usd: float


def keep_back(ground: Ground, baseline: Evaluation, *, finalists: int) -> Reserve | None:
    """Keep back what the finalists will need on the holdout, as far as it is affordable.

    Args:
        ground: Data and budget.
        baseline: The initial prompt on the validation sample.
        finalists: How many candidates may meet on the holdout.

    Returns:
        The reserve; ``None`` if not even one candidate and the initial prompt are affordable.
    """
    size = len(ground.splits.holdout)
    one = _per_item(baseline)
    rounds = _items_left(ground, one) / size
    # One finalist is worth the largest share; further ones are worth half of it at most.
    most = min(1 + finalists, max(2, LARGEST_SHARE / 2 * rounds))
    affordable = math.floor(min(LARGEST_SHARE * rounds, most))
    if affordable < 2:
        return None
    items = affordable * size
    lease = ground.account.lease(LeaseSize(trials=0, metric_calls=items))
    if lease is None:
        return None
    models = ground.models.reserve(
        requests=math.ceil(_CUSHION * items * one.calls),
        tokens=math.ceil(_CUSHION * items * one.tokens),
        cost_usd=_CUSHION * items * one.cost_usd,
    )
    return Reserve(lease=lease, models=models, candidates=affordable)


def _per_item(baseline: Evaluation) -> _PerItem:
    n = len(baseline.results)
    return _PerItem(
        calls=sum(result.model_calls for result in baseline.results) / n,
        tokens=sum(result.usage.total_tokens or 0 for result in baseline.results) / n,
        cost_usd=math.fsum(result.cost_usd or 0.0 for result in baseline.results) / n,
    )


def _items_left(ground: Ground, one: _PerItem) -> float:
    """Return how many more items could be run, by the tightest limit."""
    limits, used = ground.models, ground.models.report()
    left = ground.account.remaining.metric_calls
    pairs = (
        (limits.max_requests, used.requests, one.calls),
        (limits.max_tokens, used.tokens, one.tokens),
        (limits.max_cost_usd, used.cost_usd, one.cost_usd),
    )
    counts = [(limit - spent) / each for limit, spent, each in pairs if limit is not None and each]
    return min([math.inf if left is None else float(left), *counts])


__all__ = ["LARGEST_SHARE", "Reserve", "keep_back"]
