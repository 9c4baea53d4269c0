"""The probe on simulated tasks: what it says of them, what it costs, when it is left out."""

from __future__ import annotations

from statistics import fmean
from typing import cast

import pytest

from benchmarks.optimizers.simulation.catalogue import make_task
from benchmarks.optimizers.simulation.model import simulated_model
from benchmarks.optimizers.simulation.task import SimulatedTask
from opik_eval.errors import AuthenticationError
from opik_eval.metrics.base import ScoreResult
from opik_eval.models.base import Model
from opik_eval.models.client import ChatModel
from opik_eval.models.fake import ScriptedTransport
from opik_optimizer import Budget, ChatPrompt
from opik_optimizer.optimizer import BaseOptimizer
from opik_optimizer.result import OptimizationResult
from opik_optimizer.session import Session


class ProbeAlone(BaseOptimizer):
    """An optimizer that searches nothing."""

    searched = False

    async def search(self, session: Session) -> None:
        type(self).searched = True


def probed(
    task: SimulatedTask, *, calls: int = 400, writer: Model | None = None, **options: object
) -> OptimizationResult:
    model = simulated_model(task)

    def correct(dataset_item: dict[str, str], llm_output: str) -> ScoreResult:
        value, reason = task.metric(dataset_item, llm_output)
        return ScoreResult("correct", value, reason=reason)

    system = next(iter(task.seed_prompts.values()))
    return ProbeAlone(
        writer or model, verbose=0, seed=task.seed, perfect_score=1.0
    ).optimize_prompt(
        ChatPrompt(name="answer", system=system, user="{question}", model=model),
        task.train,
        correct,
        validation_dataset=task.validation,
        holdout=False,
        budget=Budget(metric_calls=calls),
        storage="memory:",
        **{"probe": True, **options},  # type: ignore[arg-type]
    )


def report(result: OptimizationResult) -> dict[str, object]:
    return cast("dict[str, object]", result.details["probe"])


def test_where_nothing_helps_it_says_stop() -> None:
    """On the null task nearly all probes say stop, and ``stop`` ends the run before the search."""
    verdicts = [report(probed(make_task("null", seed=seed)))["verdict"] for seed in range(8)]
    assert verdicts.count("stop") >= 7
    ProbeAlone.searched = False
    result = probed(make_task("null", seed=0), probe="stop")
    assert (result.stop_reason, ProbeAlone.searched) == ("no_headroom", False)
    assert result.is_baseline


def test_where_rules_help_it_says_go() -> None:
    """On the task of rules nearly all say go, and what the probe wrote is where a search begins."""
    results = [probed(make_task("rules", seed=seed)) for seed in (0, 1, 3, 4, 5, 6, 7, 8)]
    assert [report(result)["verdict"] for result in results].count("go") >= 7
    assert max(result.score - result.initial_score for result in results) > 0.2
    trials = results[0].rounds[0].trials
    assert any(trial.reason.startswith("probe:") for trial in trials)


def test_the_noise_is_found_with_few_calls() -> None:
    """Where answers are drawn anew, σ is found within a fifth; where not, one look is enough."""
    for seed in range(4):
        task = make_task("noisy", seed=seed)
        found = report(probed(task))
        traits = task.traits(task.seed_prompts)
        items = [task._items[record["id"]] for record in task.validation]
        chances = [task.landscape.probability(traits, item) for item in items]
        true = fmean(p * (1 - p) for p in chances) ** 0.5
        assert found["noise"] == pytest.approx(true, rel=0.2)
        assert found["metric_calls"] == 24 + 40 + 40
    steady = report(probed(make_task("rules", seed=0)))
    assert (steady["noise"], steady["metric_calls"]) == (0.0, 24 + 20 + 40)


def test_a_small_budget_is_not_spent_on_the_probe() -> None:
    """A probe that may take more than half of what is left is left out, and the result says so."""
    result = probed(make_task("rules", seed=0), calls=200)
    assert "probe" not in result.details
    assert any("no probe" in warning for warning in result.warnings)


def test_a_model_out_of_reach_says_nothing_of_headroom() -> None:
    """Where no question is answered the verdict is open, and the run goes on."""
    task = make_task("rules", seed=0)
    absent = ChatModel(
        name="fake/absent", transport=ScriptedTransport([AuthenticationError("no key")] * 9)
    )
    result = probed(task, writer=absent)
    assert report(result)["verdict"] == "unknown"
    assert result.stop_reason == "completed"
