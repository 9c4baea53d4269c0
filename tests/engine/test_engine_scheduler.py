"""Scheduling: limits, exactly-once delivery, endings; driven by events, not by time."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from engine_fakes import PATIENCE_SECONDS, Run, runner, schedule, unit, units
from hypothesis import given, settings
from hypothesis import strategies as st

from opik_eval import get_model
from opik_eval.concurrency import run_sync
from opik_eval.engine import growth
from opik_eval.engine.concluding import Scoring
from opik_eval.engine.failures import InterruptError
from opik_eval.engine.growth import Clocks
from opik_eval.engine.scheduler import run_in_threads, run_on_loop
from opik_eval.engine.scheduling import Scheduling
from opik_eval.engine.threads import DaemonThreads
from opik_eval.engine.units import WorkUnit
from opik_eval.errors import BudgetExceededError, UnavailableError
from opik_eval.metrics import BaseMetric, Equals

BEHAVIOURS = ("ok", "raises", "rate_limited", "exits", "cancelled")


class TooManyRequestsError(Exception):
    status_code = 429


class Custom(BaseException):
    """Not an Exception, as what pytest and gevent raise."""


def behave(behaviour: str) -> dict[str, object]:
    if behaviour == "raises":
        raise ValueError("wrong")
    if behaviour == "rate_limited":
        raise TooManyRequestsError
    if behaviour == "exits":
        raise SystemExit(1)
    if behaviour == "cancelled":
        raise asyncio.CancelledError
    if behaviour == "budget":
        raise RuntimeError("wrapped") from BudgetExceededError("requests", allowed=1, used=1)
    return {"output": 1}


class Turnstile:
    """Holds every task until it is let out, one at a time, in an order that a seed decides."""

    def __init__(self, count: int, workers: int, seed: int) -> None:
        self.inside: dict[int, Callable[[], None]] = {}
        self.most = 0
        self._count = count
        self._workers = workers
        self._random = random.Random(seed)
        self.run: Run

    def enter(self, index: int, let_out: Callable[[], None]) -> None:
        with self.run.changed:
            self.inside[index] = let_out
            self.most = max(self.most, len(self.inside))
            self.run.changed.notify_all()

    def drive(self) -> None:
        """Let tasks out, each time as many are inside as may be."""
        for left in range(self._count, 0, -1):
            with self.run.changed:
                self.run.changed.wait_for(partial(self._is_full, left), PATIENCE_SECONDS)
                index = self._random.choice(sorted(self.inside))
                self.inside.pop(index)()

    def _is_full(self, left: int) -> bool:
        allowed = min(self.run.scheduling.gate.limit, left)
        return len(self.inside) >= allowed and len(self.run.delivered) == self._count - left


def _run_threads(behaviours: list[str], workers: int, seed: int) -> Turnstile:
    turnstile = Turnstile(len(behaviours), workers, seed)

    def task(item: dict[str, Any]) -> dict[str, object]:
        released = threading.Event()
        turnstile.enter(item["n"], released.set)
        assert released.wait(PATIENCE_SECONDS)
        return behave(behaviours[item["n"]])

    turnstile.run = schedule(runner(task), units(len(behaviours)), workers=workers)
    driver = threading.Thread(target=turnstile.drive)
    driver.start()
    asyncio.run(run_in_threads(turnstile.run.scheduling))
    driver.join(PATIENCE_SECONDS)
    return turnstile


def _run_loop(behaviours: list[str], workers: int, seed: int) -> Turnstile:
    turnstile = Turnstile(len(behaviours), workers, seed)

    async def task(item: dict[str, Any]) -> dict[str, object]:
        released = asyncio.Event()
        loop = asyncio.get_running_loop()
        turnstile.enter(item["n"], lambda: loop.call_soon_threadsafe(released.set))
        await released.wait()
        return behave(behaviours[item["n"]])

    turnstile.run = schedule(runner(task), units(len(behaviours)), workers=workers)
    driver = threading.Thread(target=turnstile.drive)
    driver.start()
    asyncio.run(run_on_loop(turnstile.run.scheduling))
    driver.join(PATIENCE_SECONDS)
    return turnstile


@pytest.mark.parametrize("flavour", [_run_threads, _run_loop])
@settings(max_examples=15, deadline=None)
@given(
    behaviours=st.lists(st.sampled_from(BEHAVIOURS), min_size=1, max_size=12),
    workers=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_every_unit_is_delivered_once_and_never_too_many_run(
    flavour: Callable[[list[str], int, int], Turnstile],
    behaviours: list[str],
    workers: int,
    seed: int,
) -> None:
    """Whatever tasks do, in whatever order they end, each unit arrives once, within the limit."""
    turnstile = flavour(behaviours, workers, seed)
    assert turnstile.run.indices == list(range(len(behaviours)))
    assert turnstile.most <= workers
    for finished in turnstile.run.delivered:
        failed = behaviours[finished.unit.index] != "ok"
        assert (finished.result.error is not None) == failed


@pytest.mark.parametrize("is_async", [False, True])
@settings(max_examples=15, deadline=None)
@given(
    count=st.integers(1, 30),
    spent_at=st.integers(0, 29),
    workers=st.integers(1, 4),
)
def test_a_spent_budget_stops_the_run(
    is_async: bool, count: int, spent_at: int, workers: int
) -> None:
    """The unit that finds the budget spent is not delivered; nothing is delivered twice."""
    spent_at = min(spent_at, count - 1)

    def task(item: dict[str, Any]) -> dict[str, object]:
        return behave("budget" if item["n"] >= spent_at else "ok")

    async def atask(item: dict[str, Any]) -> dict[str, object]:
        await asyncio.sleep(0)
        return task(item)

    run = schedule(runner(atask if is_async else task), units(count), workers=workers)
    asyncio.run((run_on_loop if is_async else run_in_threads)(run.scheduling))
    assert max(Counter(run.indices).values(), default=1) == 1
    assert set(run.indices) <= set(range(spent_at))
    assert run.control.ended[0].unit.index >= spent_at
    assert len(run.control.ended) <= workers


@settings(max_examples=8, deadline=None)
@given(stuck=st.sets(st.integers(0, 7), max_size=3), workers=st.integers(1, 3))
def test_stuck_threads_are_replaced(stuck: set[int], workers: int) -> None:
    """Tasks that overstay cost their unit and nothing more; what they do later is not heard."""
    release = threading.Event()

    def task(item: dict[str, Any]) -> dict[str, object]:
        if item["n"] in stuck:
            release.wait(PATIENCE_SECONDS)
        return {"output": 1}

    run = schedule(runner(task, timeout_seconds=0.05), units(8), workers=workers)
    asyncio.run(run_in_threads(run.scheduling))
    release.set()
    assert run.indices == list(range(8))
    # On a busy machine a task that is not stuck may be late as well.
    assert stuck <= {f.unit.index for f in run.delivered if f.result.error is not None}


def test_a_late_task_is_not_delivered_again() -> None:
    """A task that comes back after it was given up, while the run goes on, is dropped."""
    release, came_back = threading.Event(), threading.Event()

    def task(item: dict[str, Any]) -> dict[str, object]:
        if item["n"] == 0:
            release.wait(PATIENCE_SECONDS)
            came_back.set()
        elif item["n"] == 2:
            release.set()
            assert came_back.wait(PATIENCE_SECONDS)
        return {"output": item["n"]}

    run = schedule(runner(task, timeout_seconds=0.1), units(4), workers=1)
    asyncio.run(run_in_threads(run.scheduling))
    assert run.indices == [0, 1, 2, 3]
    assert [f.unit.index for f in run.delivered if f.result.error is not None] == [0]


@pytest.mark.parametrize("is_async", [False, True])
def test_metrics_hold_no_place_of_a_task(is_async: bool) -> None:
    """With one worker, the metrics of a unit may wait for what later tasks do."""
    last_ran = threading.Event()

    class Waits(BaseMetric):
        def score(self, n: int, **ignored: object) -> float:
            return float(last_ran.wait(PATIENCE_SECONDS))

    def task(item: dict[str, Any]) -> dict[str, object]:
        if item["n"] == 3:
            last_ran.set()
        return {"output": 1}

    async def atask(item: dict[str, Any]) -> dict[str, object]:
        return task(item)

    metrics = [Waits(name="a"), Waits(name="b")]
    run = schedule(runner(atask if is_async else task, metrics), units(4), workers=1)
    asyncio.run((run_on_loop if is_async else run_in_threads)(run.scheduling))
    assert run.indices == [0, 1, 2, 3]
    assert all(s.value == 1.0 for f in run.delivered for s in f.result.score_results)


@pytest.mark.parametrize("is_async", [False, True])
def test_scoring_slots_bound_what_waits_for_metrics(is_async: bool) -> None:
    """No more units wait for their metrics than there are slots; all are scored in the end."""
    scoring, most = [0], [0]
    lock = threading.Lock()

    class Slow(BaseMetric):
        async def ascore(self, **ignored: object) -> float:
            with lock:
                scoring[0] += 1
                most[0] = max(most[0], scoring[0])
            await asyncio.sleep(0.002)
            with lock:
                scoring[0] -= 1
            return 1.0

    async def atask(item: dict[str, Any]) -> dict[str, object]:
        return {"output": 1}

    task = atask if is_async else (lambda item: {"output": 1})
    run = schedule(runner(task, [Slow()]), units(120), workers=2)
    asyncio.run((run_on_loop if is_async else run_in_threads)(run.scheduling))
    assert run.indices == list(range(120))
    assert 1 < most[0] <= run.scheduling.scoring_slots == 32


def test_tasks_that_wait_run_beside_each_other() -> None:
    """Threads are started as soon as the process turns out to be idle."""
    together = threading.Barrier(4, timeout=PATIENCE_SECONDS)

    def task(item: dict[str, Any]) -> dict[str, object]:
        if item["n"] >= 200:
            together.wait()
        return {"output": threading.Event().wait(0.0005)}

    run = schedule(runner(task), units(204), workers=4)
    run.scheduling.clocks = Clocks(cpu=lambda: 0.0)  # never busy
    asyncio.run(run_in_threads(run.scheduling))
    assert all(f.result.error is None for f in run.delivered)


def test_tasks_that_compute_share_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short tasks that keep the processor busy stay on one thread, out of each other's way."""
    monkeypatch.setattr(growth, "_LONG_SECONDS", 60.0)  # however busy this machine is
    threads: set[int] = set()

    def task(item: dict[str, Any]) -> dict[str, object]:
        threads.add(threading.get_ident())
        return {"output": 1}

    run = schedule(runner(task), units(500), workers=16)
    run.scheduling.clocks = Clocks(cpu=lambda: 2 * time.perf_counter())  # always busy
    asyncio.run(run_in_threads(run.scheduling))
    assert len(threads) == 1
    assert len(run.delivered) == 500


def test_long_tasks_run_beside_each_other_however_busy_the_process_is() -> None:
    """Tasks of more than a few milliseconds get all threads."""
    together = threading.Barrier(3, timeout=PATIENCE_SECONDS)

    def task(item: dict[str, Any]) -> dict[str, object]:
        together.wait()
        return {"output": 1}

    run = schedule(runner(task), units(3), workers=3)
    run.scheduling.clocks = Clocks(cpu=lambda: 2 * time.perf_counter())
    asyncio.run(run_in_threads(run.scheduling))
    assert all(f.result.error is None for f in run.delivered)


@pytest.mark.parametrize("total", [None, 0, 3])
@pytest.mark.parametrize("is_async", [False, True])
def test_unknown_and_small_totals(total: int | None, is_async: bool) -> None:
    """Without a total, or with fewer units than workers, everything is delivered."""

    async def atask(item: dict[str, Any]) -> dict[str, object]:
        return {"output": 1}

    task = atask if is_async else (lambda item: {"output": 1})
    work = units(3 if total is None else total)
    run = Run(runner(task), iter(work), workers=8, total=total)
    asyncio.run((run_on_loop if is_async else run_in_threads)(run.scheduling))
    assert run.indices == [u.index for u in work]


def _broken_units() -> Any:
    yield from units(70)
    raise UnavailableError("the dataset cannot be read", remedy="check the disk")


@pytest.mark.parametrize("flavour", ["threads", "loop"])
def test_a_source_that_breaks_ends_the_run_with_its_error(flavour: str) -> None:
    """An error while items are read comes out as it is, not as a group, and nothing hangs."""

    async def atask(item: dict[str, Any]) -> dict[str, object]:
        return {"output": 1}

    is_async = flavour == "loop"
    task = atask if is_async else (lambda item: {"output": 1})
    run = Run(runner(task), _broken_units(), workers=3, total=None)
    with pytest.raises(UnavailableError, match="cannot be read"):
        asyncio.run((run_on_loop if is_async else run_in_threads)(run.scheduling))
    assert len(run.delivered) <= 70


@pytest.mark.parametrize("flavour", ["threads", "loop"])
@pytest.mark.parametrize("where", ["task", "metric", "async metric"])
def test_keyboard_interrupt_inside_ends_the_run_at_once(flavour: str, where: str) -> None:
    """KeyboardInterrupt of a task or metric ends the run without waiting for what is in flight."""
    never = threading.Event()
    calls: list[int] = []

    def task(item: dict[str, Any]) -> dict[str, object]:
        calls.append(item["n"])
        if item["n"] == 1:
            if where == "task":
                raise KeyboardInterrupt
        elif flavour == "threads":
            never.wait(PATIENCE_SECONDS)
        return {"output": 1}

    async def atask(item: dict[str, Any]) -> dict[str, object]:
        if item["n"] != 1:
            await asyncio.Event().wait()
        return task(item)

    class Raises(BaseMetric):
        def score(self, **ignored: object) -> float:
            raise KeyboardInterrupt

    class RaisesLater(BaseMetric):
        async def ascore(self, **ignored: object) -> float:
            raise KeyboardInterrupt

    metrics = {"task": [], "metric": [Raises()], "async metric": [RaisesLater()]}[where]
    is_async = flavour == "loop"
    run = schedule(runner(atask if is_async else task, metrics), units(50), workers=2)
    started = time.perf_counter()
    with pytest.raises(InterruptError):
        asyncio.run((run_on_loop if is_async else run_in_threads)(run.scheduling))
    assert time.perf_counter() - started < PATIENCE_SECONDS / 2
    never.set()
    assert len(calls) <= 3


@pytest.mark.parametrize("flavour", ["threads", "loop"])
def test_a_defect_while_scoring_ends_the_run(flavour: str) -> None:
    """What breaks in the background, where no metric is to blame, is not lost."""

    class Slow(BaseMetric):
        async def ascore(self, **ignored: object) -> float:
            return 1.0

    async def atask(item: dict[str, Any]) -> dict[str, object]:
        return {"output": 1}

    is_async = flavour == "loop"
    made = runner(atask if is_async else (lambda item: {"output": 1}), [Slow()])
    made.finish = _break  # type: ignore[method-assign]
    run = schedule(made, units(500), workers=2)
    with pytest.raises(ZeroDivisionError):
        asyncio.run((run_on_loop if is_async else run_in_threads)(run.scheduling))
    assert run.delivered == []


def _break(scored: object) -> Any:
    raise ZeroDivisionError


@pytest.mark.parametrize("count", [1, 40])
def test_units_that_come_to_be_scored_while_the_run_breaks_keep_their_output(count: int) -> None:
    """What a thread hands over in the moment in which a defect ends the run is not lost."""
    run = schedule(runner(lambda item: {"output": item["n"]}, [Equals()]), [])
    made = run.scheduling.runner

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            scoring = Scoring(run.scheduling, DaemonThreads(1, name="metric"), group)
            group.create_task(_raise_zero_division())
            try:
                await asyncio.Event().wait()
            finally:
                for work in units(count):
                    scoring.slots.acquire(timeout=PATIENCE_SECONDS)
                    scoring.start(made.execute(work), run.scheduling.context.copy())
                slots.append(scoring.slots)

    slots: list[threading.Semaphore] = []
    with pytest.raises(ExceptionGroup):
        asyncio.run(main())
    assert run.indices == list(range(count))
    for finished in run.delivered:
        assert finished.result.test_case.task_output == {"output": finished.unit.index}
        assert "interrupted" in (finished.result.score_results[0].reason or "")
    assert all(slots[0].acquire(blocking=False) for _ in range(run.scheduling.scoring_slots))
    gc.collect()  # a coroutine that nobody awaited would be reported


async def _raise_zero_division() -> None:
    raise ZeroDivisionError


def test_a_defect_of_the_watch_ends_the_run() -> None:
    """If a stuck task cannot be given up, the run ends rather than hangs."""
    never = threading.Event()
    made = runner(lambda item: {"output": never.wait(PATIENCE_SECONDS)}, timeout_seconds=0.02)
    made.expire = _break_expire  # type: ignore[method-assign]
    run = schedule(made, units(3), workers=1)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(run_in_threads(run.scheduling))
    never.set()


def _break_expire(unit: WorkUnit, seconds: float) -> Any:
    raise ZeroDivisionError


@pytest.mark.parametrize("kind", [asyncio.CancelledError, Custom])
def test_unusual_exceptions_of_tasks_in_threads_cost_their_unit(
    kind: type[BaseException],
) -> None:
    """What is no Exception, such as a cancellation of the user's own loop, fails its unit only."""

    def task(item: dict[str, Any]) -> dict[str, object]:
        if item["n"] == 1:
            raise kind("mine")
        return {"output": 1}

    run = schedule(runner(task), units(3), workers=1)
    asyncio.run(run_in_threads(run.scheduling))
    failed = [f for f in run.delivered if f.result.error is not None]
    assert [(f.unit.index, f.result.error.exception_type) for f in failed] == [(1, kind.__name__)]  # type: ignore[union-attr]


async def _cancels_itself(item: dict[str, Any]) -> dict[str, object]:
    if item["n"] == 1:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
    return {"output": 1}


async def _awaits_something_cancelled(item: dict[str, Any]) -> dict[str, object]:
    if item["n"] == 1:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        await future
    return {"output": 1}


@pytest.mark.parametrize("task", [_cancels_itself, _awaits_something_cancelled])
def test_cancellation_from_inside_a_coroutine_costs_its_unit(
    task: Callable[..., Awaitable[object]],
) -> None:
    """A coroutine that is cancelled, but not by us, is a failed unit; none is dropped."""
    run = schedule(runner(task), units(4), workers=1)
    asyncio.run(run_on_loop(run.scheduling))
    assert run.indices == [0, 1, 2, 3]
    assert [f.unit.index for f in run.delivered if f.result.error is not None] == [1]


def test_a_metric_that_cancels_its_own_task_fails_alone() -> None:
    """A cancellation that a metric brings about itself is not taken for the end of the run."""

    class Awkward(BaseMetric):
        async def ascore(self, **ignored: object) -> float:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            future.cancel()
            await future
            return 1.0

    run = schedule(runner(lambda item: {"output": 1}, [Awkward()]), units(2), workers=1)
    asyncio.run(run_in_threads(run.scheduling))
    assert all(f.result.score_results[0].scoring_failed for f in run.delivered)
    assert run.indices == [0, 1]


def test_a_metric_that_cancels_what_runs_it_ends_the_run() -> None:
    """Cancelling the engine's own task is an error that is shown, not a unit that disappears."""

    class Hostile(BaseMetric):
        async def ascore(self, **ignored: object) -> float:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)
            return 1.0

    run = schedule(runner(lambda item: {"output": 1}, [Hostile()]), units(1), workers=1)
    with pytest.raises(RuntimeError, match="has cancelled the task"):
        asyncio.run(run_in_threads(run.scheduling))


@pytest.mark.parametrize("is_async", [False, True])
def test_cancelling_keeps_the_outputs_of_units_that_are_being_scored(is_async: bool) -> None:
    """On Ctrl-C a unit whose task is done is kept without scores, so that it need not run again."""

    async def main() -> Run:
        asked = asyncio.Event()

        class Waits(BaseMetric):
            async def ascore(self, **ignored: object) -> float:
                asked.set()
                await asyncio.Event().wait()
                return 1.0

        async def atask(item: dict[str, Any]) -> dict[str, object]:
            return {"output": item["n"]}

        task = atask if is_async else (lambda item: {"output": item["n"]})
        run = schedule(runner(task, [Waits()]), units(1), workers=1)
        running = asyncio.create_task((run_on_loop if is_async else run_in_threads)(run.scheduling))
        await asked.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return run

    (finished,) = asyncio.run(main()).delivered
    assert finished.result.test_case.task_output == {"output": 0}
    assert finished.result.score_results[0].scoring_failed
    assert "interrupted" in (finished.result.score_results[0].reason or "")


def test_threads_that_come_back_after_the_end_are_not_heard() -> None:
    """A task that was in flight when the run was cancelled ends by itself and delivers nothing."""
    started, release, ended = threading.Event(), threading.Event(), threading.Event()

    def task(item: dict[str, Any]) -> dict[str, object]:
        started.set()
        release.wait(PATIENCE_SECONDS)
        ended.set()
        return {"output": 1}

    run = schedule(runner(task), units(5), workers=1)

    async def main() -> None:
        running = asyncio.create_task(run_in_threads(run.scheduling))
        await asyncio.to_thread(started.wait, PATIENCE_SECONDS)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    before = set(threading.enumerate())
    asyncio.run(main())
    release.set()
    assert ended.wait(PATIENCE_SECONDS)
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE_SECONDS)
    assert run.delivered == []


def test_threads_that_wait_for_a_slot_end_with_the_run() -> None:
    """A thread that waits for its metrics to begin is freed when the run is cancelled."""
    asked = threading.Event()
    waiting = [0]

    class Waits(BaseMetric):
        async def ascore(self, **ignored: object) -> float:
            waiting[0] += 1
            if waiting[0] == 32:
                asked.set()
            await asyncio.Event().wait()
            return 1.0

    run = schedule(runner(lambda item: {"output": 1}, [Waits()]), units(60), workers=1)

    async def main() -> None:
        running = asyncio.create_task(run_in_threads(run.scheduling))
        await asyncio.to_thread(asked.wait, PATIENCE_SECONDS)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    before = set(threading.enumerate())
    asyncio.run(main())
    for thread in set(threading.enumerate()) - before:
        if thread.name == "opik-eval-task":
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()
    assert len(run.delivered) >= 32


def test_rate_limiting_lets_fewer_tasks_in() -> None:
    """After a 429 half as many tasks run at once."""

    def task(item: dict[str, Any]) -> dict[str, object]:
        if item["n"] == 0:
            raise TooManyRequestsError
        return {"output": 1}

    run = schedule(runner(task), units(20), workers=8)
    asyncio.run(run_in_threads(run.scheduling))
    assert run.scheduling.gate.limit == 4
    assert run.indices == list(range(20))


@pytest.mark.parametrize("is_async", [False, True])
def test_metrics_that_find_the_budget_spent_stop_the_run(is_async: bool) -> None:
    """The unit is delivered with its output; nothing new starts."""

    class Judge(BaseMetric):
        def score(self, **ignored: object) -> float:
            raise RuntimeError("judge failed") from BudgetExceededError("usd", allowed=1, used=1)

    async def atask(item: dict[str, Any]) -> dict[str, object]:
        return {"output": 1}

    task = atask if is_async else (lambda item: {"output": 1})
    run = schedule(runner(task, [Judge()]), units(400), workers=1)
    asyncio.run((run_on_loop if is_async else run_in_threads)(run.scheduling))
    assert run.control.metric_stops >= 1
    assert 1 <= len(run.delivered) < 400


def test_scheduling_scales_with_workers() -> None:
    """Threads for metrics and slots for scoring follow the number of workers, within bounds."""
    run = schedule(runner(None), [], workers=2)
    shared: Scheduling = run.scheduling
    assert (shared.metric_threads, shared.scoring_slots) == (8, 32)
    shared.workers = 100
    assert (shared.metric_threads, shared.scoring_slots) == (256, 200)


def test_stored_outputs_run_no_task() -> None:
    """A unit with a stored output is scored and delivered; there is no task to call."""
    from dataclasses import replace

    from opik_eval.records import ExperimentItem

    stored = ExperimentItem(
        id="x", experiment_id="e", dataset_item_id="item-0", output={"output": 7}, trace_id="t"
    )

    class Value(BaseMetric):
        def score(self, output: float, **ignored: object) -> float:
            return output

    run = schedule(runner(None, [Value()]), [replace(unit(0), stored=stored)])
    asyncio.run(run_in_threads(run.scheduling))
    assert run.delivered[0].result.score_results[0].value == 7.0


class AsksAModel(BaseMetric):
    """Synchronous metric that waits for a coroutine, as judges written without async do."""

    def score(self, output: int, **ignored: object) -> float:
        reply = get_model("fake/fixed?text=1").generate_sync("?")
        return float(asyncio.run(_echo(reply.text)))


async def _echo(text: str) -> str:
    return text


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("kind", ["metric", "metrics"])
def test_synchronous_metrics_may_wait_for_coroutines(is_async: bool, kind: str) -> None:
    """User code that blocks on coroutines works beside any task: it never runs on an event loop."""

    async def atask(item: dict[str, Any]) -> dict[str, object]:
        await asyncio.sleep(0)
        return {"output": 1}

    def task(item: dict[str, Any]) -> dict[str, object]:
        threading.Event().wait(0.0005)
        return {"output": 1}

    metrics = {"metric": [AsksAModel()], "metrics": [AsksAModel(), AsksAModel(name="b")]}
    made = runner(atask if is_async else task, metrics[kind])
    for scorer in made.scoring.scorers:
        scorer.typical_seconds = 0.0001  # known to be fast
    run = schedule(made, units(60), workers=4)

    async def main() -> None:
        await (run_on_loop if is_async else run_in_threads)(run.scheduling)

    run_sync(main)
    assert run.indices == list(range(60))
    assert {s.value for f in run.delivered for s in f.result.score_results} == {1.0}
