"""One computation for everybody who asks for the same thing at the same time."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """A cache of results of coroutines, in which equal requests share one run.

    Works across threads and event loops: the first to ask for a key computes it on its own loop,
    the others wait without blocking theirs. Failures are handed to those who wait and then
    forgotten. If the one that computes is cancelled, one of the others takes over.

    Args:
        max_size: How many results are kept; the least recently used goes first.
    """

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._lock = threading.Lock()
        self._futures: OrderedDict[Hashable, Future[T]] = OrderedDict()

    async def get(self, key: Hashable, compute: Callable[[], Awaitable[T]]) -> T:
        """Return the result for ``key``, computed at most once.

        Args:
            key: What is asked for.
            compute: Makes the result; called only if nobody else has or does.
        """
        while True:
            future, is_mine = self._claim(key)
            if is_mine:
                return await self._fly(key, future, compute)
            try:
                return await asyncio.wrap_future(future)
            except _AbandonedError:
                continue

    def _claim(self, key: Hashable) -> tuple[Future[T], bool]:
        with self._lock:
            known = self._futures.get(key)
            if known is not None:
                self._futures.move_to_end(key)
                return known, False
            future: Future[T] = Future()
            future.set_running_or_notify_cancel()  # so that no waiter can cancel it for all
            self._futures[key] = future
            if len(self._futures) > self._max_size:
                self._futures.popitem(last=False)
            return future, True

    async def _fly(
        self, key: Hashable, future: Future[T], compute: Callable[[], Awaitable[T]]
    ) -> T:
        try:
            result = await compute()
        except BaseException as error:
            self._forget(key, future)
            future.set_exception(error if isinstance(error, Exception) else _AbandonedError())
            raise
        future.set_result(result)
        return result

    def _forget(self, key: Hashable, future: Future[T]) -> None:
        with self._lock:
            if self._futures.get(key) is future:
                del self._futures[key]


class _AbandonedError(Exception):
    """The one that computed was cancelled."""


__all__ = ["SingleFlight"]
