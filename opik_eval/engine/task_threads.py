"""The threads of synchronous tasks."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable

from opik_eval.engine.concluding import Later, Scoring, conclude
from opik_eval.engine.failures import InterruptError, is_rate_limit, lost
from opik_eval.engine.growth import Look, more_would_help
from opik_eval.engine.runner import UnitRunner
from opik_eval.engine.scheduling import Scheduling
from opik_eval.engine.units import Executed, WorkUnit

_WATCH_FRACTION = 0.1
_GROWTH_SECONDS = 0.002
_LONGEST_PAUSE_SECONDS = 0.05
_SIGNS_TO_GROW = 2  # one may come from an import that holds everything up


def _execute(runner: UnitRunner, unit: WorkUnit) -> Executed:
    started = time.perf_counter()
    try:
        return runner.execute(unit)
    except InterruptError:
        raise
    except BaseException as error:  # noqa: BLE001 - user code, such as an asyncio.run that ended
        return lost(unit, error, time.perf_counter() - started)


class TaskThreads:
    """Daemon threads that run tasks; replaced when a task overstays its time."""

    def __init__(self, shared: Scheduling, scoring: Scoring) -> None:
        self._shared = shared
        self._scoring = scoring
        self._later = Later(shared)
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        self._lock = threading.Lock()
        self._alive = 0
        self._begun = 0
        self._started_at = time.perf_counter()
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
        limit, pause, signs = self._shared.most_in_flight, _GROWTH_SECONDS, 0
        before = self._look()
        while self._alive < limit and self._shared.feed.is_open:
            await asyncio.sleep(pause)
            now = self._look()
            signs = signs + 1 if more_would_help(before, now) else 0
            if signs >= _SIGNS_TO_GROW:
                for _ in range(limit - self._alive):
                    self._start()
            before, pause = now, min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _look(self) -> Look:
        now, begun = time.perf_counter(), self._begun
        return Look(
            at=now,
            cpu=self._shared.clocks.cpu(),
            switches=self._shared.clocks.switches(),
            begun=begun,
            longest_seconds=max((now - t for _, t in list(self._running.values())), default=0.0),
            typical_seconds=(now - self._started_at) / begun if begun > 1 else 0.0,
        )

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
        self._begun += 1  # a thread in between may make it one less; nobody counts on it
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
            self._to_loop(lambda: self._scoring.start(executed, context))
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
