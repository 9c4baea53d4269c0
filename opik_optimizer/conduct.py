"""The course of a run: baseline, search, holdout, result."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Sequence
from dataclasses import asdict

from opik_eval.errors import BudgetExceededError
from opik_eval.models.context import use_models
from opik_optimizer.budget import stop_reason_of
from opik_optimizer.errors import OptimizerError, WeakReflectionError
from opik_optimizer.evaluation import Evaluation
from opik_optimizer.events import (
    BaselineEvaluated,
    ProbeFinished,
    RunFailed,
    RunFinished,
    RunStarted,
    SearchStopped,
    WinnerSelected,
)
from opik_optimizer.job import Job
from opik_optimizer.outcome import Facts, build_result
from opik_optimizer.probing import metric_calls_of_probe, run_probe
from opik_optimizer.reserve import LARGEST_SHARE, Reserve, keep_back
from opik_optimizer.result import OptimizationResult
from opik_optimizer.selection import Selection, select_winner
from opik_optimizer.session import Session


async def conduct(job: Job) -> OptimizationResult:
    """Carry a run out.

    Raises:
        OptimizerError: The initial prompt cannot be scored, or the algorithm has a defect.
        BudgetExhaustedError: The budget does not even cover the initial prompt.
        StorageError: Something could not be stored.
    """
    with use_models(budget=job.ground.models):
        try:
            _start(job)
            return await _conduct(job)
        except BaseException as error:
            await _close(job, error)
            raise
        finally:
            job.threads.shutdown()


async def _close(job: Job, error: BaseException) -> None:
    """Store what there is before a run ends with an error; it must not hide that error."""
    status = "error" if isinstance(error, Exception) else "cancelled"
    try:
        await job.flush()
        job.events.emit(RunFailed(optimization_id=job.optimization_id, error=error, status=status))
    except Exception as another:  # noqa: BLE001 - the first error is the one to raise
        error.add_note(f"besides, the end of the run could not be stored: {another}")


async def _conduct(job: Job) -> OptimizationResult:
    if "scipy.special" not in sys.modules:  # the statistics of the end load while models answer
        job.threads.submit(importlib.import_module, "scipy.special")
    baseline = await _baseline(job)
    session = _session(job, baseline)
    reserve = _keep_for_holdout(job, baseline)
    await _search(job, session)
    job.events.emit(SearchStopped(optimization_id=job.optimization_id, reason=_stop_reason(job)))
    finalists = _finalists(job, session)
    holdout = await _holdout(job, reserve, baseline, finalists)
    selection = select_winner(
        baseline,
        finalists,
        holdout=holdout,
        compared=session.complete,
        alpha=job.settings.alpha,
        seed=job.settings.seed,
    )
    job.events.emit(WinnerSelected(optimization_id=job.optimization_id, selection=selection))
    result = _result(job, baseline, selection, session)
    job.events.emit(RunFinished(optimization_id=job.optimization_id, result=result))
    return result


def _start(job: Job) -> None:
    ground = job.ground
    ground.models.reserve(requests=0).release()  # the clock of a time limit starts here
    job.events.emit(
        RunStarted(
            optimization_id=job.optimization_id,
            optimizer=type(job.optimizer).__name__,
            metric_name=ground.objective.name,
            train_items=len(ground.splits.train),
            validation_items=len(ground.splits.validation),
            holdout_items=len(ground.splits.holdout),
            limits=ground.limits.limits(),
            resumed=job.resumed,
        )
    )
    for note in (*map(str, ground.splits.overlaps), *ground.splits.notes):
        job.warn(note)


async def _baseline(job: Job) -> Evaluation:
    ground = job.ground
    seed, ids = ground.seed_candidate, ground.splits.validation
    ground.account.exempt(seed.id)
    try:
        baseline = await job.evaluator.evaluate(
            seed, ids, split="validation", phase="baseline", spend=ground.account.charge
        )
    except BudgetExceededError as error:
        error.remedy = (
            f"the initial prompt alone needs {len(ids)} metric calls: raise the budget, or lower "
            "n_samples"
        )
        raise
    if baseline.failed == len(baseline.results):
        job.evaluator.ledger.forget(job.evaluator.keys(seed, ids))
        raise OptimizerError(
            f"the initial prompt failed on all {len(ids)} items: {baseline.results[0].error}",
            remedy="make it work on one item first; nothing of this is kept, so run again then",
        )
    job.events.emit(BaselineEvaluated(optimization_id=job.optimization_id, evaluation=baseline))
    if job.settings.skip_perfect_score and baseline.score >= job.settings.perfect_score:
        job.switch.stop("perfect_score")
    return baseline


def _session(job: Job, baseline: Evaluation) -> Session:
    ground = job.ground
    return Session(
        job.workshop,
        settings=job.settings,
        splits=ground.splits,
        objective=ground.objective,
        baseline=baseline,
        account=ground.account,
        switch=job.switch,
    )


def _keep_for_holdout(job: Job, baseline: Evaluation) -> Reserve | None:
    size = len(job.ground.splits.holdout)
    if not size or job.switch.reason is not None:
        return None
    reserve = keep_back(job.ground, baseline, finalists=job.settings.finalists)
    if reserve is None:
        job.warn(
            f"the holdout of {size} items is not scored: it would take more than "
            f"{LARGEST_SHARE:.0%} of the budget"
        )
    return reserve


async def _probe(job: Job, session: Session) -> None:
    wanted = job.given.get("probe", False)
    if not wanted or job.switch.reason is not None:
        return
    needed, left = metric_calls_of_probe(session), session.remaining.metric_calls
    if left is not None and 2 * needed > left:
        job.warn(f"no probe: it may take {needed} metric calls, and {left} are left for all")
        return
    report = await run_probe(session, job.ground, job.optimizer.probe_candidates)
    job.events.emit(ProbeFinished(optimization_id=job.optimization_id, report=report))
    session.details["probe"] = asdict(report)
    if wanted == "stop" and report.verdict == "stop":
        job.switch.stop("no_headroom")


async def _search(job: Job, session: Session) -> None:
    try:
        await _probe(job, session)
        if job.switch.reason is None:
            await job.optimizer.search(session)
    except WeakReflectionError as error:
        job.warn(str(error))
        job.switch.stop(error.stop_reason)
    except BudgetExceededError as error:
        job.switch.stop(stop_reason_of(error) or error.limit)


def _finalists(job: Job, session: Session) -> list[Evaluation]:
    """Return the best complete evaluations that beat the baseline, best first."""
    better = [e for e in session.complete if e.score > session.baseline.score]
    better.sort(key=lambda evaluation: evaluation.score, reverse=True)
    return better[: job.settings.finalists]


async def _holdout(
    job: Job, reserve: Reserve | None, baseline: Evaluation, finalists: Sequence[Evaluation]
) -> dict[str, Evaluation]:
    """Score baseline and finalists on the holdout, as many as the reserve pays for."""
    if reserve is None:
        return {}
    reserve.models.release()  # to be spent now
    found: dict[str, Evaluation] = {}
    scored = await asyncio.gather(
        *(
            job.evaluator.evaluate(
                evaluation.candidate,
                job.ground.splits.holdout,
                split="holdout",
                phase="holdout",
                spend=lambda keys, _: reserve.lease.take(keys),
            )
            for evaluation in (baseline, *finalists)[: reserve.candidates if finalists else 0]
        ),
        return_exceptions=True,
    )
    for outcome in scored:
        if isinstance(outcome, BudgetExceededError):
            job.warn(f"the holdout is not scored in full: {outcome.message}")
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            found[outcome.candidate.id] = outcome
    reserve.lease.settle()
    return found


def _result(
    job: Job, baseline: Evaluation, selection: Selection, session: Session
) -> OptimizationResult:
    ground = job.ground
    facts = Facts(
        optimizer=type(job.optimizer).__name__,
        metric_name=ground.objective.name,
        optimization_id=job.optimization_id,
        stop_reason=_stop_reason(job),
        splits=ground.splits,
        rounds=job.history.rounds(),
        usage=job.evaluator.usage,
        is_bundle=ground.is_bundle,
        trials=ground.account.trials,
        metric_calls=ground.account.metric_calls,
        seconds=ground.clock.now() - job.started,
        seed=job.settings.seed,
        warnings=job.warnings,
        project_name=job.given.get("project_name"),
        storage_location=ground.storage.location,
        details=session.details | session.details_of.get(selection.winner.candidate.id, {}),
    )
    result = build_result(baseline, selection, facts)
    prompts = ground.seed_candidate.prompts.items()
    result.keep_functions({name: p.function_map for name, p in prompts if p.function_map})
    return result


def _stop_reason(job: Job) -> str:
    return job.switch.reason or "completed"
