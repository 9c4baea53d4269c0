"""Conducting one evaluation from job to result; every door of this package ends here."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

from opik_eval.concurrency import run_sync
from opik_eval.engine.bookkeeping import result_of_stored
from opik_eval.engine.failures import InterruptError
from opik_eval.engine.progress import ProgressBar
from opik_eval.engine.resume import plan_units, skip_done
from opik_eval.engine.run import Run, RunSpec
from opik_eval.engine.runner import UnitRunner
from opik_eval.engine.units import WorkUnit
from opik_eval.evaluation.job import Job
from opik_eval.evaluation.options import ErrorTolerance, EvaluateOptions
from opik_eval.evaluation.outcome import mark, result_of_run
from opik_eval.evaluation.reporting import say_how_to_resume, show
from opik_eval.experiments.result import EvaluationResult, TestResult
from opik_eval.models.context import use_models
from opik_eval.storage.base import Storage
from opik_eval.tracing.litellm_callback import ensure_installed
from opik_eval.tracing.tracer import Tracer


def conduct(job: Job) -> EvaluationResult:
    """Run a job from synchronous code, and print the result.

    On Ctrl-C what is done is kept, the experiment is marked as stopped, and a log line says how to
    go on. A task or metric that raises ``KeyboardInterrupt`` has the same effect.
    """
    try:
        result = run_sync(lambda: run_job(job))
    except KeyboardInterrupt:
        say_how_to_resume(job)
        raise
    except InterruptError as error:
        say_how_to_resume(job)
        raise KeyboardInterrupt(str(error)) from error
    show(job, result)
    return result


async def aconduct(job: Job) -> EvaluationResult:
    """Run a job on the running loop, and print the result."""
    try:
        result = await run_job(job)
    except InterruptError as error:
        say_how_to_resume(job)
        raise KeyboardInterrupt(str(error)) from error
    show(job, result)
    return result


async def run_job(job: Job) -> EvaluationResult:
    """Run a job. However it ends, the experiment's record says so.

    Raises:
        MissingArgumentError: A metric's argument is missing; found before the first task, or by the
            first output.
        UnavailableError: The store failed; its ``partial_result`` holds what is not stored.
        InterruptError: A task or metric raised ``KeyboardInterrupt``.
    """
    tracer = Tracer(job.late or job.storage, project_name=job.labels.project_name)
    started = time.perf_counter()
    try:
        ensure_installed()
        units, reused, total = _plan(job)
        with _models(job.storage, job.options), _bar(job, total) as bar:
            bar.finished(list(reused.values()))
            outcome = await Run(_spec(job, units, reused, total, tracer, bar)).execute()
        tracer.close(None)
        seconds = time.perf_counter() - started
        result = result_of_run(job, outcome, reused=len(reused), seconds=seconds)
    except BaseException as error:
        is_stop = isinstance(error, asyncio.CancelledError | InterruptError)
        mark(job, "stopped" if is_stop else "failed")
        tracer.close()
        raise
    if outcome.error is not None:
        outcome.error.partial_result = result  # type: ignore[attr-defined]
        raise outcome.error
    return result


def _plan(job: Job) -> tuple[Iterator[WorkUnit], dict[int, TestResult], int]:
    trials = job.options["trial_count"]
    total = job.selection.count * trials
    if job.units is not None:
        return iter(job.units), {}, len(job.units)
    units = plan_units(job.selection.items(), task=job.task_key, trial_count=trials)
    if job.earlier is None:
        return units, {}, total
    to_run, standing = skip_done(units, job.earlier)
    reused = {unit.index: result_of_stored(item, unit) for unit, item in standing}
    _forget_failures(job, to_run)
    return iter(to_run), reused, total


def _forget_failures(job: Job, to_run: list[WorkUnit]) -> None:
    """Drop the experiment items of failed tasks that run again; their traces stay."""
    places = {(unit.dataset_item.id, unit.trial) for unit in to_run}
    failed = job.earlier.failed if job.earlier else []
    ids = [item.id for item in failed if (item.dataset_item_id, item.trial_id) in places]
    if ids:
        job.storage.delete_experiment_items(ids)


def _spec(
    job: Job,
    units: Iterator[WorkUnit],
    reused: dict[int, TestResult],
    total: int,
    tracer: Tracer,
    bar: ProgressBar,
) -> RunSpec:
    options = job.options
    runner = UnitRunner(
        task=job.task,
        scoring=job.scoring,
        labels=job.labels,
        fallback=tracer,
        timeout_seconds=options.get("timeout_seconds"),
    )
    return RunSpec(
        runner=runner,
        storage=job.storage,
        units=units,
        total=total - len(reused),
        workers=options["task_threads"],
        late=tracer,
        reused=reused,
        max_errors=options.get("max_errors"),
        executor=options.get("executor"),
        is_fatal=job.is_fatal,
        check_arguments=options["error_tolerance"] < ErrorTolerance.ALL_SCORING_ERRORS,
        listeners=(bar, *job.listeners),
    )


@contextlib.contextmanager
def _models(storage: Storage, options: EvaluateOptions) -> Iterator[None]:
    """Apply budget and cache; ``cache="off"`` leaves a cache that the caller has set up alone."""
    mode = None if options["cache"] == "off" else options["cache"]
    cache = None if mode is None else storage
    with use_models(budget=options.get("budget"), cache=cache, cache_mode=mode):
        yield


def _bar(job: Job, total: int) -> ProgressBar:
    name = job.experiment.name if job.experiment else "evaluation"
    return ProgressBar(total, description=name or "evaluation", silent=not job.options["verbose"])
