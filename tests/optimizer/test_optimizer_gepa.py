"""GEPA passes the battery, and does what is its own."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

from benchmarks.optimizers.contest import Job, run_job
from benchmarks.optimizers.peers.ours_peer import run as run_ours
from opik_eval.models.client import ChatModel
from opik_eval.models.fake import FunctionTransport
from opik_optimizer import Budget, ChatPrompt, GepaOptimizer
from opik_optimizer.algorithms.gepa.options import GepaOptions
from opik_optimizer.testing.optimizer_contract import OptimizerContract, essence
from opik_optimizer.testing.task import (
    SimulatedAgent,
    SimulatedTask,
    rule,
    simulated_reflection,
)

OWN = {field.name for field in fields(GepaOptions)}


class TestGepaOptimizer(OptimizerContract):
    """The defaults, and a budget that lasts for a few proposals."""

    metric_calls = 160
    kill_points = 12
    own_stop_reasons = frozenset({"no_improvement"})

    def make_optimizer(self, **options):
        return GepaOptimizer(**options)


class TestGepaWithManyInFlight(OptimizerContract):
    """Several proposals at once, merges of members, gepa's own sampler and acceptance."""

    metric_calls = 240
    kill_points = 4

    def make_optimizer(self, **options):
        return GepaOptimizer(
            **{
                "proposals_in_flight": 3,
                "siblings": 1,
                "reflection_minibatch_size": 3,
                "batch_sampler": "epoch_shuffled",
                "module_selector": "round_robin",
                "acceptance_criterion": "improvement_or_equal",
                "candidate_selection_strategy": "pareto",
                **options,
            }
        )


def asking(seen: list[str], reply) -> ChatModel:
    """Return a reflection model that notes what it is asked."""

    def answer(request) -> str:
        text = "\n".join(str(message["content"]) for message in request.messages)
        seen.append(text)
        return json.dumps({"prompt": reply(len(seen), text)})

    return ChatModel(
        name="fake/reflector",
        transport=FunctionTransport(answer, features=frozenset({"json_schema", "seed"})),
    )


def optimize(task: SimulatedTask, model: object = None, **options: Any):
    """Run GEPA on a task; options that the constructor knows go there."""
    there = {k: options.pop(k) for k in list(options) if k in OWN}
    optimizer = GepaOptimizer(model or simulated_reflection(), verbose=0, **there)
    return optimizer.optimize_prompt(
        options.pop("prompt", None) or task.prompt(),
        task.dataset(),
        task.metric,
        **{
            "agent": SimulatedAgent(task),
            "storage": "memory:",
            "budget": Budget(metric_calls=400),
            **options,
        },
    )


@pytest.mark.parametrize(
    "option",
    [
        *({"frontier_type": kind} for kind in ("objective", "hybrid", "cartesian")),
        *(
            {"candidate_selection_strategy": choice}
            for choice in ("pareto", "current_best", "epsilon_greedy", "top_k_pareto")
        ),
        {"use_merge": False},
        {"siblings": 1},
    ],
    ids=str,
)
def test_every_option_finds_the_rules(option: dict[str, Any]) -> None:
    """Whatever the fronts, parents and merges, the simulated task is solved."""
    task = SimulatedTask(items=60)
    assert task.true_score(optimize(task, **option).prompt) > 0.85


def test_reflection_sees_all_columns_and_reasons() -> None:
    """The question holds the text, the inputs, the answers, the scores and the metric's reasons."""
    seen: list[str] = []
    task = SimulatedTask(items=40, hints=1.0)
    optimize(task, asking(seen, lambda n, _: f"Answer. {rule(n)}"), max_trials=4)
    assert "Answer the question." in seen[0]
    for column in ("question: Question", "expected: a", "score: 0", "reason: Always mention the"):
        assert seen[0].count(column) == 8


def test_what_was_tried_is_told() -> None:
    """Texts that did not pass are shown to the next reflection on the same parent."""
    seen: list[str] = []
    task = SimulatedTask(items=40)
    optimize(task, asking(seen, lambda n, _: f"Useless text number {n}."), max_trials=3)
    assert "Useless text number 1." in seen[1]
    assert "Useless text number 1." not in seen[0]


def test_n_samples_minibatch_goes_before_the_option() -> None:
    """A run can say how many failures are shown."""
    seen: list[str] = []
    task = SimulatedTask(items=40)
    model = asking(seen, lambda n, _: f"Answer. {rule(n)}")
    optimize(task, model, max_trials=2, n_samples_minibatch=3)
    assert seen[0].count("expected: a") == 3


def test_siblings_are_joined_before_they_are_validated() -> None:
    """Children that pass their gates with different additions race as one candidate."""
    task = SimulatedTask(items=60, hints=1.0)
    seen: list[str] = []

    def one_rule(_: int, text: str) -> str:
        known = text.split("<present>")[1].split("</present>")[0].strip()
        hinted = text.split("</rest>")[-1]
        new = next((rule(n) for n in range(4) if rule(n) in hinted and rule(n) not in known), "")
        return f"{known} {new}"

    result = optimize(task, asking(seen, one_rule), siblings=3, reflection_minibatch_size=2)
    joined = [t for t in result.trials if t.operator == "merge" and t.split == "validation"]
    assert joined
    assert any("joins" in t.reason for t in joined)


def test_two_proposals_build_on_each_other() -> None:
    """What a proposal found is put on top of what the one before it brought, before it races."""
    task = SimulatedTask(items=120, hints=1.0)
    result = optimize(task, budget=Budget(metric_calls=700), use_merge=False)
    tops = [t for t in result.trials if "on top of" in (t.note or "")]
    assert tops
    accepted = {t.candidate_id for t in result.trials if t.decision == "accepted"}
    assert all(t.parents[0] in accepted for t in tops)


def test_what_a_newer_member_has_already_is_not_raced() -> None:
    """Two proposals that come to the same text cost one race."""
    task = SimulatedTask(items=120, hints=1.0)
    both = " ".join(rule(number) for number in range(6))
    model = asking([], lambda n, _: f"Answer the question. {both}")
    result = optimize(task, model, budget=Budget(metric_calls=700), no_improvement_iterations=4)
    raced = [t for t in result.trials if t.split == "validation"]
    assert len({t.candidate_id for t in raced}) == len(raced)


def test_scarce_trials_go_to_one_child_at_a_time() -> None:
    """Where trials are limited to a few, no sibling takes one."""
    task = SimulatedTask(items=40)
    result = optimize(task, max_trials=6, budget=None)
    assert result.trials_charged <= 6
    assert not any(trial.operator == "merge" for trial in result.trials)


def test_it_ends_where_nothing_gets_better() -> None:
    """``no_improvement_iterations`` proposals without a new best end the search."""
    task = SimulatedTask(items=40)
    seen: list[str] = []
    model = asking(seen, lambda n, _: f"Useless text number {n}.")
    result = optimize(task, model, no_improvement_iterations=3, siblings=1)
    assert result.stop_reason == "no_improvement"
    assert len(seen) == 3


def test_a_model_that_gives_no_json_is_named() -> None:
    """A reflection model that never has a usable reply ends the run with a clear statement."""
    model = ChatModel(name="tiny", transport=FunctionTransport(lambda _: "Sure, here you go!"))
    result = optimize(SimulatedTask(items=40), model)
    assert result.stop_reason == "weak_reflection_model"
    assert result.is_baseline
    assert any("tiny is too weak" in warning for warning in result.warnings)


def test_user_messages_can_be_rewritten() -> None:
    """With the role ``user`` the placeholder is named to the model, and stays."""
    seen: list[str] = []
    task = SimulatedTask(items=60, hints=1.0)
    prompt = ChatPrompt(system="Help.", user="Answer this: {question}", model="fake/echo")
    model = asking(
        seen,
        lambda n, _: "Answer: {question} " + " ".join(rule(k) for k in range(4) if k != n % 4),
    )
    result = optimize(task, model, prompt=prompt, optimize_prompts="user")
    assert "the part named `chat-prompt/user/1`" in seen[0]
    assert "(question)" in seen[0]
    assert result.prompt.system == "Help."
    assert not result.is_baseline
    assert "{question}" in str(result.prompt.user)


def test_descriptions_of_tools_are_components() -> None:
    """With ``optimize_tools`` the model is asked for descriptions too, each by its name."""
    seen: list[str] = []
    tool = {
        "type": "function",
        "function": {
            "name": "lookup",
            "description": "Looks things up.",
            "parameters": {"type": "object", "properties": {}},
        },
    }
    task = SimulatedTask(items=40)
    prompt = ChatPrompt(system="Help.", user="{question}", model="fake/echo", tools=[tool])
    model = asking(seen, lambda n, _: f"Text {n}.")
    optimize(task, model, prompt=prompt, optimize_tools=True, max_trials=2)
    assert any("named `chat-prompt/tool/lookup" in text for text in seen)
    assert any("named `chat-prompt/system/0`" in text for text in seen)


def test_nothing_to_rewrite_is_no_search() -> None:
    """Without an editable text the run ends with the initial prompt."""
    task = SimulatedTask(items=40)
    result = optimize(task, optimize_prompts=[])
    assert result.is_baseline
    assert result.stop_reason == "completed"


def test_round_robin_asks_for_one_part_at_a_time() -> None:
    """Of two prompts one is rewritten per reflection, in turn; ``all`` rewrites both."""
    for selector, first_two in (("round_robin", {"plan/system/0"}), ("all", None)):
        seen: list[str] = []
        task = SimulatedTask(items=40)
        prompts = {
            name: ChatPrompt(name=name, system=f"{name} it.", user="{question}", model="fake/echo")
            for name in ("plan", "reply")
        }
        model = asking(seen, lambda n, _: f"Text number {n}.")
        optimize(task, model, prompt=prompts, module_selector=selector, max_trials=1)
        named = {text.split("named `")[1].split("`")[0] for text in seen}
        assert named == (first_two or {"plan/system/0", "reply/system/0"})


@pytest.mark.parametrize("task", ["rules", "two", "noisy"])
def test_it_keeps_to_its_measured_quality(task: str) -> None:
    """On simulated tasks the result stays near what was measured, within the budget."""
    outcome = run_job(Job(contestant="ours:gepa", task=task, budget=600, seed=1), run_ours)
    assert outcome.ratio > 0.6
    assert outcome.overshoot == 0


def test_equal_searches_are_equal_with_siblings_and_noise() -> None:
    """Workers and the order of replies make no difference where siblings run beside each other."""
    task = SimulatedTask(items=60)
    results = [
        GepaOptimizer(
            simulated_reflection(disorder=disorder, errors=0.3),
            verbose=0,
            n_threads=n_threads,
            proposals_in_flight=2,
        ).optimize_prompt(
            task.prompt(),
            task.dataset(),
            task.metric,
            agent=SimulatedAgent(task, disorder=disorder),
            storage="memory:",
            budget=Budget(metric_calls=500),
        )
        for n_threads, disorder in ((1, None), (8, 1), (32, 5))
    ]
    assert essence(results[1]) == essence(results[0])
    assert essence(results[2]) == essence(results[0])
