"""What comes after a task: its metrics and its delivery, out of the way of the tasks to come."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from contextlib import suppress

from opik_eval.engine.failures import InterruptError, is_being_cancelled
from opik_eval.engine.scheduling import Scheduling
from opik_eval.engine.scoring import all_failed, ran_out_of_budget
from opik_eval.engine.threads import DaemonThreads
from opik_eval.engine.units import Executed, Scored

_AT_ONCE = 8


class Later:
    """Units whose metrics are quick: they are concluded when no task waits to be started.

    Many tasks often end at one moment. Starting the next ones first keeps the places busy; the
    bookkeeping follows while those wait. Beyond ``scoring_slots`` units it is done at once.
    """

    def __init__(self, shared: Scheduling) -> None:
        self._shared = shared
        self._waiting: deque[tuple[Executed, contextvars.Context]] = deque()
        self._loop = asyncio.get_running_loop()
        self._filled = asyncio.Event()
        self._is_served = False

    def add(self, executed: Executed, context: contextvars.Context) -> None:
        """Take a unit; a failed one is concluded at once, because ``max_errors`` counts it."""
        if executed.output is None:
            self._conclude(executed, context)
            return
        self._waiting.append((executed, context))
        if len(self._waiting) > self._shared.scoring_slots:
            self.conclude_one()
        elif not self._is_served:
            self._is_served = True
            with suppress(RuntimeError):  # the loop is closed; ``conclude_all`` sees to the rest
                self._loop.call_soon_threadsafe(self._filled.set)

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
        """Conclude units, a few at a time, each time after whatever else is ready to run."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._waiting:
                await asyncio.sleep(0)
                for _ in range(min(_AT_ONCE, len(self._waiting))):
                    self.conclude_one()
            self._is_served = False
            if self._waiting:  # added just now, by a thread that saw it served
                self._is_served = True
                self._filled.set()


class Scoring:
    """Scores executed units on the loop, many at once, within ``scoring_slots``."""

    def __init__(
        self, shared: Scheduling, threads: DaemonThreads, group: asyncio.TaskGroup
    ) -> None:
        self._shared = shared
        self._threads = threads
        self._group = group
        self.slots = threading.Semaphore(shared.scoring_slots)

    def start(self, executed: Executed, context: contextvars.Context) -> None:
        """Score a unit in the background; the caller holds a slot, which is given back.

        Once the run is ending, the unit is delivered with its output alone.
        """
        scoring = self._score(executed)
        try:
            task = self._group.create_task(scoring, context=context)
        except RuntimeError:  # the group takes no more: something broke, or the run was cancelled
            scoring.close()
            self.slots.release()
            self._give_up(executed)
        else:
            task.add_done_callback(lambda ended: self._ended(ended, executed))

    def _give_up(self, executed: Executed) -> None:
        """Deliver a unit with its output alone, so that a resumed run has only to score it."""
        runner = self._shared.runner
        scores = all_failed(runner.scoring, InterruptError("interrupted before it was scored"))
        self._shared.deliver(runner.finish(Scored(executed, scores, 0.0, None)))

    def _ended(self, task: asyncio.Task[None], executed: Executed) -> None:
        self.slots.release()
        if task.cancelled():
            self._give_up(executed)

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
