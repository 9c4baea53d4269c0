"""One judge, many items: scores without a dataset, a task or a store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from opik_eval.concurrency import run_sync
from opik_eval.errors import BudgetExceededError, MissingArgumentError
from opik_eval.judges.together import together
from opik_eval.metrics.base import BaseMetric, ScoreResult, failed, normalise

_AT_ONCE = 64  # coroutines in memory; how many calls are under way is up to the model's limiter


def score_items(judge: BaseMetric, items: Sequence[Mapping[str, object]]) -> list[ScoreResult]:
    """Return a judge's score of each item, all scored concurrently; failures are failed scores.

    Raises:
        MissingArgumentError: The first item lacks something that the judge needs.
        BudgetExceededError: A call would pass a limit of the budget.
    """
    arguments = judge.score_arguments()
    if items and (missing := arguments.missing_from(items[0])):
        raise MissingArgumentError(judge.name, missing, list(items[0]))

    async def score(item: Mapping[str, object], places: asyncio.Semaphore) -> ScoreResult:
        async with places:
            try:
                positional, named = arguments.select(item)
                [score] = normalise(await judge.ascore(*positional, **named), name=judge.name)
            except BudgetExceededError:
                raise  # the other items would meet the same end
            except Exception as error:  # noqa: BLE001 - a metric may be the user's code
                return failed(judge.name, error)
            return score

    async def score_all() -> list[ScoreResult]:
        places = asyncio.Semaphore(_AT_ONCE)
        return await together(score(item, places) for item in items)

    return run_sync(score_all)


__all__ = ["score_items"]
