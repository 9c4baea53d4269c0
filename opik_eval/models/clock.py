"""Time as the model layers see it: a small interface, so that tests need not wait."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Protocol, TypeVar

T = TypeVar("T")

_PATIENCE_SECONDS = 2.0


class Clock(Protocol):
    """A monotonic clock and a way to wait on it."""

    def now(self) -> float:
        """Return seconds since some fixed moment; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after at least ``seconds``."""
        ...


class SystemClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """Return the machine's monotonic time."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the running event loop."""
        await asyncio.sleep(seconds)


class LoopClock:
    """The running event loop's own time, which ``run_in_virtual_time`` makes virtual."""

    def now(self) -> float:
        """Return the running loop's time."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait on the running event loop."""
        await asyncio.sleep(seconds)


def run_in_virtual_time(main: Coroutine[object, object, T]) -> T:
    """Run a coroutine on a loop whose time jumps to the next timer when nothing else is ready.

    An hour of ``asyncio.sleep`` passes in no time and in an exactly repeatable order, so that rate
    limits, delays and time-outs can be simulated. Meant for code without threads.

    Raises:
        RuntimeError: Everything waits for something that will never come.

    Example:
        >>> async def nap() -> float:
        ...     await asyncio.sleep(3600)
        ...     return LoopClock().now()
        >>> run_in_virtual_time(nap())
        3600.0
    """
    with asyncio.Runner(loop_factory=_VirtualTimeLoop) as runner:
        return runner.run(main)


class _VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.virtual_seconds

    async def shutdown_default_executor(self, _timeout: float | None = None) -> None:
        # Threads live in real time: from Python 3.12 on, a limit in virtual time would be over.
        await super().shutdown_default_executor()


class _JumpingSelector(selectors.SelectSelector):
    """Moves the virtual time forward where a selector would wait for a timer."""

    def __init__(self) -> None:
        super().__init__()
        self.virtual_seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None:
            self.virtual_seconds += max(timeout, 0.0)
            return super().select(0)
        ready = super().select(_PATIENCE_SECONDS)
        if not ready:
            raise RuntimeError("deadlock: every task waits and no timer is set")
        return ready
