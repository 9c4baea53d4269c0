"""Beyond one process: shards of units through joblib's backends. The coordinator alone writes."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from opik_eval.concurrency import run_sync
from opik_eval.engine.runner import UnitRunner
from opik_eval.engine.threads import DaemonThreads
from opik_eval.engine.units import Executed, Finished, WorkUnit
from opik_eval.errors import ConfigError

if TYPE_CHECKING:
    from opik_eval.engine.scheduler import Scheduling

_SHARDS_PER_WORKER = 4
_MAX_SHARD = 64


@dataclass(frozen=True)
class Backend:
    """A joblib backend.

    Attributes:
        package: Distribution that must be installed.
        register: ``module:function`` that makes the backend known to joblib.
    """

    name: str
    package: str | None = None
    register: str | None = None


BACKENDS = {
    backend.name: backend
    for backend in (
        Backend("loky"),
        Backend("multiprocessing"),
        Backend("dask", package="dask[distributed]", register="dask.distributed:Client"),
        Backend("ray", package="ray", register="ray.util.joblib:register_ray"),
    )
}


def check_executor(name: str | None, *, has_budget: bool, has_cache: bool) -> None:
    """Check an executor before anything runs.

    Raises:
        ConfigError: It is unknown, not installed, or cannot keep what else was asked for.
    """
    if name is None:
        return
    if name not in BACKENDS:
        raise ConfigError(
            f"executor={name!r} is unknown", remedy=f"use one of {sorted(BACKENDS)}, or None"
        )
    if has_budget or has_cache:
        what = "budget" if has_budget else "cache"
        raise ConfigError(
            f"executor={name!r} runs tasks in other processes, where {what}= would have no effect",
            remedy=f"leave out {what}=, or leave out executor=: threads wait for models as well",
        )
    _prepare(BACKENDS[name])


async def run_in_processes(shared: Scheduling, name: str) -> None:
    """Run a feed in other processes, shard by shard; results arrive as shards finish."""
    loop = asyncio.get_running_loop()
    thread = DaemonThreads(1, name="opik-eval-coordinator")
    try:
        await loop.run_in_executor(thread, _coordinate, shared, name)
    finally:
        shared.feed.shut()
        thread.shutdown(wait=False)


def run_shard(runner: UnitRunner, units: list[WorkUnit]) -> list[Finished]:
    """Run units one after the other; called in the worker process."""
    return [_run_unit(runner, unit) for unit in units]


def _coordinate(shared: Scheduling, name: str) -> None:
    import joblib

    _prepare(BACKENDS[name])
    size = _shard_size(shared)
    parallel = joblib.Parallel(
        n_jobs=shared.workers,
        backend=name,
        return_as="generator_unordered",
        pre_dispatch="2*n_jobs",
    )
    shards = cast(
        "Iterator[list[Finished]]",
        parallel(
            joblib.delayed(run_shard)(shared.runner, units) for units in _shards(shared, size)
        ),
    )
    for finished in shards:
        for unit in finished:
            shared.deliver(unit)


def _shards(shared: Scheduling, size: int) -> Iterator[list[WorkUnit]]:
    while units := shared.feed.take(size):
        yield units


def _shard_size(shared: Scheduling) -> int:
    if shared.total is None:
        return _MAX_SHARD // 4
    share = shared.total // (shared.workers * _SHARDS_PER_WORKER)
    return max(1, min(_MAX_SHARD, share))


def _run_unit(runner: UnitRunner, unit: WorkUnit) -> Finished:
    executed = _execute(runner, unit)
    if executed.output is not None and any(s.is_async for s in runner.scoring.scorers):
        threads = DaemonThreads(32, name="opik-eval-metric")
        scored = run_sync(lambda: runner.ascore(executed, threads))
        threads.shutdown(wait=False)
        return runner.finish(scored)
    return runner.finish(runner.score(executed))


def _execute(runner: UnitRunner, unit: WorkUnit) -> Executed:
    if runner.is_async:
        return run_sync(lambda: runner.aexecute(unit))
    return runner.execute(unit)


def _prepare(backend: Backend) -> None:
    if backend.register is None:
        return
    module, _, attribute = backend.register.partition(":")
    try:
        register = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise ConfigError(
            f"executor={backend.name!r} needs the package {backend.package}",
            remedy=f'pip install "{backend.package}"',
        ) from error
    if attribute.startswith("register"):
        cast("Callable[[], None]", register)()
