"""The result of a run, built from one record of one evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opik_eval.statistics import mean_interval
from opik_optimizer.result import Interval, OptimizationResult, PairedTest, PhaseUsage

if TYPE_CHECKING:
    from opik_eval.statistics import Estimate, PairedComparison
    from opik_optimizer.candidate import Candidate
    from opik_optimizer.evaluation import Evaluation
    from opik_optimizer.evaluator import UsageBook
    from opik_optimizer.history import Round
    from opik_optimizer.selection import Selection
    from opik_optimizer.splits import Splits


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a result says beside its scores."""

    optimizer: str
    metric_name: str
    optimization_id: str
    stop_reason: str
    splits: Splits
    rounds: tuple[Round, ...]
    usage: UsageBook
    is_bundle: bool
    trials: int
    metric_calls: int
    seconds: float
    seed: int
    warnings: Sequence[str] = ()
    project_name: str | None = None
    storage_location: str | None = None
    details: dict[str, object] = field(default_factory=dict)


def build_result(baseline: Evaluation, selection: Selection, facts: Facts) -> OptimizationResult:
    """Return the result of a run.

    Args:
        baseline: The initial prompt on the validation sample.
        selection: What is returned, and what may be said of it.
        facts: Everything else.
    """
    winner, holdout = selection.winner, selection.holdout
    splits, usage = facts.splits, facts.usage
    phases = usage.report()
    return OptimizationResult(
        optimizer=facts.optimizer,
        metric_name=facts.metric_name,
        prompts=_prompts(winner.candidate),
        is_bundle=facts.is_bundle,
        score=winner.score,
        interval=_interval_of(winner),
        estimate=_estimate(selection),
        initial_prompts=_prompts(baseline.candidate),
        initial_score=baseline.score,
        initial_interval=_interval_of(baseline),
        holdout_score=_interval(holdout.score) if holdout else None,
        initial_holdout_score=_interval(holdout.initial_score) if holdout else None,
        p_value=selection.p_value,
        validation_test=_test(selection.validation),
        holdout_test=_test(holdout.comparison) if holdout else None,
        is_baseline=selection.is_baseline,
        stop_reason=facts.stop_reason,
        selection_reason=selection.reason,
        candidate_id=winner.candidate.id,
        evaluation_id=winner.id,
        optimization_id=facts.optimization_id,
        project_name=facts.project_name,
        dataset_name=splits.sources[0].name if splits.sources else None,
        experiment_ids=_experiments(facts.rounds),
        storage_location=facts.storage_location,
        train_ids=splits.train,
        validation_ids=splits.validation,
        holdout_ids=splits.holdout,
        overlaps=tuple(map(str, splits.overlaps)),
        warnings=tuple(facts.warnings),
        rounds=facts.rounds,
        trials_charged=facts.trials,
        metric_calls=facts.metric_calls,
        llm_calls=sum(phase.model_calls for phase in phases.values()),
        llm_calls_tools=usage.tool_calls,
        tokens=sum(phase.tokens for phase in phases.values()),
        cost_usd=_total_cost(phases.values()),
        seconds=facts.seconds,
        phases=phases,
        seed=facts.seed,
        details=facts.details,
    )


def _prompts(candidate: Candidate) -> dict[str, dict[str, object]]:
    return {name: prompt.to_dict() for name, prompt in candidate.prompts.items()}


def _interval_of(evaluation: Evaluation) -> Interval:
    estimate = mean_interval(list(evaluation.scores_by_item.values()))
    return _interval(estimate, failed=evaluation.failed)


def _interval(estimate: Estimate, failed: int = 0) -> Interval:
    return Interval(
        mean=estimate.mean, low=estimate.low, high=estimate.high, n=estimate.n, failed=failed
    )


def _estimate(selection: Selection) -> Interval:
    n = len(selection.winner.scores_by_item)
    return Interval(mean=selection.estimate, low=selection.low, high=selection.high, n=n)


def _test(comparison: PairedComparison) -> PairedTest:
    names = PairedTest.model_fields
    return PairedTest(**{name: getattr(comparison, name) for name in names})


def _experiments(rounds: Iterable[Round]) -> tuple[str, ...]:
    ids = (trial.experiment_id for entry in rounds for trial in entry.trials)
    return tuple(dict.fromkeys(found for found in ids if found is not None))


def _total_cost(phases: Iterable[PhaseUsage]) -> float | None:
    costs = [phase.cost_usd for phase in phases if phase.cost_usd is not None]
    return math.fsum(costs) if costs else None
