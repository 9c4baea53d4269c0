"""What is particular to ``ParameterOptimizer``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pytest

from opik_eval.models.base import Usage
from opik_optimizer import Budget, ChatPrompt, OptimizationResult, ParameterOptimizer
from opik_optimizer.agent import AgentCall, AgentRun, Prompts
from opik_optimizer.algorithms.parameter.importance import importance_of
from opik_optimizer.errors import SettingsError
from opik_optimizer.space import ParameterSearchSpace
from opik_optimizer.testing.optimizer_contract import essence
from opik_optimizer.testing.task import share

SPACE: dict[str, Any] = {
    "temperature": {"type": "float", "min": 0.0, "max": 2.0},
    "style": {"type": "categorical", "choices": ["plain", "rich"]},
}


@dataclass(frozen=True)
class ParameterAgent:
    """Right the more often, the nearer the temperature is to 0.4; half as often in plain style."""

    best: float = 0.4

    def chance(self, prompt: ChatPrompt) -> float:
        """Return the share of items answered right."""
        given = prompt.model_parameters
        distance = abs(float(given.get("temperature", 1.9)) - self.best)
        style = 1.0 if given.get("style") == "rich" else 0.5
        return max(0.05, 0.9 * style * (1 - distance)) * (0.8 if prompt.model == "fake/slow" else 1)

    async def run(self, call: AgentCall) -> AgentRun:
        """Answer one item."""
        chance = fmean(map(self.chance, call.prompts.values()))
        right = share("item", call.item["question"]) < chance
        tokens = 10 if next(iter(call.prompts.values())).model_parameters.get("style") else 5
        return AgentRun(
            output="yes" if right else "no",
            usage=Usage(total_tokens=tokens),
            cost_usd=None,
            model_calls=1,
            seconds=0.5,
        )

    def fingerprint(self, prompts: Prompts) -> str:
        """Return the key of its setting."""
        return f"parameters {self.best}"

    def check(self, prompts: Prompts) -> None:
        """Accept any prompts."""


def is_yes(dataset_item: Mapping[str, object], llm_output: str) -> float:
    """Score an answer."""
    return float(llm_output == "yes")


def prompt(**parameters: object) -> ChatPrompt:
    """Return a prompt with parameters."""
    return ChatPrompt(user="{question}", model="fake/echo", model_parameters=parameters)


def optimize(
    optimizer: ParameterOptimizer | None = None, given: object = None, **options: Any
) -> OptimizationResult:
    """Run an optimizer on the task of 120 items."""
    items = [{"question": f"item {n}", "answer": "yes"} for n in range(120)]
    optimizer = optimizer or ParameterOptimizer(verbose=0, search_space=SPACE)
    chosen = {
        "agent": ParameterAgent(),
        "storage": "memory:",
        "budget": Budget(metric_calls=900),
        **options,
    }
    return optimizer.optimize_prompt(
        given or prompt(temperature=1.5, style="plain", top_k=40), items, is_yes, **chosen
    )


def test_it_finds_good_parameters() -> None:
    """The best temperature and style are found, and other parameters of the prompt are kept."""
    result = optimize()
    found = result.get_optimized_parameters()
    assert found["style"] == "rich"
    assert abs(float(str(found["temperature"])) - 0.4) < 0.25
    assert result.get_optimized_model_kwargs() == {**found, "top_k": 40}
    assert result.details["optimized_model_kwargs"] == result.get_optimized_model_kwargs()
    assert result.get_optimized_model() == result.details["optimized_model"] == "fake/echo"
    assert result.improvement > 0.4
    assert not result.is_baseline


def test_the_current_values_cost_nothing() -> None:
    """Where the prompt has all parameters, its own values are known from the baseline."""
    result = optimize(budget=None, max_trials=4)
    assert result.trials_charged == 4
    assert result.candidate_id not in {None}
    seed = {"temperature": 1.5, "style": "plain", "top_k": 40}
    kwargs = [t.prompts["chat-prompt"]["model_parameters"] for t in result.trials]
    assert seed not in kwargs


def test_values_that_the_prompt_has_come_first() -> None:
    """Where it has some of them, the first trial has those, and the default of the others."""
    space = {**SPACE, "style": {**SPACE["style"], "default": "rich"}}
    optimizer = ParameterOptimizer(verbose=0, search_space=space)
    result = optimize(optimizer, prompt(temperature=1.5), budget=None, max_trials=3)
    first = result.trials[0].prompts["chat-prompt"]["model_parameters"]
    assert first == {"temperature": 1.5, "style": "rich"}


def test_the_local_phase_stays_near_the_best() -> None:
    """Trials of the second phase lie in a window around the best of the first one."""
    result = optimize()
    stages = result.details["search_stages"]
    assert [stage["stage"] for stage in stages] == ["global", "local"]
    first, second = result.rounds
    best = first.details["best_candidate"]
    by_id = {t.candidate_id: t.prompts["chat-prompt"]["model_parameters"] for t in first.trials}
    middle = by_id[best]["temperature"]
    local = [t.prompts["chat-prompt"]["model_parameters"]["temperature"] for t in second.trials]
    assert local
    assert all(abs(value - middle) <= 0.2 + 1e-9 for value in local)


def test_where_the_baseline_is_returned_its_values_are() -> None:
    """If nothing is better, the parameters of the result are those the prompt had."""
    result = optimize(given=prompt(temperature=0.4, style="rich"))
    assert result.is_baseline
    assert result.get_optimized_parameters() == {"temperature": 0.4, "style": "rich"}


def test_importance_names_what_mattered() -> None:
    """A parameter without effect has the least importance; the shares add up to 1."""
    space = {**SPACE, "dummy": {"type": "float", "min": 0, "max": 1}}
    optimizer = ParameterOptimizer(verbose=0, search_space=space)
    result = optimize(optimizer, budget=Budget(metric_calls=2000), racing=False)
    importance = result.details["parameter_importance"]
    assert sum(importance.values()) == pytest.approx(1, abs=1e-5)
    assert min(importance, key=lambda name: importance[name]) == "dummy"


def test_conditional_parameters_exist_where_they_should() -> None:
    """A parameter with a condition is set only where the condition holds."""
    space = {**SPACE, "depth": {"type": "int", "min": 1, "max": 9, "when": {"style": "rich"}}}
    result = optimize(ParameterOptimizer(verbose=0, search_space=space))
    seen = [t.prompts["chat-prompt"]["model_parameters"] for t in result.trials if t.candidate_id]
    assert {("depth" in values) for values in seen} == {True, False}
    assert all(("depth" in values) == (values["style"] == "rich") for values in seen)


def test_models_are_a_choice_and_a_small_space_ends() -> None:
    """A finite space is searched once: no point twice, and the run is complete."""
    space = {"model": {"choices": ["fake/echo", "fake/slow"], "target": "model"}}
    space["style"] = SPACE["style"]
    optimizer = ParameterOptimizer(verbose=0, search_space=space)
    result = optimize(optimizer, prompt(temperature=0.5, style="plain"), budget=None, max_trials=50)
    assert result.stop_reason == "completed"
    assert len(result.trials) == 3
    assert result.get_optimized_model() == "fake/echo"
    assert result.get_optimized_parameters() == {"model": "fake/echo", "style": "rich"}


def test_each_prompt_of_a_bundle_has_its_own_values() -> None:
    """``per_prompt`` parameters are searched for each prompt, under names that say which."""
    spec = {"type": "float", "min": 0.0, "max": 2.0, "per_prompt": True}
    optimizer = ParameterOptimizer(verbose=0, search_space={"temperature": spec})
    bundle = {"plan": prompt(style="rich"), "act": prompt(style="rich")}
    result = optimize(optimizer, bundle)
    assert {*result.get_optimized_parameters()} == {"plan.temperature", "act.temperature"}


def test_several_objectives_give_a_front() -> None:
    """With ``minimize`` the details have what no other point beats in score and size."""
    optimizer = ParameterOptimizer(verbose=0, search_space=SPACE, minimize=["tokens"])
    result = optimize(optimizer, prompt(temperature=1.5))
    front = result.details["front"]
    assert [row["score"] for row in front] == sorted((r["score"] for r in front), reverse=True)
    assert [row["tokens"] for row in front] == sorted((r["tokens"] for r in front), reverse=True)
    assert front[0]["score"] == result.score
    assert {row["tokens"] for row in front} == {5, 10}


def test_an_unknown_cost_is_a_failed_trial_not_a_crash() -> None:
    """Costs that nobody knows cannot be minimised; the search goes on by chance."""
    optimizer = ParameterOptimizer(verbose=0, search_space=SPACE, minimize=["cost_usd"])
    result = optimize(optimizer)
    assert result.trials
    assert all("cost_usd" not in row for row in result.details["front"])


def test_optimize_parameter_is_an_alias() -> None:
    """Opik's method takes the space, does the same, and leaves the optimizer as it was."""
    optimizer = ParameterOptimizer(verbose=0, default_n_trials=5)
    items = [{"question": f"item {n}", "answer": "yes"} for n in range(120)]
    given = prompt(temperature=1.5, style="plain")
    result = optimizer.optimize_parameter(
        given, items, is_yes, SPACE, agent=ParameterAgent(), storage="memory:"
    )
    assert result.trials_charged == 5
    assert {*result.get_optimized_parameters()} == {"temperature", "style"}
    assert optimizer.parameters.search_space is None
    again = optimizer.optimize_parameter(
        given, items, is_yes, agent=ParameterAgent(), storage="memory:", max_trials=2
    )
    assert again.trials_charged == 2


def test_a_result_can_be_optimized_further() -> None:
    """A result is taken for its prompt, parameters and all."""
    first = optimize(alpha=1.0)
    second = optimize(given=first, budget=None, max_trials=2)
    assert second.initial_prompts == first.prompts
    assert second.initial_score == first.score


def test_workers_make_no_difference() -> None:
    """One seed gives one history, at 1 and 32 workers."""
    runs = [
        optimize(ParameterOptimizer(verbose=0, search_space=SPACE, n_threads=workers))
        for workers in (1, 32)
    ]
    assert essence(runs[0]) == essence(runs[1])


@pytest.mark.parametrize(
    "options",
    [
        {"local_search_ratio": 1.5},
        {"local_search_scale": 0},
        {"default_n_trials": 0},
        {"minimize": ["beauty"]},
        {"search_space": {}},
        {"search_space": {"x": {"type": "float"}}},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    """The constructor refuses what cannot work."""
    with pytest.raises(SettingsError):
        ParameterOptimizer(**options)


def test_a_parameter_of_an_unknown_prompt_is_refused() -> None:
    """A space that names a prompt which is not there is an error."""
    space = {"temperature": {"type": "float", "min": 0, "max": 1, "prompt": "planner"}}
    with pytest.raises(SettingsError, match="planner"):
        optimize(ParameterOptimizer(verbose=0, search_space=space))


def test_importance_by_hand() -> None:
    """The shares are the adjusted variance between groups; without evidence there are none."""
    space = ParameterSearchSpace(
        {"c": {"choices": ["a", "b"]}, "rare": {"choices": ["a", "b"]}, "x": SPACE["temperature"]}
    )
    points = [
        ({"c": "a", "x": 0.1}, 0.1),
        ({"c": "b", "x": 0.2}, 0.5),
        ({"c": "a", "x": 0.3}, 0.2),
        ({"c": "b", "x": 0.4, "rare": "a"}, 0.6),
    ]
    # c: means .15 and .55, between 4 * .2^2 = .16, total .17, by chance .01 / 2: .155 / .17.
    # x: ranges {.1, .2}, {.3}, {.4}: means .3, .2, .6; between .09; by chance 2 * .08 / 1: none.
    assert importance_of(space, points) == {"c": 1.0, "rare": 0.0, "x": 0.0}
    assert importance_of(space, points[:3]) == {}
    assert importance_of(space, [(values, 0.5) for values, _ in points]) == {}
    peak = [({"x": n / 12, "c": "ab"[n % 2]}, 1 - abs(n - 6) / 6) for n in range(12)]
    assert importance_of(space, peak)["x"] > 0.9
