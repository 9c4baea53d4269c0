"""MetaPromptOptimizer: the battery, and what is particular to it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from opik_eval.models.base import ModelRequest
from opik_eval.models.client import ChatModel
from opik_eval.models.fake import FunctionTransport
from opik_optimizer import Budget, MetaPromptOptimizer
from opik_optimizer.errors import SettingsError
from opik_optimizer.result import OptimizationResult
from opik_optimizer.testing.optimizer_contract import OptimizerContract
from opik_optimizer.testing.task import SimulatedAgent, SimulatedTask, simulated_reflection


class TestMetaPromptOptimizer(OptimizerContract):
    """The battery, with rounds small enough for its budgets."""

    kill_points = 10
    metric_calls = 140

    def make_optimizer(self, **options: Any) -> MetaPromptOptimizer:
        given = {"num_task_examples": 6, "prompts_per_round": 3, **options}
        return MetaPromptOptimizer(**given)


def asked(request: ModelRequest) -> str:
    """Return all that a request says."""
    return "\n".join(str(message["content"]) for message in request.messages)


def scripted(replies: list[dict[str, object]], seen: list[str]) -> ChatModel:
    """Return a reflection model with given replies, the last one for ever; it keeps the texts."""

    def reply(request: ModelRequest) -> str:
        seen.append(asked(request))
        if "Name up to" in seen[-1]:
            return json.dumps({"traits": ["says the rule first"]})
        return json.dumps(replies[min(len(seen), len(replies)) - 1])

    return ChatModel(name="fake/scripted", transport=FunctionTransport(reply))


def optimize(
    optimizer: MetaPromptOptimizer, task: SimulatedTask | None = None, **options: Any
) -> OptimizationResult:
    task = task or SimulatedTask(items=40)
    return optimizer.optimize_prompt(
        task.prompt(),
        task.dataset(),
        task.metric,
        **{"storage": "memory:", "agent": SimulatedAgent(task), "alpha": 1.0, **options},
    )


def test_defaults_reach_patterns_and_syntheses() -> None:
    """With the default number of trials the hall of fame is used, not only filled."""
    seen: list[str] = []
    inner = simulated_reflection()

    class Watching:
        name = inner.name

        async def generate(self, messages: Any, **given: Any) -> Any:
            seen.append("\n".join(str(message["content"]) for message in messages))
            return await inner.generate(messages, **given)

        def generate_sync(self, messages: Any, **given: Any) -> Any:
            raise AssertionError("not used")

    optimizer = MetaPromptOptimizer(Watching(), verbose=0, proposals_in_flight=1)
    result = optimize(optimizer, SimulatedTask(items=60, rules=8))
    assert any("Name up to" in text for text in seen)
    assert any("joins what is good" in text for text in seen)
    assert any(trial.operator == "synthesis" for trial in result.trials)


def test_the_proposer_sees_failures_with_their_reasons_and_the_history() -> None:
    """Inputs, outputs, expected answers and reasons are in the text; history ascends."""
    seen: list[str] = []
    model = scripted(
        [
            {"prompts": [{"prompt": "Answer well. Always mention the amber.", "idea": "amber"}]},
            {"prompts": [{"prompt": "Answer well. Always mention the birch.", "idea": "birch"}]},
        ],
        seen,
    )
    optimizer = MetaPromptOptimizer(model, verbose=0, proposals_in_flight=1)
    task = SimulatedTask(items=40, hints=1.0)
    result = optimize(optimizer, task, max_trials=3)
    first, later = seen[0], seen[-1]
    assert "score: 0" in first
    assert "reason:" in first
    assert "Always mention the" in first.split("<answer", 1)[1]
    scores = [float(part.split('"')[0]) for part in later.split('<tried score="')[1:]]
    assert scores == sorted(scores)
    assert [trial.note for trial in result.trials if trial.note] != []


def test_a_proposal_that_loses_the_placeholder_is_refused_before_it_costs() -> None:
    """The guard's reason is in the history, and nothing was run for the refused prompt."""
    model = scripted([{"prompts": [{"prompt": "", "idea": "nothing"}]}], [])
    optimizer = MetaPromptOptimizer(model, verbose=0)
    result = optimize(optimizer, max_trials=4)
    assert result.is_baseline
    assert result.stop_reason == "weak_reflection_model"
    assert {trial.decision for trial in result.trials} <= {"refused", "failed"}


def test_no_more_races_than_asked_for() -> None:
    """Of a round's prompts only the best of the screening go on to the validation sample."""
    optimizer = MetaPromptOptimizer(
        simulated_reflection(), verbose=0, prompts_per_round=4, races_per_round=1
    )
    result = optimize(optimizer, budget=Budget(metric_calls=300))
    for entry in result.rounds:
        raced = [t for t in entry.trials if t.split == "validation"]
        assert len(raced) <= 1


def test_rounds_without_a_new_best_end_the_search() -> None:
    """Patience is counted in rounds, and is the stated reason."""
    optimizer = MetaPromptOptimizer(simulated_reflection(), verbose=0, no_improvement_rounds=2)
    result = optimize(optimizer, SimulatedTask(items=40, null=True), max_trials=None)
    assert result.stop_reason in ("no_improvement", "no_usable_proposals")


@pytest.mark.parametrize(
    "wrong", [{"prompts_per_round": 0}, {"hall_of_fame_size": 1}, {"races_per_round": True}]
)
def test_parameters_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    """The error names the parameter and its least value."""
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        MetaPromptOptimizer("fake/echo", **wrong)
