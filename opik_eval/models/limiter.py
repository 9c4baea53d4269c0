"""The queue before an account: as many requests at once as ``congestion.py`` finds it can take.

Waiting callers are served first come, first served. One limiter serves all threads and event loops
of the process: its state is behind a lock that is never held while waiting, and a waiting caller is
woken on its own loop.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opik_eval.errors import ModelError
from opik_eval.models.clock import Clock, SystemClock
from opik_eval.models.congestion import ConcurrencyBounds, CongestionControl, LimitChange


class _Waiter:
    """A caller in the queue. ``granted`` is written under the limiter's lock only."""

    __slots__ = ("future", "granted", "loop")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()
        self.granted = False

    def wake(self) -> bool:
        """Wake the caller; return False if its loop is gone."""
        try:
            self.loop.call_soon_threadsafe(self._resolve)
        except RuntimeError:  # the loop was closed while its task waited
            return False
        return True

    def _resolve(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class AdaptiveLimiter:
    """Limits the requests in flight of one account.

    Args:
        name: The account, for reports.
        bounds: Where the limit may move.
        clock: Time source for the cool-down.

    Example:
        >>> limiter = AdaptiveLimiter("openai/3fa1")
        >>> limiter.limit, limiter.in_flight
        (10, 0)
    """

    def __init__(
        self,
        name: str,
        bounds: ConcurrencyBounds | None = None,
        *,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self._control = CongestionControl(bounds or ConcurrencyBounds(), clock or SystemClock())
        # Reentrant: the garbage collector may end an abandoned waiter at any moment.
        self._lock = threading.RLock()
        self._in_flight = 0
        self._queue: OrderedDict[_Waiter, None] = OrderedDict()

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return self._control.limit

    @property
    def in_flight(self) -> int:
        """Slots that are taken now."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """Callers in the queue."""
        return len(self._queue)

    @property
    def history(self) -> tuple[LimitChange, ...]:
        """The latest changes of the limit (at most 200), oldest first."""
        with self._lock:
            return tuple(self._control.history)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold a slot; a caller that is cancelled while it waits leaves nothing behind."""
        await self._acquire()
        try:
            yield
        finally:
            self._release()

    def resize(self, limit: int) -> None:
        """Set the limit by hand, within the bounds. Lowering it interrupts nothing in flight."""
        with self._lock:
            self._control.change(limit, "manual")
            woken = self._grant()
        self._wake(woken)

    def succeeded(self, *, attempt: int) -> None:
        """Note that a request got its reply.

        Args:
            attempt: Which attempt it was; only first ones say that the limit is right.
        """
        with self._lock:
            self._control.succeeded(self._in_flight, attempt=attempt)
            woken = self._grant()
        self._wake(woken)

    def failed(self, error: ModelError) -> None:
        """Note that a request failed; a ``RateLimitedError`` lowers the limit."""
        with self._lock:
            self._control.failed(self._in_flight, error)

    async def _acquire(self) -> None:
        with self._lock:
            if not self._queue and self._in_flight < self.limit:
                self._take()
                return
            waiter = _Waiter()
            self._queue[waiter] = None
        try:
            await waiter.future
        except BaseException:
            self._give_up(waiter)
            raise

    def _give_up(self, waiter: _Waiter) -> None:
        """Take a caller that will never run out of the queue, or its slot back; once."""
        with self._lock:
            self._queue.pop(waiter, None)
            was_granted, waiter.granted = waiter.granted, False
        if was_granted:
            self._release()

    def _release(self) -> None:
        with self._lock:
            self._in_flight -= 1
            woken = self._grant()
        self._wake(woken)

    def _take(self) -> None:
        self._in_flight += 1
        self._control.started(self._in_flight)

    def _grant(self) -> list[_Waiter]:
        """Give the free slots to those who waited longest; they are woken without the lock."""
        granted: list[_Waiter] = []
        while self._queue and self._in_flight < self.limit:
            waiter, _ = self._queue.popitem(last=False)
            waiter.granted = True
            self._take()
            granted.append(waiter)
        return granted

    def _wake(self, waiters: list[_Waiter]) -> None:
        for waiter in waiters:
            if not waiter.wake():
                self._give_up(waiter)


_limiters: dict[str, AdaptiveLimiter] = {}


def limiter_for(account: str, bounds: ConcurrencyBounds | None = None) -> AdaptiveLimiter:
    """Return the process's limiter of an account, made on first use.

    Args:
        account: ``Transport.account``.
        bounds: Where the limit may move, if the limiter does not exist yet.
    """
    known = _limiters.get(account)
    # setdefault is atomic: of two threads that come first, one wins and both get its limiter.
    return known or _limiters.setdefault(account, AdaptiveLimiter(account, bounds))


# A forked child has none of its parent's requests in flight, and maybe a lock nobody will release.
os.register_at_fork(after_in_child=_limiters.clear)
