"""What a run took: tokens, money, time; unknown stays unknown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from opik_eval.experiments.case import TestResult


@dataclass(frozen=True, slots=True)
class RunTotals:
    """Sums over the results of a run.

    Attributes:
        items: Distinct dataset items.
        results: Finished (item, trial) pairs.
        task_errors: Results whose task raised.
        total_tokens: Tokens of the tasks' model calls; ``None`` if no result reports any.
        cost_usd: Known cost of those calls; ``None`` if none is known.
        unpriced_calls: Calls whose price is unknown and missing from ``cost_usd``.
        mean_task_seconds: Mean time inside the task; ``None`` if it was not measured.
    """

    items: int
    results: int
    task_errors: int
    total_tokens: int | None
    cost_usd: float | None
    unpriced_calls: int
    mean_task_seconds: float | None


def run_totals(results: Sequence[TestResult]) -> RunTotals:
    """Sum up the results of a run."""
    tokens = [count for r in results if (count := _tokens(r.usage)) is not None]
    costs = [r.cost_usd for r in results if r.cost_usd is not None]
    seconds = [r.task_execution_time for r in results if r.task_execution_time is not None]
    return RunTotals(
        items=len({r.test_case.dataset_item_id for r in results}),
        results=len(results),
        task_errors=sum(r.error is not None for r in results),
        total_tokens=sum(tokens) if tokens else None,
        cost_usd=math.fsum(costs) if costs else None,
        unpriced_calls=sum(r.unpriced_calls for r in results),
        mean_task_seconds=math.fsum(seconds) / len(seconds) if seconds else None,
    )


def _tokens(usage: dict[str, int] | None) -> int | None:
    if usage is None:
        return None
    if "total_tokens" in usage:
        return usage["total_tokens"]
    parts = [usage[key] for key in ("prompt_tokens", "completion_tokens") if key in usage]
    return sum(parts) if parts else None
