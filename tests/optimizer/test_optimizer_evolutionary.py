"""EvolutionaryOptimizer: what it does with models, without them, and with its budget."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from opik_eval.errors import ConfigError
from opik_eval.models.base import ModelRequest
from opik_eval.models.client import ChatModel
from opik_eval.models.fake import FunctionTransport
from opik_optimizer import Budget, ChatPrompt, EvolutionaryOptimizer
from opik_optimizer.errors import SettingsError
from opik_optimizer.result import OptimizationResult
from opik_optimizer.rewriter import Rewriter
from opik_optimizer.testing.task import (
    SimulatedAgent,
    SimulatedTask,
    rule,
    share,
    simulated_reflection,
)

MODEL_FREE: dict[str, Any] = {"enable_llm_mutation": False, "enable_llm_crossover": False}


def optimize(
    optimizer: EvolutionaryOptimizer, task: SimulatedTask | None = None, **options: Any
) -> OptimizationResult:
    """Run an optimizer on the simulated task."""
    task = task or SimulatedTask(items=40)
    given = {"storage": "memory:", "agent": SimulatedAgent(task), "alpha": 1.0, **options}
    return optimizer.optimize_prompt(task.prompt(), task.dataset(), task.metric, **given)


def model(reply: Callable[[str], str | dict[str, object]], seen: list[str]) -> ChatModel:
    """Return a reflection model that answers a text; it keeps what it was asked."""

    def answer(request: ModelRequest) -> str:
        seen.append("\n".join(str(message["content"]) for message in request.messages))
        found = reply(seen[-1])
        return found if isinstance(found, str) else json.dumps(found)

    return ChatModel(name="fake/scripted", transport=FunctionTransport(answer))


def evolve(**options: Any) -> EvolutionaryOptimizer:
    """Return a silent optimizer."""
    return EvolutionaryOptimizer(**{"verbose": 0, "model": simulated_reflection(), **options})


def test_defaults_do_evolve() -> None:
    """With the usual ten trials there are several generations, and children of children."""
    result = optimize(evolve(), SimulatedTask(items=80, rules=8, hints=0.3))
    assert result.details["generations"] >= 2
    assert result.score > result.initial_score
    seed = next(t.parents[0] for t in result.trials if t.parents)
    assert any(parent != seed for trial in result.trials for parent in trial.parents)


def test_population_and_generations_come_from_the_budget() -> None:
    """A larger budget makes a larger population; named sizes go before it."""
    sizes = [
        optimize(evolve(), budget=Budget(metric_calls=calls)).details["population_size"]
        for calls in (60, 2000)
    ]
    assert sizes[0] == 3 < sizes[1]
    named = optimize(evolve(population_size=5, num_generations=1, brood_size=1), max_trials=50)
    assert named.details["population_size"] == 5
    assert named.details["generations"] == 1
    assert named.stop_reason == "completed"


def test_a_search_without_limits_ends_after_fifteen_generations() -> None:
    """Where neither trials nor calls are limited, generations are."""
    result = optimize(evolve(population_size=2, perfect_score=2.0), max_trials=None)
    assert result.details["generations"] == 15 or result.stop_reason == "no_usable_proposals"


def test_reflection_sees_failures_with_everything_that_is_known() -> None:
    """Question, output, expected answer, score and the metric's reason are in the request."""
    seen: list[str] = []
    optimize(evolve(model=model(lambda _: {"prompt": rule(0)}, seen)), max_trials=2)
    shown = seen[0]
    for part in ("question: Question 0-", "output: no idea", "expected: a", "score: 0", "reason:"):
        assert part in shown
    assert rule(0) in shown or rule(1) in shown or rule(2) in shown or rule(3) in shown


def test_children_that_answer_alike_are_not_raced() -> None:
    """A rewording that changes no answer is dropped at its screening."""
    written = iter(f"Answer the question, please, in way {n}." for n in range(100))
    writer = model(lambda _: {"prompt": next(written)}, [])
    result = optimize(evolve(model=writer, enable_moo=False, brood_size=1, crossover_rate=0.0))
    asked = [t for t in result.trials if t.operator in ("repair", "simplify", "rethink")]
    assert asked
    assert all(t.split == "train" for t in asked)
    assert any("just as its parent does" in str(t.reason) for t in asked)


def test_members_are_merged_where_they_differ() -> None:
    """Two members that learnt different rules have a child that knows both."""
    calls: list[str] = []

    def write(text: str) -> dict[str, object]:
        known = [rule(n) for n in range(4) if rule(n) in text.partition("</present>")[0]]
        new = [rule(n) for n in range(4) if rule(n) in text and rule(n) not in known]
        learnt = sorted(new, key=lambda sentence: share(sentence, text))[:1]
        return {"prompt": " ".join(["Answer the question.", *known, *learnt])}

    result = optimize(
        evolve(model=model(write, calls), brood_size=1, crossover_rate=0.6, tournament_size=1),
        budget=Budget(metric_calls=700),
    )
    merged = [t for t in result.trials if t.operator == "crossover" and t.decision == "accepted"]
    assert merged
    assert all(len(trial.parents) == 2 for trial in merged)
    assert result.score == 1.0


@pytest.mark.parametrize("is_free", [False, True])
def test_the_model_joins_what_cannot_be_merged(is_free: bool) -> None:
    """Changes that touch each other are joined by the model, which sees both and where they differ;
    with ``enable_semantic_crossover`` it joins all pairs."""
    seen: list[str] = []
    count = iter(range(1000))

    def write(text: str) -> dict[str, object]:
        n = next(count)
        if "<second" in text:
            return {"prompt": " ".join(["Say:", *(rule(k) for k in range(4) if rule(k) in text)])}
        return {"prompt": f"Solve it in way {n}. {rule(n % 4)}"}

    result = optimize(
        evolve(
            model=model(write, seen),
            brood_size=1,
            crossover_rate=0.7,
            tournament_size=1,
            enable_semantic_crossover=is_free,
            output_style_guidance="one word",
        ),
        budget=Budget(metric_calls=600),
    )
    crossings = [text for text in seen if "<second" in text]
    assert crossings
    assert all("one word" in text for text in seen)
    assert ("Sentences that only the better version has" in crossings[0]) is not is_free
    assert any(t.operator == "crossover" for t in result.trials)


def test_a_useless_model_is_given_up_and_the_search_goes_on() -> None:
    """After three unusable proposals the operators without a model do the work."""
    seen: list[str] = []
    result = optimize(
        evolve(model=model(lambda _: "I would rather not.", seen), proposals_in_flight=1),
        budget=Budget(metric_calls=400),
    )
    assert "given up" in str(result.details["reflection_model"])
    assert {t.operator for t in result.trials} & {"drop", "move", "instruct"}
    assert result.stop_reason != "weak_reflection_model"
    assert "repair" not in result.details["operators"]


def test_no_model_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any model configured it runs; a model that is named must exist."""

    def nobody(self: Rewriter) -> object:
        raise SettingsError("no reflection model", remedy="name one")

    monkeypatch.setattr(Rewriter, "resolved", nobody)
    result = optimize(EvolutionaryOptimizer(verbose=0), max_trials=4)
    assert "repair" not in result.details["operators"]
    with pytest.raises((SettingsError, ConfigError)):
        optimize(EvolutionaryOptimizer("nobody/knows-it", verbose=0), max_trials=4)


CLUTTERED = "You are a helper. Talk about the weather first. Answer the question. Write a lot."


def cluttered_chance(text: str) -> float:
    """Return how often a prompt is right: two sentences hurt, one general instruction helps."""
    clutter = ("weather" in text) + ("Write a lot" in text)
    return 0.3 + 0.2 * (2 - clutter) + 0.2 * ("Give the answer alone" in text)


def test_edits_without_a_model_improve_a_cluttered_prompt() -> None:
    """Sentences that hurt are dropped, an instruction that helps is found."""
    items = [{"question": f"q{n}?", "answer": f"a{n}"} for n in range(80)]

    def agent(prompt: ChatPrompt, dataset_item: dict[str, object]) -> str:
        chance = cluttered_chance(str(prompt.messages[0]["content"]))
        return str(dataset_item["answer"]) if share(dataset_item["question"]) < chance else "no"

    def right(dataset_item: dict[str, object], llm_output: str) -> float:
        return float(dataset_item["answer"] == llm_output)

    found = []
    for seed in range(3):
        result = EvolutionaryOptimizer(verbose=0, seed=seed, **MODEL_FREE).optimize_prompt(
            ChatPrompt(system=CLUTTERED, user="{question}", model="fake/echo"),
            items,
            right,
            agent=agent,
            budget=Budget(metric_calls=800),
            storage="memory:",
        )
        prompt = result.prompt
        assert isinstance(prompt, ChatPrompt)
        found.append(cluttered_chance(str(prompt.messages[0]["content"])))
        assert result.details["pareto_front"]
    assert cluttered_chance(CLUTTERED) == pytest.approx(0.3)
    assert sum(found) / 3 >= 0.6


def test_the_front_trades_score_for_length() -> None:
    """Members of the front are ordered by length, and each longer one has a higher score."""
    result = optimize(evolve(), budget=Budget(metric_calls=500))
    front = result.details["pareto_front"]
    assert isinstance(front, list)
    tokens = [entry["tokens"] for entry in front]
    scores = [entry["score"] for entry in front]
    assert tokens == sorted(tokens)
    assert scores == sorted(scores)
    assert result.score == max(scores)
    assert result.details["knee"] in {entry["candidate_id"] for entry in front}


def test_without_failures_and_new_ideas_the_search_ends() -> None:
    """Once no operator has anything left to do, the run ends by itself."""
    result = optimize(
        EvolutionaryOptimizer(verbose=0, population_size=2, **MODEL_FREE), max_trials=None
    )
    assert result.stop_reason in ("completed", "no_usable_proposals")


def test_a_standstill_can_end_the_search() -> None:
    """``no_improvement_generations`` ends a run in which nothing gets better."""
    result = optimize(
        evolve(no_improvement_generations=1, population_size=2, **MODEL_FREE), max_trials=None
    )
    assert result.stop_reason == "no_improvement"


def test_the_style_of_answers_is_inferred_once() -> None:
    """With ``infer_output_style`` the model sees expected answers, and its words are passed on."""
    seen: list[str] = []

    def write(text: str) -> str | dict[str, object]:
        is_asked = "Answers that were expected" in text
        return {"description": "a letter and a number"} if is_asked else {"prompt": rule(0)}

    optimize(evolve(model=model(write, seen), infer_output_style=True), max_trials=2)
    assert "Answers that were expected" in seen[0]
    assert "a letter and a number" in seen[1]
    broken = model(lambda text: "no" if "expected for" in text else {"prompt": rule(0)}, seen)
    assert optimize(evolve(model=broken, infer_output_style=True), max_trials=2).trials


def test_a_prompt_without_editable_text_is_left_alone() -> None:
    """Where no role may change there is nothing to evolve."""
    result = optimize(evolve(), optimize_prompts=[])
    assert result.is_baseline
    assert result.stop_reason == "completed"


def test_it_works_without_train_items() -> None:
    """Where all items are for selection, children are raced at once."""
    task = SimulatedTask(items=20)
    result = EvolutionaryOptimizer(verbose=0, model=simulated_reflection(), seed=1).optimize_prompt(
        task.prompt(),
        task.dataset(),
        task.metric,
        agent=SimulatedAgent(task),
        validation_dataset=task.dataset(),
        storage="memory:",
        max_trials=6,
    )
    assert result.trials
