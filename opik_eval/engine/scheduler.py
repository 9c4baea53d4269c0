"""Scheduling units: threads for synchronous tasks, coroutines for asynchronous ones.

Both flavours keep the same promises: at most ``workers`` tasks in flight, fewer after rate
limiting; metrics do not hold a task's place; stopping is prompt; a finished unit is delivered
exactly once.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Protocol

from opik_eval.engine.gate import Gate, is_rate_limit
from opik_eval.engine.runner import UnitRunner
from opik_eval.engine.scoring import ran_out_of_budget
from opik_eval.engine.threads import DaemonThreads
from opik_eval.engine.units import Deliver, Executed, Feed, Finished, Scored, WorkUnit
from opik_eval.errors import BudgetExceededError

_GATE_POLL_SECONDS = 0.02
_WATCH_FRACTION = 0.1
_GROWTH_SECONDS = 0.002


class Control(Protocol):
    """What a scheduler tells the run."""

    def budget_exceeded(self, executed: Executed | None) -> None:
        """The budget is spent; ``executed`` is the task that found out, if it was a task."""
        ...


@dataclass
class Scheduling:
    """What both flavours share.

    Attributes:
        workers: Most tasks in flight.
        total: Number of units, if known; fewer threads are started for fewer units.
        context: The caller's context variables; every task runs in a copy.
    """

    runner: UnitRunner
    feed: Feed
    deliver: Deliver
    control: Control
    workers: int
    total: int | None = None
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    gate: Gate = field(init=False)

    def __post_init__(self) -> None:
        self.gate = Gate(self.workers, now=time.monotonic)

    @property
    def metric_threads(self) -> int:
        """Threads for metrics that run beside each other."""
        return min(4 * self.workers, 256)

    @property
    def scoring_slots(self) -> int:
        """Units that may be in scoring at once, beyond the tasks in flight."""
        return max(2 * self.workers, 32)


class _Scoring:
    """Scores executed units on the loop, many at once, within ``scoring_slots``."""

    def __init__(self, shared: Scheduling, threads: DaemonThreads) -> None:
        self._shared = shared
        self._threads = threads
        self._tasks: set[asyncio.Task[None]] = set()
        self.slots = threading.Semaphore(shared.scoring_slots)

    def start(self, executed: Executed, context: contextvars.Context) -> None:
        """Score a unit in the background; the caller holds a slot, which is given back."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._score(executed), context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Wait until everything started is delivered; raise what went wrong inside."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def cancel(self) -> None:
        """Give up what is being scored."""
        for task in self._tasks:
            task.cancel()

    async def _score(self, executed: Executed) -> None:
        try:
            scored = await self._shared.runner.ascore(executed, self._threads)
            conclude(self._shared, scored)
        finally:
            self.slots.release()


def conclude(shared: Scheduling, scored: Scored) -> None:
    """Deliver a scored unit and report a spent budget."""
    shared.deliver(shared.runner.finish(scored))
    if ran_out_of_budget(scored.scores):
        shared.control.budget_exceeded(None)


def stopped_by_budget(shared: Scheduling, executed: Executed) -> bool:
    """Tell, and report, that a task stopped because the budget is spent: no failure of the item."""
    error = executed.exception
    while error is not None and not isinstance(error, BudgetExceededError):
        error = error.__cause__
    if error is None:
        return False
    shared.control.budget_exceeded(executed)
    return True


async def run_in_threads(shared: Scheduling) -> None:
    """Run a feed of synchronous units to its end."""
    threads = DaemonThreads(shared.metric_threads, name="opik-eval-metric")
    scoring = _Scoring(shared, threads)
    pool = _TaskThreads(shared, scoring)
    try:
        await pool.run()
        await scoring.drain()
    finally:
        pool.abandon()
        scoring.cancel()
        threads.shutdown(wait=False)


async def run_on_loop(shared: Scheduling) -> None:
    """Run a feed of asynchronous units to its end."""
    threads = DaemonThreads(shared.metric_threads, name="opik-eval-metric")
    scoring = _Scoring(shared, threads)
    count = shared.workers if shared.total is None else min(shared.workers, shared.total)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(max(count, 1)):
                group.create_task(_work_on_loop(shared, scoring))
        await scoring.drain()
    finally:
        scoring.cancel()
        threads.shutdown(wait=False)


async def _work_on_loop(shared: Scheduling, scoring: _Scoring) -> None:
    loop = asyncio.get_running_loop()
    while (unit := shared.feed.next()) is not None:
        while not shared.gate.try_enter():
            await asyncio.sleep(_GATE_POLL_SECONDS)
        context = shared.context.copy()
        executed = await loop.create_task(shared.runner.aexecute(unit), context=context)
        shared.gate.leave(rate_limited=is_rate_limit(executed.exception))
        if stopped_by_budget(shared, executed):
            return
        if executed.output is None or shared.runner.scoring.is_inline:
            conclude(shared, context.run(shared.runner.score, executed))
            continue
        while not scoring.slots.acquire(blocking=False):
            await asyncio.sleep(_GATE_POLL_SECONDS)
        scoring.start(executed, context)


class _TaskThreads:
    """Daemon threads that run tasks; replaced when a task overstays its time."""

    def __init__(self, shared: Scheduling, scoring: _Scoring) -> None:
        self._shared = shared
        self._scoring = scoring
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        self._lock = threading.Lock()
        self._alive = 0
        self._finished = 0
        self._running: dict[int, tuple[WorkUnit, float]] = {}
        self._abandoned = False
        self._failure: BaseException | None = None

    async def run(self) -> None:
        """Start the threads and wait for the last one."""
        self._start()
        grow = asyncio.create_task(self._grow())
        watch = asyncio.create_task(self._watch()) if self._shared.runner.timeout_seconds else None
        try:
            await self._done.wait()
        finally:
            grow.cancel()
            if watch is not None:
                watch.cancel()
        if self._failure is not None:
            raise self._failure

    def abandon(self) -> None:
        """Let threads that still run a task end by themselves, unheard."""
        self._abandoned = True

    async def _grow(self) -> None:
        """Start more threads while those that run cannot keep up.

        Tasks that do nothing but compute hold the interpreter, and many threads would only get in
        each other's way: one thread is enough as long as it finishes units all the time.
        """
        total = self._shared.total
        limit = self._shared.workers if total is None else min(self._shared.workers, total)
        finished = 0
        while self._alive < limit:
            await asyncio.sleep(_GROWTH_SECONDS)
            if self._finished - finished < self._alive:
                for _ in range(limit - self._alive):
                    self._start()
            finished = self._finished

    def _start(self) -> None:
        with self._lock:
            self._alive += 1
        threading.Thread(target=self._work, name="opik-eval-task", daemon=True).start()

    def _work(self) -> None:
        try:
            while self._work_once():
                pass
        except BaseException as error:  # noqa: BLE001 - a defect of ours must end the run, not hang it
            self._failure = error
            self._shared.feed.shut()
        self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._alive -= 1
            is_last = self._alive == 0
        if is_last:
            self._to_loop(self._done.set)

    def _work_once(self) -> bool:
        """Run one unit; return whether this thread should go on."""
        shared = self._shared
        shared.gate.enter()
        unit = shared.feed.next()
        if unit is None:
            shared.gate.leave()
            return False
        context = shared.context.copy()
        thread = threading.get_ident()
        self._running[thread] = (unit, time.perf_counter())
        executed = context.run(shared.runner.execute, unit)
        if self._running.pop(thread, None) is None:
            return self._forget()  # the watch has given this unit up and started another thread
        shared.gate.leave(rate_limited=is_rate_limit(executed.exception))
        if self._abandoned or stopped_by_budget(shared, executed):
            return False
        if executed.output is None or shared.runner.scoring.is_inline:
            conclude(shared, context.run(shared.runner.score, executed))
        else:
            self._scoring.slots.acquire()
            self._to_loop(lambda: self._scoring.start(executed, context))
        self._finished += 1  # an estimate is enough: only the growth of the pool looks at it
        return True

    def _forget(self) -> bool:
        with self._lock:
            self._alive += 1  # _leave takes it off again; the watch has already counted us out
        return False

    def _to_loop(self, callback: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            if not self._abandoned:  # the loop is closed: nobody waits for us any more
                raise

    async def _watch(self) -> None:
        limit = self._shared.runner.timeout_seconds or 0.0
        while True:
            await asyncio.sleep(max(limit * _WATCH_FRACTION, 0.005))
            now = time.perf_counter()
            for thread, (_, started) in list(self._running.items()):
                if now - started > limit:
                    self._expire(thread)

    def _expire(self, thread: int) -> None:
        entry = self._running.pop(thread, None)
        if entry is None:
            return  # it came back just now
        unit, started = entry
        self._start()
        with self._lock:
            self._alive -= 1
        self._shared.gate.leave()
        finished: Finished = self._shared.runner.expire(unit, time.perf_counter() - started)
        self._shared.deliver(finished)


Flavour = Callable[[Scheduling], Coroutine[object, object, None]]
