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
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from opik_eval.engine.failures import InterruptError, is_being_cancelled, is_rate_limit, lost
from opik_eval.engine.gate import Gate
from opik_eval.engine.runner import UnitRunner
from opik_eval.engine.scoring import all_failed, ran_out_of_budget
from opik_eval.engine.threads import DaemonThreads
from opik_eval.engine.units import Deliver, Executed, Feed, Scored, WorkUnit

_GATE_POLL_SECONDS = 0.02
_WATCH_FRACTION = 0.1
_GROWTH_SECONDS = 0.002
_LONGEST_PAUSE_SECONDS = 0.05
_BUSY_SHARE = 0.4
_LONG_SECONDS = 0.02
_IDLE_SECONDS = 0.001


class Control(Protocol):
    """What a scheduler tells the run."""

    def budget_exceeded(self) -> None:
        """A metric found the budget spent."""
        ...

    def ends_with(self, executed: Executed) -> bool:
        """Tell whether the failure of a task ends the run; then the unit is not delivered."""
        ...


@dataclass
class Scheduling:
    """What both flavours share.

    Attributes:
        workers: Most tasks in flight.
        total: Number of units, if known; fewer threads are started for fewer units.
        context: The caller's context variables; every task runs in a copy.
        cpu_clock: Processor time of the process, in seconds.
    """

    runner: UnitRunner
    feed: Feed
    deliver: Deliver
    control: Control
    workers: int
    total: int | None = None
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    cpu_clock: Callable[[], float] = time.process_time
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


class _Later:
    """Units whose metrics are quick: they are concluded when no task waits to be started.

    Many tasks often end at one moment. Starting the next ones first keeps the places busy; the
    bookkeeping follows while those wait. Beyond ``scoring_slots`` units it is done at once.
    """

    def __init__(self, shared: Scheduling) -> None:
        self._shared = shared
        self._waiting: deque[tuple[Executed, contextvars.Context]] = deque()

    def add(self, executed: Executed, context: contextvars.Context) -> None:
        """Take a unit; a failed one is concluded at once, because ``max_errors`` counts it."""
        if executed.output is None:
            self._conclude(executed, context)
            return
        self._waiting.append((executed, context))
        if len(self._waiting) > self._shared.scoring_slots:
            self.conclude_one()

    def conclude_one(self) -> None:
        """Conclude the unit that has waited longest, if there is one."""
        try:
            executed, context = self._waiting.popleft()
        except IndexError:
            return  # another thread has taken it
        self._conclude(executed, context)

    def _conclude(self, executed: Executed, context: contextvars.Context) -> None:
        conclude(self._shared, context.run(self._shared.runner.score, executed))

    def conclude_all(self) -> None:
        """Conclude all that wait."""
        while self._waiting:
            self.conclude_one()

    async def serve(self) -> None:
        """Conclude units one by one, each time after whatever else is ready to run."""
        while True:
            await asyncio.sleep(0 if self._waiting else _IDLE_SECONDS)
            self.conclude_one()


class _Scoring:
    """Scores executed units on the loop, many at once, within ``scoring_slots``."""

    def __init__(
        self, shared: Scheduling, threads: DaemonThreads, group: asyncio.TaskGroup
    ) -> None:
        self._shared = shared
        self._threads = threads
        self._group = group
        self.slots = threading.Semaphore(shared.scoring_slots)

    def start(self, executed: Executed, context: contextvars.Context) -> None:
        """Score a unit in the background; the caller holds a slot, which is given back."""
        task = self._group.create_task(self._score(executed), context=context)
        task.add_done_callback(lambda ended: self._ended(ended, executed))

    def give_up(self, executed: Executed) -> None:
        """Deliver a unit with its output alone, so that a resumed run has only to score it."""
        runner = self._shared.runner
        scores = all_failed(runner.scoring, InterruptError("interrupted before it was scored"))
        self._shared.deliver(runner.finish(Scored(executed, scores, 0.0, None)))

    def _ended(self, task: asyncio.Task[None], executed: Executed) -> None:
        self.slots.release()
        if task.cancelled():
            self.give_up(executed)

    async def _score(self, executed: Executed) -> None:
        try:
            scored = await self._shared.runner.ascore(executed, self._threads)
        except asyncio.CancelledError as error:
            if is_being_cancelled():
                raise
            raise RuntimeError("a metric has cancelled the task that runs it") from error
        conclude(self._shared, scored)


def conclude(shared: Scheduling, scored: Scored) -> None:
    """Deliver a scored unit and report a spent budget."""
    shared.deliver(shared.runner.finish(scored))
    if ran_out_of_budget(scored.scores):
        shared.control.budget_exceeded()


async def run_in_threads(shared: Scheduling) -> None:
    """Run a feed of synchronous units to its end."""
    async with _scoring_of(shared) as (scoring, group):
        await _TaskThreads(shared, scoring).run(group)


async def run_on_loop(shared: Scheduling) -> None:
    """Run a feed of asynchronous units to its end."""
    async with _scoring_of(shared) as (scoring, group):
        later = _Later(shared)
        server = group.create_task(later.serve())
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(_count(shared)):
                    workers.create_task(_work_on_loop(shared, scoring, later))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            server.cancel()
            later.conclude_all()


@asynccontextmanager
async def _scoring_of(shared: Scheduling) -> AsyncIterator[tuple[_Scoring, asyncio.TaskGroup]]:
    """Wait on leaving until all units are scored; whatever breaks, inside or there, ends it all."""
    threads = DaemonThreads(shared.metric_threads, name="opik-eval-metric")
    try:
        async with asyncio.TaskGroup() as group:
            yield _Scoring(shared, threads, group), group
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    finally:
        shared.feed.shut()
        shared.gate.open()
        threads.shutdown(wait=False)


def _count(shared: Scheduling) -> int:
    return max(shared.workers if shared.total is None else min(shared.workers, shared.total), 1)


async def _work_on_loop(shared: Scheduling, scoring: _Scoring, later: _Later) -> None:
    while True:
        while not shared.gate.try_enter():
            await asyncio.sleep(_GATE_POLL_SECONDS)
        unit = shared.feed.next()
        if unit is None:
            shared.gate.leave()
            return
        context = shared.context.copy()
        executed = await _execute_on_loop(shared.runner, unit, context)
        shared.gate.leave(rate_limited=is_rate_limit(executed.exception))
        if executed.exception is not None and shared.control.ends_with(executed):
            return
        if executed.output is None or shared.runner.scoring.is_inline_on_loop:
            later.add(executed, context)
            continue
        while not scoring.slots.acquire(blocking=False):
            await asyncio.sleep(_GATE_POLL_SECONDS)
        scoring.start(executed, context)


async def _execute_on_loop(
    runner: UnitRunner, unit: WorkUnit, context: contextvars.Context
) -> Executed:
    started = time.perf_counter()
    running = asyncio.create_task(_interruptible(runner, unit), context=context)
    try:
        return await running
    except asyncio.CancelledError as error:
        if is_being_cancelled():
            raise
        return lost(unit, error, time.perf_counter() - started)  # cancelled by the task itself


async def _interruptible(runner: UnitRunner, unit: WorkUnit) -> Executed:
    try:
        return await runner.aexecute(unit)
    except KeyboardInterrupt as error:
        raise InterruptError("a task raised KeyboardInterrupt") from error


def _execute(runner: UnitRunner, unit: WorkUnit) -> Executed:
    started = time.perf_counter()
    try:
        return runner.execute(unit)
    except KeyboardInterrupt as error:
        raise InterruptError("a task raised KeyboardInterrupt") from error
    except BaseException as error:  # noqa: BLE001 - user code, such as an asyncio.run that ended
        return lost(unit, error, time.perf_counter() - started)


class _TaskThreads:
    """Daemon threads that run tasks; replaced when a task overstays its time."""

    def __init__(self, shared: Scheduling, scoring: _Scoring) -> None:
        self._shared = shared
        self._scoring = scoring
        self._later = _Later(shared)
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        self._lock = threading.Lock()
        self._alive = 0
        self._running: dict[int, tuple[WorkUnit, float]] = {}
        self._is_over = False
        self._failure: BaseException | None = None

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Start the threads and wait for the last one, or for an error of any."""
        self._start()
        helpers = [group.create_task(self._grow()), group.create_task(self._later.serve())]
        if self._shared.runner.timeout_seconds is not None:
            helpers.append(group.create_task(self._watch()))
        try:
            await self._done.wait()
        finally:
            self._is_over = True
            for helper in helpers:
                helper.cancel()
            self._later.conclude_all()
        if self._failure is not None:
            raise self._failure

    async def _grow(self) -> None:
        """Start all threads as soon as tasks turn out to wait, or to take long.

        Short tasks that do nothing but compute hold the interpreter, and many threads would only
        get in each other's way: for them one thread is enough.
        """
        limit, pause = _count(self._shared), _GROWTH_SECONDS
        while self._alive < limit and self._shared.feed.is_open:
            wall, cpu = time.perf_counter(), self._shared.cpu_clock()
            await asyncio.sleep(pause)
            now = time.perf_counter()
            is_idle = self._shared.cpu_clock() - cpu < _BUSY_SHARE * (now - wall)
            starts = [started for _, started in list(self._running.values())]
            if is_idle or any(now - started > _LONG_SECONDS for started in starts):
                for _ in range(limit - self._alive):
                    self._start()
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

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
            self._to_loop(self._done.set)
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
        executed = context.run(_execute, shared.runner, unit)
        if self._running.pop(thread, None) is None:
            return self._forget()  # the watch has given this unit up and started another thread
        shared.gate.leave(rate_limited=is_rate_limit(executed.exception))
        if self._is_over:
            return False
        if executed.exception is not None and shared.control.ends_with(executed):
            return False
        if executed.output is None or shared.runner.scoring.is_inline:
            self._conclude(executed, context)
        else:
            self._scoring.slots.acquire()
            self._to_loop(lambda: self._begin_scoring(executed, context))
        return True

    def _conclude(self, executed: Executed, context: contextvars.Context) -> None:
        # A thread that is alone has nothing better to do.
        if self._alive == 1 or not self._shared.runner.scoring.is_inline_on_loop:
            conclude(self._shared, context.run(self._shared.runner.score, executed))
        else:
            self._later.add(executed, context)

    def _forget(self) -> bool:
        with self._lock:
            self._alive += 1  # _leave takes it off again; the watch has already counted us out
        return False

    def _begin_scoring(self, executed: Executed, context: contextvars.Context) -> None:
        if self._is_over:
            self._scoring.give_up(executed)
        else:
            self._scoring.start(executed, context)

    def _to_loop(self, callback: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            if not self._is_over:  # the loop is closed: nobody waits for us any more
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
        self._shared.gate.leave()
        self._shared.deliver(self._shared.runner.expire(unit, time.perf_counter() - started))
        self._leave()  # in the name of the thread that is stuck
