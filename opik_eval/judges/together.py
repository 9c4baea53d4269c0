"""Several coroutines at once, all or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import TypeVar

T = TypeVar("T")


async def together(coroutines: Iterable[Coroutine[object, object, T]]) -> list[T]:
    """Run coroutines concurrently and return their results in order.

    The first failure cancels the others, waits for them to wind up, and is raised: nobody pays for
    calls whose result is no longer wanted.

    Args:
        coroutines: What to run. How many model calls are under way at a time is up to the limiter
            of the model's account.
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


__all__ = ["together"]
