"""What a run took: tokens, money, time; unknown stays unknown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from opik_eval.experiments.case import TestResult
from opik_eval.experiments.model_use import ModelUse, total_use


@dataclass(frozen=True, slots=True)
class RunTotals:
    """Sums over the results of a run, over the model calls of tasks and of metrics.

    Attributes:
        items: Distinct dataset items.
        results: Finished (item, trial) pairs.
        task_errors: Results whose task raised.
        total_tokens: Tokens of all model calls; ``None`` if no result reports any.
        cost_usd: Known cost of all model calls; ``None`` if none is known.
        unpriced_calls: Calls whose price is unknown and missing from ``cost_usd``.
        mean_task_seconds: Mean time inside the task; ``None`` if it was not measured.
        scoring_tokens: The metrics' share of ``total_tokens``.
        scoring_cost_usd: The metrics' share of ``cost_usd``.
    """

    items: int
    results: int
    task_errors: int
    total_tokens: int | None
    cost_usd: float | None
    unpriced_calls: int
    mean_task_seconds: float | None
    scoring_tokens: int | None = None
    scoring_cost_usd: float | None = None


def run_totals(results: Sequence[TestResult]) -> RunTotals:
    """Sum up the results of a run."""
    scoring = total_use(r.scoring_use for r in results)
    tasks = [ModelUse(0, r.usage, r.cost_usd, r.unpriced_calls) for r in results]
    tokens = [n for use in (*tasks, scoring) if (n := use.total_tokens) is not None]
    both = total_use([*tasks, scoring])
    seconds = [r.task_execution_time for r in results if r.task_execution_time is not None]
    return RunTotals(
        items=len({r.test_case.dataset_item_id for r in results}),
        results=len(results),
        task_errors=sum(r.error is not None for r in results),
        total_tokens=sum(tokens) if tokens else None,
        cost_usd=both.cost_usd,
        unpriced_calls=both.unpriced_calls,
        mean_task_seconds=math.fsum(seconds) / len(seconds) if seconds else None,
        scoring_tokens=scoring.total_tokens,
        scoring_cost_usd=scoring.cost_usd,
    )
