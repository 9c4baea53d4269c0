"""Threads for calls that mostly take no time: those of one moment share a thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeAlias, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_Outcome: TypeAlias = "tuple[object, BaseException | None]"
_Waiting: TypeAlias = "tuple[asyncio.Future[_Outcome], Callable[[], object]]"

_WORTH_A_THREAD_SECONDS = 0.001
"""Handing a call over costs about a tenth of this."""
_UNUSUAL_SECONDS = 0.01
"""When a group has taken so long, what is left of it gets threads of its own."""


class GroupedCalls(Executor):
    """Hands calls on to an executor, several as one if they turn out to be quick.

    A comparison of two texts takes microseconds, and a hundred are lost on the way to a thread and
    back; a judge takes seconds. So what is called in one turn of the event loop is joined to groups
    that take about a millisecond, by what the last calls took. Slow calls, and the first ones, have
    a thread each, and so have those that stand behind a call that was unusually slow. For one event
    loop.

    Args:
        executor: Where groups are run.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> async def lengths(texts: list[str]) -> list[object]:
        ...     with ThreadPoolExecutor(4) as threads:
        ...         calls = GroupedCalls(threads)
        ...         return await asyncio.gather(*(calls.call(text.__len__) for text in texts))
        >>> asyncio.run(lengths(["a", "bb", "ccc"]))
        [1, 2, 3]
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._waiting: list[_Waiting] = []
        self._seconds_each = _WORTH_A_THREAD_SECONDS

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a call in a thread of its own."""
        return self._executor.submit(fn, *args, **kwargs)

    async def call(self, fn: Callable[[], object]) -> object:
        """Return what a function returns, called in a thread, maybe beside others.

        Raises:
            BaseException: Whatever it raises.
        """
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[_Outcome] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._hand_on, loop)
        self._waiting.append((outcome, fn))
        value, error = await outcome
        if error is not None:
            raise error
        return value

    def _hand_on(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting, self._waiting = self._waiting, []
        size = max(1, int(_WORTH_A_THREAD_SECONDS / self._seconds_each))
        for start in range(0, len(waiting), size):
            self._executor.submit(self._run, loop, waiting[start : start + size])

    def _run(self, loop: asyncio.AbstractEventLoop, group: list[_Waiting]) -> None:
        started, seconds = time.perf_counter(), 0.0
        outcomes: list[_Outcome] = []
        for _, call in group:
            if seconds > _UNUSUAL_SECONDS:
                break
            outcomes.append(_outcome_of(call))
            seconds = time.perf_counter() - started
        for left in group[len(outcomes) :]:
            self._executor.submit(self._run, loop, [left])
        self._seconds_each = (self._seconds_each + seconds / len(outcomes)) / 2
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, group, outcomes)


def _outcome_of(call: Callable[[], object]) -> _Outcome:
    try:
        return call(), None
    except BaseException as error:  # noqa: BLE001 - raised where it is waited for
        return None, error


def _settle(group: list[_Waiting], outcomes: list[_Outcome]) -> None:
    for (future, _), outcome in zip(group, outcomes, strict=False):
        if not future.done():
            future.set_result(outcome)
