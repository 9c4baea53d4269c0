"""Equal requests share one computation, across threads and event loops."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from opik_eval.judges.single_flight import SingleFlight


def test_eight_threads_with_loops_of_their_own_compute_once():
    """The others wait for the first and get its result."""
    flight: SingleFlight[int] = SingleFlight(max_size=4)
    everybody_asks = threading.Barrier(8)
    calls = []

    async def compute():
        calls.append(1)
        await asyncio.sleep(0)
        return 42

    def ask():
        everybody_asks.wait()
        return asyncio.run(flight.get("k", compute))

    with ThreadPoolExecutor(8) as threads:
        results = [future.result() for future in [threads.submit(ask) for _ in range(8)]]
    assert results == [42] * 8
    assert len(calls) == 1


async def constant(value):
    return value


def test_results_are_kept_up_to_a_limit():
    """The least recently used goes first."""

    async def main():
        flight: SingleFlight[str] = SingleFlight(max_size=2)
        for key in ("a", "b", "a", "c"):
            await flight.get(key, lambda key=key: constant(key))
        assert await flight.get("a", lambda: constant("new")) == "a"
        assert await flight.get("b", lambda: constant("new")) == "new"

    asyncio.run(main())


def test_a_failure_reaches_all_who_wait_and_is_forgotten():
    """The next one who asks tries again."""

    async def main():
        flight: SingleFlight[str] = SingleFlight(max_size=2)
        go = asyncio.Event()

        async def fail():
            await go.wait()
            raise ValueError("no")

        asking = [asyncio.ensure_future(flight.get("k", fail)) for _ in range(3)]
        await asyncio.sleep(0)
        go.set()
        results = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(result) for result in results] == [ValueError] * 3
        assert await flight.get("k", lambda: constant("yes")) == "yes"

    asyncio.run(main())


def test_if_the_first_is_cancelled_another_takes_over():
    """A cancelled item does not take the others with it."""

    async def main():
        flight: SingleFlight[str] = SingleFlight(max_size=2)
        first = asyncio.ensure_future(flight.get("k", asyncio.Event().wait))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(flight.get("k", lambda: constant("mine")))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == "mine"
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(main())


def test_a_waiter_that_is_cancelled_harms_nobody():
    """The computation goes on for the others."""

    async def main():
        flight: SingleFlight[str] = SingleFlight(max_size=2)
        go = asyncio.Event()

        async def compute():
            await go.wait()
            return "done"

        first = asyncio.ensure_future(flight.get("k", compute))
        await asyncio.sleep(0)
        waiter = asyncio.ensure_future(flight.get("k", compute))
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        go.set()
        assert await first == "done"

    asyncio.run(main())


def test_a_failure_after_eviction_leaves_the_newer_entry_alone():
    """An entry that was pushed out while in flight does not delete its successor."""

    async def main():
        flight: SingleFlight[str] = SingleFlight(max_size=1)
        go = asyncio.Event()

        async def fail():
            await go.wait()
            raise ValueError("late")

        late = asyncio.ensure_future(flight.get("a", fail))
        await asyncio.sleep(0)
        assert await flight.get("b", lambda: constant("b")) == "b"
        assert await flight.get("a", lambda: constant("fresh")) == "fresh"
        go.set()
        with pytest.raises(ValueError, match="late"):
            await late
        assert await flight.get("a", lambda: constant("other")) == "fresh"

    asyncio.run(main())
