"""Calling code of the user's, plain or asynchronous, without blocking the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

from opik_eval.engine.failures import find_cause
from opik_eval.engine.task import is_async
from opik_eval.errors import BudgetExceededError
from opik_optimizer.grouped_calls import GroupedCalls


async def call(
    start: Callable[[], object], *, executor: Executor | None = None, inline: bool = False
) -> object:
    """Return what a function of the user's returns, awaited if need be.

    Args:
        start: Calls it; a ``functools.partial`` of it tells whether it is asynchronous.
        executor: Threads for synchronous code, which runs there with the caller's context
            variables; the loop's own if absent.
        inline: It is so quick that a thread would take longer.
    """
    if inline or is_async(start):  # type: ignore[arg-type]  # any callable will do
        returned = start()
    else:
        run = partial(contextvars.copy_context().run, start)
        if isinstance(executor, GroupedCalls):
            returned = await executor.call(run)
        else:
            returned = await asyncio.get_running_loop().run_in_executor(executor, run)
    return await returned if inspect.isawaitable(returned) else returned


def raise_if_spent(error: BaseException) -> None:
    """Raise what is behind an error of the user's code if the budget is: that is no failure.

    Raises:
        BudgetExceededError: A model call inside did not fit the budget.
    """
    spent = find_cause(error, BudgetExceededError)
    if spent is not None:
        raise spent


__all__ = ["call", "raise_if_spent"]
