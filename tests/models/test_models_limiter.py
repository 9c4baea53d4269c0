"""The adaptive limiter."""

import asyncio
import gc
import os
import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opik_eval.errors import (
    ConfigError,
    InvalidRequestError,
    ModelUnavailableError,
    RateLimitedError,
)
from opik_eval.models.clock import LoopClock, run_in_virtual_time
from opik_eval.models.congestion import ConcurrencyBounds
from opik_eval.models.limiter import AdaptiveLimiter, limiter_for


class StillClock:
    """A clock that moves only when told."""

    def __init__(self):
        self.seconds = 0.0

    def now(self):
        return self.seconds


def limiter_of(*, start=10, minimum=1, maximum=1000, clock=None, **options):
    bounds = ConcurrencyBounds(start=start, minimum=minimum, maximum=maximum, **options)
    return AdaptiveLimiter("test", bounds, clock=clock or StillClock())


async def saturate(limiter, *, share=1.0):
    """Hold that share of the limit for a moment, so that the round counts as used."""
    slots = [limiter.slot() for _ in range(round(share * limiter.limit))]
    for slot in slots:
        await slot.__aenter__()
    for slot in slots:
        await slot.__aexit__(None, None, None)


def clean_round(limiter, *, share=1.0):
    asyncio.run(saturate(limiter, share=share))
    for _ in range(max(limiter.limit, 4)):
        limiter.succeeded(attempt=1)


def changes(limiter):
    return [(change.before, change.after, change.reason) for change in limiter.history]


def test_slow_start_doubles_with_every_clean_round():
    """Until the first 429 each saturated round doubles the limit, up to the maximum."""
    limiter = limiter_of(maximum=50)
    for _ in range(4):
        clean_round(limiter)
    assert changes(limiter) == [
        (10, 20, "slow_start"),
        (20, 40, "slow_start"),
        (40, 50, "slow_start"),
    ]


def test_unsaturated_rounds_do_not_grow():
    """A limit that is not used says nothing about what the account can take."""
    limiter = limiter_of()
    clean_round(limiter, share=0.7)
    assert limiter.limit == 10
    clean_round(limiter, share=0.8)
    assert limiter.limit == 20


def test_rate_limit_cuts_what_was_in_flight_once_per_cool_down():
    """The first 429 cuts to 80 % of what was in flight; others within the cool-down do not."""
    clock = StillClock()
    limiter = limiter_of(start=100, clock=clock)
    asyncio.run(saturate(limiter, share=0.5))
    for _ in range(10):
        limiter.failed(RateLimitedError("429"))
    assert changes(limiter) == [(100, 40, "rate_limit")]
    clock.seconds = 14.9
    limiter.failed(RateLimitedError("429"))
    assert limiter.limit == 40
    clock.seconds = 15.0
    asyncio.run(saturate(limiter))
    limiter.failed(RateLimitedError("429"))
    assert limiter.limit == 32
    assert limiter.history[-1].at_seconds == 15.0


def test_retry_after_extends_the_cool_down():
    """Within the time the provider asked for there is neither a further cut nor growth."""
    clock = StillClock()
    limiter = limiter_of(start=100, clock=clock)
    asyncio.run(saturate(limiter))
    limiter.failed(RateLimitedError("429", retry_after_seconds=60))
    clock.seconds = 59
    limiter.failed(RateLimitedError("429", retry_after_seconds=10))
    clean_round(limiter)
    assert limiter.limit == 80
    clock.seconds = 69
    clean_round(limiter)
    assert limiter.limit == 84


def test_growth_after_a_cut_is_additive():
    """After the first 429 a round adds 5 %, at least one."""
    clock = StillClock()
    limiter = limiter_of(start=10, clock=clock)
    asyncio.run(saturate(limiter))
    limiter.failed(RateLimitedError("429"))
    clock.seconds = 100
    clean_round(limiter)
    limiter.resize(100)
    clean_round(limiter)
    assert changes(limiter) == [
        (10, 8, "rate_limit"),
        (8, 9, "steady_state"),
        (9, 100, "manual"),
        (100, 105, "steady_state"),
    ]


def test_limit_never_falls_below_the_minimum():
    """However many 429s come, the minimum stays."""
    clock = StillClock()
    limiter = limiter_of(start=3, minimum=2, clock=clock)
    for moment in range(0, 200, 20):
        clock.seconds = moment
        limiter.failed(RateLimitedError("429"))
    assert limiter.limit == 2


def test_success_after_a_retry_is_neutral():
    """A reply that needed a second attempt neither counts nor breaks the round."""
    limiter = limiter_of(start=4)
    asyncio.run(saturate(limiter))
    for attempt in (1, 1, 2, 3, 1):
        limiter.succeeded(attempt=attempt)
    assert limiter.limit == 4
    limiter.succeeded(attempt=1)
    assert limiter.limit == 8


def test_other_retryable_failures_begin_the_round_anew():
    """A 5xx or time-out delays growth; a refused request does not concern the limit."""
    limiter = limiter_of(start=4)
    asyncio.run(saturate(limiter))
    for _ in range(3):
        limiter.succeeded(attempt=1)
    limiter.failed(InvalidRequestError("400"))
    limiter.failed(ModelUnavailableError("503"))
    limiter.succeeded(attempt=1)
    assert limiter.limit == 4


def test_history_is_bounded():
    """Only the latest 200 changes are kept."""
    limiter = limiter_of()
    for step in range(300):
        limiter.resize(10 + step % 2)
    assert len(limiter.history) == 200


def test_impossible_bounds_are_refused():
    """minimum <= start <= maximum must hold."""
    with pytest.raises(ConfigError, match="minimum <= start"):
        ConcurrencyBounds(start=5, maximum=4)


def test_waiting_callers_are_served_in_order_of_arrival():
    """First come, first served, and nobody overtakes the queue through a slot that gets free."""

    async def main():
        limiter, order = limiter_of(start=1), []

        async def caller(number):
            async with limiter.slot():
                order.append(number)
                await asyncio.sleep(1)

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(caller(number))
                await asyncio.sleep(0.3)
        return order

    assert run_in_virtual_time(main()) == list(range(20))


def test_resize_wakes_those_who_wait():
    """Raising the limit lets waiting callers in; lowering it interrupts nobody."""

    async def main():
        limiter, release = limiter_of(start=1), asyncio.Event()

        async def caller():
            async with limiter.slot():
                await release.wait()

        tasks = [asyncio.create_task(caller()) for _ in range(5)]
        await asyncio.sleep(1)
        assert (limiter.in_flight, limiter.waiting) == (1, 4)
        limiter.resize(4)
        await asyncio.sleep(1)
        assert (limiter.in_flight, limiter.waiting) == (4, 1)
        limiter.resize(2)
        await asyncio.sleep(1)
        assert (limiter.in_flight, limiter.waiting) == (4, 1)
        release.set()
        await asyncio.gather(*tasks)
        return limiter.in_flight

    assert run_in_virtual_time(main()) == 0


class WatchedLimiter(AdaptiveLimiter):
    """Checks the invariant at the only place where slots are given."""

    def _take(self):
        super()._take()
        assert self.in_flight <= self.limit


@st.composite
def schedules(draw):
    """Callers with arrival, duration and maybe a time to give up; and times to resize."""
    callers = draw(
        st.lists(
            st.tuples(st.floats(0, 5), st.floats(0, 3), st.none() | st.floats(0, 6), st.booleans()),
            min_size=1,
            max_size=40,
        )
    )
    resizes = draw(st.lists(st.tuples(st.floats(0, 8), st.integers(1, 6)), max_size=6))
    return callers, resizes


@settings(max_examples=150, deadline=None)
@given(schedule=schedules(), start=st.integers(1, 5))
def test_no_schedule_breaks_the_limiter(schedule, start):
    """Never a slot above the limit, none is lost, and everybody who stays is served.

    Cancellation may come while queueing, at the moment of the grant and while holding the slot. A
    lost wake-up would end in the deadlock error of the virtual loop.
    """
    callers, resizes = schedule

    async def main():
        bounds = ConcurrencyBounds(start=start, maximum=6)
        limiter, served = WatchedLimiter("test", bounds, clock=LoopClock()), set()

        async def caller(number, delay, duration, fails):
            await asyncio.sleep(delay)
            async with limiter.slot():
                await asyncio.sleep(duration)
                if fails:
                    limiter.failed(RateLimitedError("429"))
                else:
                    limiter.succeeded(attempt=1)
            served.add(number)

        async def resize(delay, limit):
            await asyncio.sleep(delay)
            limiter.resize(limit)

        resizing = [asyncio.create_task(resize(*change)) for change in resizes]
        tasks = []
        for number, (delay, duration, give_up, fails) in enumerate(callers):
            task = asyncio.create_task(caller(number, delay, duration, fails))
            tasks.append(task)
            if give_up is not None:
                asyncio.get_running_loop().call_later(give_up, task.cancel)
        results = await asyncio.gather(*tasks, *resizing, return_exceptions=True)
        for number, result in enumerate(results[: len(tasks)]):
            assert result is None or isinstance(result, asyncio.CancelledError), result
            assert (result is None) == (number in served)
        assert (limiter.in_flight, limiter.waiting) == (0, 0)

    run_in_virtual_time(main())


def test_limit_settles_near_what_a_provider_takes():
    """Against a provider that refuses above 30 in flight the limit ends near 30."""

    async def main():
        clock, rng = LoopClock(), random.Random(4)
        limiter = limiter_of(clock=clock)
        inside, refused, peak = 0, 0, []

        async def call():
            nonlocal inside, refused
            async with limiter.slot():
                inside += 1
                try:
                    await asyncio.sleep(rng.uniform(0.5, 1.5))
                    if inside > 30:
                        refused += 1
                        limiter.failed(RateLimitedError("429"))
                    else:
                        limiter.succeeded(attempt=1)
                finally:
                    inside -= 1
                peak.append(limiter.limit)

        await asyncio.gather(*(call() for _ in range(6000)))
        return peak, refused

    peaks, refused = run_in_virtual_time(main())
    settled = peaks[2000:]
    assert 20 <= sum(settled) / len(settled) <= 32
    assert refused < 600


def test_one_limiter_serves_several_event_loops_in_threads():
    """Callers on loops of their own share the limit, and all of them finish."""
    limiter = AdaptiveLimiter("threads", ConcurrencyBounds(start=3, maximum=3))
    inside, peak, lock = 0, [], threading.Lock()

    async def call():
        nonlocal inside
        async with limiter.slot():
            with lock:
                inside += 1
                peak.append(inside)
            await asyncio.sleep(0)
            with lock:
                inside -= 1

    async def many():
        await asyncio.gather(*(call() for _ in range(200)))

    threads = [threading.Thread(target=asyncio.run, args=(many(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(peak) == 800
    assert max(peak) <= 3
    assert (limiter.in_flight, limiter.waiting) == (0, 0)


def test_slot_of_a_loop_that_died_goes_to_the_next():
    """A caller whose loop was closed while it waited loses its turn, not the slot."""
    limiter = limiter_of(start=1)
    alive, dead = asyncio.new_event_loop(), asyncio.new_event_loop()
    holder = limiter.slot()
    alive.run_until_complete(holder.__aenter__())
    waiting = dead.create_task(limiter.slot().__aenter__())
    dead.run_until_complete(asyncio.sleep(0))
    assert limiter.waiting == 1
    dead.close()
    alive.run_until_complete(holder.__aexit__(None, None, None))
    alive.close()
    assert (limiter.in_flight, limiter.waiting) == (0, 0)
    waiting._log_destroy_pending = False
    del waiting
    gc.collect()
    assert limiter.in_flight == 0


def test_accounts_have_one_limiter_each():
    """The registry returns the same limiter for the same account."""
    assert limiter_for("a#1") is limiter_for("a#1")
    assert limiter_for("a#1") is not limiter_for("a#2")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_child_starts_with_fresh_limiters():
    """A child process does not inherit the slots its parent holds."""
    before = limiter_for("forked")
    before.resize(3)
    child = os.fork()
    if child == 0:
        os._exit(0 if limiter_for("forked").limit == 10 else 1)
    assert os.waitpid(child, 0)[1] == 0
