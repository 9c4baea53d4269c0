"""Quick calls share threads, slow ones do not; results and errors find their callers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

import pytest

from opik_eval.concurrency import run_sync
from opik_optimizer import grouped_calls
from opik_optimizer.calling import call
from opik_optimizer.grouped_calls import GroupedCalls

P = ParamSpec("P")
T = TypeVar("T")


class CountingThreads(ThreadPoolExecutor):
    """Threads that count how often they were called."""

    calls = 0

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a call, and count it."""
        self.calls += 1
        return super().submit(fn, *args, **kwargs)


def test_results_and_errors_find_their_callers() -> None:
    """Each caller gets what its own call returned or raised, whoever shared the thread."""

    def half(number: int) -> float:
        if number % 2:
            raise StopIteration(number)
        return number / 2

    async def main() -> list[object]:
        with ThreadPoolExecutor(2) as threads:
            calls = GroupedCalls(threads)
            return [
                await asyncio.gather(
                    *(calls.call(partial(half, n)) for n in range(20)), return_exceptions=True
                )
                for _ in range(3)
            ]

    for results in asyncio.run(main()):
        assert isinstance(results, list)
        assert results[::2] == [n / 2 for n in range(0, 20, 2)]
        assert all(isinstance(error, RuntimeError) for error in results[1::2])


def test_quick_calls_share_a_thread_once_they_are_known_to_be_quick() -> None:
    """The first calls have a thread each; later ones of one moment share a few."""

    async def main() -> list[int]:
        counts = []
        with CountingThreads(4) as threads:
            calls = GroupedCalls(threads)
            for _ in range(30):
                before = threads.calls
                await asyncio.gather(*(calls.call(int) for _ in range(20)))
                counts.append(threads.calls - before)
        return counts

    counts = asyncio.run(main())
    assert counts[0] == 20
    assert min(counts) <= 5


def test_slow_calls_run_beside_each_other() -> None:
    """Calls that wait for each other all get a thread, also after quick ones."""

    async def main() -> int:
        with ThreadPoolExecutor(8) as threads:
            calls = GroupedCalls(threads)
            calls._seconds_each = 1.0
            meeting = threading.Barrier(8, timeout=20)
            return len(await asyncio.gather(*(calls.call(meeting.wait) for _ in range(8))))

    assert asyncio.run(main()) == 8


def test_nothing_waits_behind_a_call_that_turns_out_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of a group gets threads of its own when one call has held it up."""
    monkeypatch.setattr(grouped_calls, "_UNUSUAL_SECONDS", 0.0)

    async def main() -> tuple[list[object], int]:
        with CountingThreads(4) as threads:
            calls = GroupedCalls(threads)
            calls._seconds_each = 1e-6
            results = await asyncio.gather(*(calls.call(partial(abs, -n)) for n in range(5)))
            return results, threads.calls

    assert asyncio.run(main()) == ([0, 1, 2, 3, 4], 1 + 4)


def test_a_cancelled_caller_leaves_the_others_alone() -> None:
    """Who shares a group with a cancelled call still gets its result."""

    async def main() -> object:
        with ThreadPoolExecutor(1) as threads:
            calls = GroupedCalls(threads)
            calls._seconds_each = 1e-6
            first = asyncio.create_task(calls.call(int))
            second = asyncio.create_task(calls.call(str))
            await asyncio.sleep(0)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            return await second

    assert asyncio.run(main()) == ""


def test_calling_uses_groups_and_a_grouped_call_may_itself_wait_for_coroutines() -> None:
    """Synchronous code that waits for coroutines works in a group: it is in a thread."""

    async def answer() -> int:
        return 42

    async def main() -> tuple[object, int]:
        with ThreadPoolExecutor(1) as threads:
            calls = GroupedCalls(threads)
            plain = calls.submit(len, "abc").result()
            return await call(lambda: run_sync(answer), executor=calls), plain

    assert run_sync(main) == (42, 3)
