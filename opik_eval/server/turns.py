"""Large writes take turns, so that small requests are answered soon while others send a lot.

Whoever reads a body of a thousand records holds the interpreter, and whoever writes them holds the
store. Several at once are no faster than one after the other: they only keep each other, and every
reader, waiting. What waits for its turn takes no worker thread either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import anyio
import anyio.to_thread

P = ParamSpec("P")
T = TypeVar("T")


class Turns:
    """The large writes of one server; those of each workspace wait among themselves only."""

    def __init__(self) -> None:
        self._limits: dict[str, anyio.CapacityLimiter] = {}

    @property
    def waiting(self) -> int:
        """Number of writes whose turn has not come."""
        return sum(limit.statistics().tasks_waiting for limit in self._limits.values())

    async def call(
        self, workspace: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call a function on a worker thread, when those that came before have ended."""
        if workspace not in self._limits:
            self._limits[workspace] = anyio.CapacityLimiter(1)
        return await anyio.to_thread.run_sync(
            lambda: function(*args, **kwargs), limiter=self._limits[workspace]
        )
