"""Conducting one evaluation from plan to result; every door of this package ends here."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from opik_eval.concurrency import run_sync
from opik_eval.engine.bookkeeping import result_of_stored
from opik_eval.engine.fingerprint import fingerprint_of_metrics, fingerprint_of_task
from opik_eval.engine.progress import ProgressBar
from opik_eval.engine.resume import Earlier, plan_units, skip_done, sort_out
from opik_eval.engine.run import Run, RunOutcome, RunSpec
from opik_eval.engine.runner import RunLabels, UnitRunner
from opik_eval.engine.scoring import ScoringPlan
from opik_eval.engine.task import Task
from opik_eval.engine.units import WorkUnit
from opik_eval.errors import StorageError
from opik_eval.evaluation.options import ErrorTolerance, EvaluateOptions
from opik_eval.evaluation.selection import Selection
from opik_eval.experiments.result import EvaluationResult, TestResult
from opik_eval.metrics.base import ScoreResult, normalise
from opik_eval.models.context import use_models
from opik_eval.records import Experiment, ExperimentItem, utc_now
from opik_eval.storage.base import Storage
from opik_eval.tracing.litellm_callback import ensure_installed
from opik_eval.tracing.tracer import Tracer

logger = logging.getLogger("opik_eval.evaluation")

_STOPPED = {
    "max_errors": "more tasks failed than max_errors allows",
    "budget": "the budget is spent",
    "storage": "the store failed",
}


@dataclass(frozen=True, kw_only=True)
class Job:
    """One evaluation, ready to run.

    Attributes:
        storage: Where everything goes.
        experiment: The experiment's record; ``None`` for a run that is not an experiment.
        task: The task; ``None`` where stored outputs are scored again.
        task_key: Fingerprint of the task.
        earlier: What an earlier run of the experiment left.
        labels: What the records carry.
        units: The units whose stored outputs are scored again; else they come from ``selection``.
    """

    storage: Storage
    selection: Selection
    experiment: Experiment | None
    task: Task | None
    scoring: ScoringPlan
    metrics_key: str
    labels: RunLabels
    options: EvaluateOptions
    task_key: str = ""
    earlier: Earlier | None = None
    units: Sequence[WorkUnit] | None = None
    warnings: list[str] = field(default_factory=list)


def conduct(job: Job) -> EvaluationResult:
    """Run a job from synchronous code.

    On Ctrl-C what is done is kept, the experiment is marked as stopped, and a line on standard
    error says how to go on.
    """
    try:
        result = run_sync(lambda: aconduct(job))
    except KeyboardInterrupt:
        if job.experiment is not None:
            logger.warning("%s", how_to_resume(job))
        raise
    show(job, result)
    return result


async def aconduct(job: Job) -> EvaluationResult:
    """Run a job on the running loop.

    Raises:
        MissingArgumentError: A metric's argument is missing; found before the first task, or by the
            first output.
        UnavailableError: The store failed; its ``partial_result`` holds what is not stored.
    """
    units, reused, total = _plan(job)
    ensure_installed()
    tracer = Tracer(job.storage, project_name=job.labels.project_name)
    started = time.perf_counter()
    try:
        with _models(job.storage, job.options), _bar(job, total) as bar:
            bar.finished(list(reused.values()))
            run = Run(_spec(job, units, reused, total, tracer, bar))
            outcome = await run.execute()
    except BaseException as error:
        status = "stopped" if isinstance(error, asyncio.CancelledError) else "failed"
        _mark(job, status)
        tracer.close()
        raise
    tracer.close(None)
    result = _result(job, outcome, len(reused), time.perf_counter() - started)
    if outcome.error is not None:
        outcome.error.partial_result = result  # type: ignore[attr-defined]
        raise outcome.error
    return result


def how_to_resume(job: Job) -> str:
    """Return the sentence that tells how to go on after an interruption."""
    experiment = cast("Experiment", job.experiment)
    done = sum(1 for _ in job.storage.list_experiment_items(experiment.id))
    total = job.selection.count * job.options["trial_count"]
    return (
        f"interrupted: {done} of {total} results of experiment {experiment.name!r} are stored in "
        f"{job.storage.location}; go on with evaluate(..., resume={experiment.id!r})"
    )


def show(job: Job, result: EvaluationResult) -> None:
    """Print the result, as ``verbose`` asks."""
    if job.options["verbose"] > 0:
        from opik_eval.experiments.render import result_text

        sys.stdout.write(result_text(result) + "\n")


def make_scoring_key(metrics: Sequence[object], functions: Sequence[object]) -> str:
    """Return the fingerprint of everything that scores."""
    return fingerprint_of_metrics([*metrics, *functions])


def make_task_key(task: Task) -> str:
    """Return the fingerprint of a task."""
    return fingerprint_of_task(task)


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
    _forget_failures(job)
    return iter(to_run), reused, total


def _forget_failures(job: Job) -> None:
    """Drop the experiment items whose task failed: they run again; their traces stay."""
    failed = [item.id for item in job.earlier.failed] if job.earlier else []
    if failed:
        job.storage.delete_experiment_items(failed)


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
        check_arguments=options["error_tolerance"] < ErrorTolerance.ALL_SCORING_ERRORS,
        listeners=(bar,),
    )


@contextlib.contextmanager
def _models(storage: Storage, options: EvaluateOptions) -> Iterator[None]:
    cache = None if options["cache"] == "off" else storage
    with use_models(budget=options.get("budget"), cache=cache, cache_mode=options["cache"]):
        yield


def _bar(job: Job, total: int) -> ProgressBar:
    name = job.experiment.name if job.experiment else "evaluation"
    return ProgressBar(total, description=name or "evaluation", silent=not job.options["verbose"])


def _result(job: Job, outcome: RunOutcome, reused: int, seconds: float) -> EvaluationResult:
    is_done = outcome.stop_reason == "completed"
    status = "completed" if is_done else "failed" if outcome.error else "stopped"
    scores = _experiment_scores(job, outcome.results)
    experiment, dataset = job.experiment, job.selection.source.dataset
    result = EvaluationResult(
        experiment_id=experiment.id if experiment else "",
        dataset_id=dataset.id,
        experiment_name=experiment.name if experiment else None,
        test_results=outcome.results,
        trial_count=job.options["trial_count"],
        experiment_scores=scores,
        status=status,
        stop_reason=_STOPPED.get(outcome.stop_reason),
        total_seconds=seconds,
        storage_location=job.storage.location,
        warnings=[*job.warnings, *_warnings(outcome.results)],
        reused_items=reused,
        higher_is_better={s.name: s.higher_is_better for s in job.scoring.scorers},
    )
    if outcome.error is None:
        _mark(job, status, result)
        result.flush = job.storage.flush()
    return result


def _mark(job: Job, status: str, result: EvaluationResult | None = None) -> None:
    """Store how the run ended, and what a later reader needs to show it as it was."""
    if job.experiment is None:
        return
    scores = result.experiment_scores if result else []
    run = dict(job.experiment.run or {})
    if result is not None:
        run.update(
            stop_reason=result.stop_reason,
            total_seconds=result.total_seconds,
            warnings=result.warnings,
            higher_is_better=result.higher_is_better,
        )
    record = Experiment(
        id=job.experiment.id,
        status=status,
        run=run,
        experiment_scores={s.name: s.value for s in scores if s.is_scored and s.value is not None}
        or None,
        last_updated_at=utc_now(),
    )
    try:
        job.storage.write([record])
    except StorageError as error:
        logger.error("experiment %s could not be marked %s: %s", record.id, status, error)


def _experiment_scores(job: Job, results: list[TestResult]) -> list[ScoreResult]:
    scores: list[ScoreResult] = []
    for function in job.options.get("experiment_scoring_functions") or ():
        name = getattr(function, "__name__", type(function).__name__)
        try:
            scores.extend(normalise(function(results), name=name))
        except Exception as error:  # noqa: BLE001 - user code; becomes a failed score and a warning
            job.warnings.append(
                f"experiment_scoring_functions: {name} raised {type(error).__name__}: {error}"
            )
            scores.append(ScoreResult(name, None, reason=str(error), scoring_failed=True))
    return scores


def _warnings(results: Sequence[TestResult]) -> list[str]:
    errors = [result.error for result in results if result.error is not None]
    if not errors:
        return []
    kinds = sorted({error.exception_type for error in errors})
    text = f"{len(errors)} of {len(results)} tasks failed ({', '.join(kinds)}); "
    return [text + f"the first: {errors[0].message}"]


def stored_items(storage: Storage, experiment_id: str) -> list[ExperimentItem]:
    """Return the items of an experiment, the newest of each (item, trial)."""
    newest: dict[tuple[str, int], ExperimentItem] = {}
    for item in storage.list_experiment_items(experiment_id):
        newest[item.dataset_item_id, item.trial_id] = item
    return list(newest.values())


def earlier_of(storage: Storage, experiment: Experiment, metrics_key: str) -> Earlier:
    """Return what an interrupted run of an experiment left."""
    return sort_out(stored_items(storage, experiment.id), metrics_key=metrics_key)
