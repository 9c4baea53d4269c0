"""Scheduling units: threads for synchronous tasks, coroutines for asynchronous ones.

Both flavours keep the same promises: at most ``workers`` tasks in flight, fewer after rate
limiting; metrics do not hold a task's place; stopping is prompt; a finished unit is delivered
exactly once.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opik_eval.engine.concluding import Later, Scoring
from opik_eval.engine.failures import is_being_cancelled, is_rate_limit, lost
from opik_eval.engine.runner import UnitRunner
from opik_eval.engine.scheduling import Scheduling
from opik_eval.engine.task_threads import TaskThreads
from opik_eval.engine.threads import DaemonThreads
from opik_eval.engine.units import Executed, WorkUnit

_GATE_POLL_SECONDS = 0.02


async def run_in_threads(shared: Scheduling) -> None:
    """Run a feed of synchronous units to its end."""
    async with _scoring_of(shared) as (scoring, group):
        await TaskThreads(shared, scoring).run(group)


async def run_on_loop(shared: Scheduling) -> None:
    """Run a feed of asynchronous units to its end."""
    async with _scoring_of(shared) as (scoring, group):
        later = Later(shared)
        server = group.create_task(later.serve())
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(shared.most_in_flight):
                    workers.create_task(_work_on_loop(shared, scoring, later))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            server.cancel()
            later.conclude_all()


@asynccontextmanager
async def _scoring_of(shared: Scheduling) -> AsyncIterator[tuple[Scoring, asyncio.TaskGroup]]:
    """Wait on leaving until all units are scored; whatever breaks, inside or there, ends it all."""
    threads = DaemonThreads(shared.metric_threads, name="opik-eval-metric")
    try:
        async with asyncio.TaskGroup() as group:
            yield Scoring(shared, threads, group), group
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    finally:
        shared.feed.shut()
        shared.gate.open()
        threads.shutdown(wait=False)


async def _work_on_loop(shared: Scheduling, scoring: Scoring, later: Later) -> None:
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
    running = asyncio.create_task(runner.aexecute(unit), context=context)
    try:
        return await running
    except asyncio.CancelledError as error:
        if is_being_cancelled():
            raise
        return lost(unit, error, time.perf_counter() - started)  # cancelled by the task itself
