"""From what the engine did to a result, and to the experiment's record."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from opik_eval.engine.run import RunOutcome
from opik_eval.errors import StorageError
from opik_eval.evaluation.job import Job
from opik_eval.experiments.result import EvaluationResult, TestResult
from opik_eval.metrics.base import ScoreResult, failed, normalise
from opik_eval.records import Experiment, utc_now

logger = logging.getLogger("opik_eval.evaluation")

_STOPPED = {
    "max_errors": "more tasks failed than max_errors allows",
    "budget": "the budget is spent",
    "storage": "the store failed",
    "fatal": "no item can be evaluated",
}


def result_of_run(
    job: Job, outcome: RunOutcome, *, reused: int, seconds: float
) -> EvaluationResult:
    """Return the result of a run that came to an end, and store how it ended."""
    is_done = outcome.stop_reason == "completed"
    experiment = job.experiment
    result = EvaluationResult(
        experiment_id=experiment.id if experiment else "",
        dataset_id=job.selection.source.dataset.id,
        experiment_name=experiment.name if experiment else None,
        test_results=outcome.results,
        trial_count=job.options["trial_count"],
        experiment_scores=_experiment_scores(job, outcome.results),
        status="completed" if is_done else "failed" if outcome.error else "stopped",
        stop_reason=_STOPPED.get(outcome.stop_reason),
        total_seconds=seconds,
        storage_location=job.storage.location,
        warnings=[*job.warnings, *_warnings(outcome)],
        reused_items=reused,
        higher_is_better={s.name: s.higher_is_better for s in job.scoring.scorers},
    )
    if problem := mark(job, result.status, result):
        result.warnings.append(problem)
    if outcome.stop_reason != "storage":
        flush = job.storage.flush()
        result.flush = replace(flush, rejected=(*flush.rejected, *outcome.refusals))
    return result


def mark(job: Job, status: str, result: EvaluationResult | None = None) -> str | None:
    """Store how a run ended, and what a later reader needs to show it as it was.

    Scoring stored outputs again does not change how the run itself ended.

    Returns:
        What went wrong, if it could not be stored.
    """
    if job.experiment is None:
        return None
    record = _rescored(job, result) if job.task is None else _ended(job, status, result)
    try:
        job.storage.write([record])
    except StorageError as error:
        problem = f"experiment {record.id} could not be marked as {status}: {error}"
        logger.error("%s", problem)
        return problem
    return None


def _ended(job: Job, status: str, result: EvaluationResult | None) -> Experiment:
    experiment = _experiment(job)
    run = dict(experiment.run or {})
    if result is not None:
        run.update(
            stop_reason=result.stop_reason,
            total_seconds=result.total_seconds,
            warnings=result.warnings,
            higher_is_better=result.higher_is_better,
        )
    return Experiment(
        id=experiment.id,
        status=status,
        run=run,
        experiment_scores=_values(result) or None,
        last_updated_at=utc_now(),
    )


def _rescored(job: Job, result: EvaluationResult | None) -> Experiment:
    experiment = _experiment(job)
    run = dict(experiment.run or {})
    known = run.get("higher_is_better")
    if result is not None:
        run["higher_is_better"] = {
            **(known if isinstance(known, dict) else {}),
            **result.higher_is_better,
        }
    return Experiment(
        id=experiment.id,
        run=run,
        experiment_scores={**(experiment.experiment_scores or {}), **_values(result)} or None,
        last_updated_at=utc_now(),
    )


def _experiment(job: Job) -> Experiment:
    assert job.experiment is not None
    return job.experiment


def _values(result: EvaluationResult | None) -> dict[str, float]:
    scores = result.experiment_scores if result else []
    return {s.name: s.value for s in scores if s.is_scored and s.value is not None}


def _experiment_scores(job: Job, results: list[TestResult]) -> list[ScoreResult]:
    scores: list[ScoreResult] = []
    for function in job.options.get("experiment_scoring_functions") or ():
        name = getattr(function, "__name__", type(function).__name__)
        try:
            scores.extend(normalise(function(results), name=name))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - user code; becomes a failed score
            job.warnings.append(
                f"experiment_scoring_functions: {name} raised {type(error).__name__}: {error}"
            )
            scores.append(failed(name, error))
    return scores


def _warnings(outcome: RunOutcome) -> list[str]:
    return [*_of_tasks(outcome.results), *_of_store(outcome)]


def _of_tasks(results: Sequence[TestResult]) -> list[str]:
    errors = [result.error for result in results if result.error is not None]
    if not errors:
        return []
    kinds = sorted({error.exception_type for error in errors})
    text = f"{len(errors)} of {len(results)} tasks failed ({', '.join(kinds)}); "
    return [text + f"the first: {errors[0].message}"]


def _of_store(outcome: RunOutcome) -> list[str]:
    if not outcome.unsaved:
        return []
    reasons = "; ".join(outcome.refusals) or str(outcome.error)
    return [f"{outcome.unsaved} results are not stored: {reasons}"]
