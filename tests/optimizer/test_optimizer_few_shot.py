"""What is particular to ``FewShotBayesianOptimizer``."""

from __future__ import annotations

import random
from statistics import fmean
from typing import Any

import pytest
from demonstration_task import DemonstrationAgent, DemonstrationTask, demonstrations_in
from hypothesis import given
from hypothesis import strategies as st

from opik_optimizer import Budget, ChatPrompt, FewShotBayesianOptimizer, OptimizationResult
from opik_optimizer.algorithms.few_shot_bayesian.choosing import (
    Plan,
    PlanSpace,
    choose,
    credits_of,
)
from opik_optimizer.algorithms.few_shot_bayesian.pool import Example, Pool, answer_column
from opik_optimizer.algorithms.few_shot_bayesian.showing import Shown, possible_forms, show
from opik_optimizer.budget import Lease, LeaseSize
from opik_optimizer.candidate import Candidate
from opik_optimizer.errors import SettingsError
from opik_optimizer.guards import Rejection
from opik_optimizer.items import content_id
from opik_optimizer.optimizer import BaseOptimizer
from opik_optimizer.session import Session
from opik_optimizer.templates import TemplateLibrary
from opik_optimizer.testing.optimizer_contract import essence
from opik_optimizer.testing.task import SimulatedAgent, SimulatedTask

TEMPLATES = TemplateLibrary.of_package("opik_optimizer.algorithms.few_shot_bayesian")


def optimize(
    optimizer: BaseOptimizer | None = None, *, task: DemonstrationTask | None = None, **options: Any
) -> OptimizationResult:
    """Run an optimizer on the demonstration task."""
    task = task or DemonstrationTask()
    chosen = {
        "agent": DemonstrationAgent(task),
        "storage": "memory:",
        "optimize_prompts": "all",
        "budget": Budget(metric_calls=600),
        **options,
    }
    optimizer = optimizer or FewShotBayesianOptimizer(verbose=0)
    return optimizer.optimize_prompt(task.prompt(), task.dataset(), task.metric, **chosen)


class RandomSearch(BaseOptimizer):
    """Random sets of random items, each run on the whole sample."""

    async def search(self, session: Session) -> None:
        """Try sets until the budget is spent."""

        def issue(index: int, lease: Lease) -> Any:
            rng = session.rng("random", index)
            items = [session.item(i) for i in rng.sample(session.train_ids, rng.randint(2, 8))]
            (name, prompt) = next(iter(session.seed_candidate.prompts.items()))
            shown = [Shown(item=item, answer=str(item["intent"])) for item in items]
            changed = show(
                prompt, shown, "messages", roles=["user"], columns=["message"], templates=TEMPLATES
            )
            return run(
                session.propose(session.seed_candidate, {name: changed}, operator="demonstrations")
            )

        async def run(candidate: Candidate | Rejection) -> Any:
            is_new = isinstance(candidate, Candidate)
            return await session.evaluate(candidate) if is_new else candidate

        def commit(index: int, outcome: Any) -> None:
            if not isinstance(outcome, Exception | Rejection):
                session.consider(outcome)

        await session.pipeline(
            issue, commit, lease=LeaseSize(metric_calls=len(session.validation_ids))
        )


def test_it_beats_random_search_at_equal_budgets() -> None:
    """Over ten tasks, what it returns is truly better than the best of random sets, by far."""
    ours, theirs = [], []
    for seed in range(10):
        task = DemonstrationTask(seed=seed)
        for optimizer, scores in (
            (FewShotBayesianOptimizer(verbose=0), ours),
            (RandomSearch(verbose=0), theirs),
        ):
            result = optimize(optimizer, task=task, alpha=1.0, holdout=False, seed=seed)
            assert isinstance(result.prompt, ChatPrompt)
            assert result.metric_calls <= 600
            scores.append(task.true_score(result.prompt))
    assert fmean(ours) > fmean(theirs) + 0.08
    assert fmean(ours) > 0.7 * DemonstrationTask().optimum(8)


@pytest.mark.parametrize("in_flight", [1, 4])
def test_workers_make_no_difference(in_flight: int) -> None:
    """One seed gives one history, at 1, 8 and 32 workers."""
    runs = [
        optimize(
            FewShotBayesianOptimizer(
                verbose=0, n_threads=workers, proposals_in_flight=in_flight, seed=3
            )
        )
        for workers in (1, 8, 32)
    ]
    first, *others = map(essence, runs)
    assert all(other == first for other in others)
    assert runs[0].score > runs[0].initial_score


def test_demonstrations_come_from_train_items_that_are_not_scored() -> None:
    """No message of the validation or holdout items is shown in any trial."""
    task = DemonstrationTask()
    result = optimize(task=task)
    by_message = {str(item["message"]): content_id(item) for item in task.dataset()}
    shown = {
        message
        for trial in result.trials
        for prompt in trial.prompts.values()
        for message in demonstrations_in(ChatPrompt.from_dict(prompt))
    }
    ids = {by_message[message.split("\n")[0]] for message in shown}
    assert shown
    assert ids <= {*result.train_ids} - {*result.validation_ids} - {*result.holdout_ids}


def test_items_that_are_also_scored_are_left_out() -> None:
    """With a validation set inside the dataset, what is scored is not shown; its text neither."""
    task = DemonstrationTask(items=40)
    items = task.dataset()
    twins = [{**item, "message": str(item["message"]), "extra": 1} for item in items[20:]]
    result = optimize(
        task=task, validation_dataset=twins, holdout=False, budget=Budget(metric_calls=120)
    )
    scored = {str(item["message"]) for item in twins}
    for trial in result.trials:
        for prompt in trial.prompts.values():
            assert not scored & {*demonstrations_in(ChatPrompt.from_dict(prompt))}


def test_without_unscored_items_it_says_what_is_missing() -> None:
    """With too few items to divide, there is nothing to show, and the error says what to do."""
    task = DemonstrationTask(items=12)
    with pytest.raises(SettingsError, match="validation_dataset"):
        optimize(task=task)


def test_roles_decide_on_the_form() -> None:
    """If only the system message may change, demonstrations are a text in it."""
    result = optimize(optimize_prompts="system", alpha=1.0)
    assert isinstance(result.prompt, ChatPrompt)
    assert [message["role"] for message in result.prompt.messages] == ["system", "user"]
    assert "Input: " in str(result.prompt.system)
    with pytest.raises(SettingsError, match="optimize_prompts='all'"):
        optimize(FewShotBayesianOptimizer(verbose=0, form="messages"), optimize_prompts="system")


def test_the_result_says_which_demonstrations_it_has() -> None:
    """The details name the items, and the plan, of the prompt that is returned."""
    task = DemonstrationTask()
    result = optimize(task=task, alpha=1.0)
    assert isinstance(result.prompt, ChatPrompt)
    by_id = {content_id(item): str(item["message"]) for item in task.dataset()}
    named = [by_id[item_id] for item_id in result.details["demonstrations"]]
    assert sorted(named) == sorted(demonstrations_in(result.prompt))
    assert str(len(named)) in str(result.details["plan"])


def test_own_answers_are_used_where_labels_are_not_wanted() -> None:
    """``answers="own"`` shows what the initial prompt answered where it was right."""
    task = SimulatedTask(items=60, floor=0.5)
    result = FewShotBayesianOptimizer(
        verbose=0, answers="own", bootstrap_items=20, min_examples=1, form="messages"
    ).optimize_prompt(
        task.prompt(),
        task.dataset(),
        task.metric,
        agent=SimulatedAgent(task),
        storage="memory:",
        optimize_prompts="all",
        max_trials=4,
    )
    assert result.trials
    rights = {str(item["question"]): item["answer"] for item in task.dataset()}
    for trial in result.trials:
        messages = trial.prompts["chat-prompt"]["messages"]
        for asked, answered in zip(messages[1:-1:2], messages[2:-1:2], strict=True):
            assert rights[asked["content"]] == answered["content"]
            assert task.is_right("Answer the question.", {"question": asked["content"], "rule": 0})


def test_a_failing_agent_is_told_apart_from_a_bad_plan() -> None:
    """A run whose budget of model calls ends in the middle of a trial still has a result."""
    result = optimize(budget=Budget(metric_calls=200, trials=2))
    assert result.stop_reason == "max_trials"
    assert result.trials_charged == 2


def test_unpruned_trials_run_to_their_end() -> None:
    """Without pruning every candidate is run on the whole sample."""
    result = optimize(FewShotBayesianOptimizer(verbose=0, enable_optuna_pruning=False))
    evaluated = [trial for trial in result.trials if trial.score is not None]
    assert {len(trial.item_scores) for trial in evaluated} == {len(result.validation_ids)}


@pytest.mark.parametrize(
    "options",
    [
        {"min_examples": 0},
        {"min_examples": 5, "max_examples": 4},
        {"form": "verse"},
        {"answers": "all"},
        {"pool_size": 0},
        {"answer_template": "label"},
        {"answer_template": []},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    """The constructor refuses what cannot work."""
    with pytest.raises(SettingsError):
        FewShotBayesianOptimizer(**options)


def test_unknown_prompt_name() -> None:
    """A prompt that is not there is named in the error, with those that are."""
    with pytest.raises(SettingsError, match="chat-prompt"):
        optimize(FewShotBayesianOptimizer(verbose=0, prompt_name="planner"))


# choosing


def make_pool(size: int = 30, classes: int = 3) -> Pool:
    """Return a pool of numbered examples."""
    examples = tuple(
        Example(
            item_id=f"{n:02}",
            item={"text": f"word{n % 5} again {n}"},
            label=f"class {n % classes}",
            difficulty=n / size,
        )
        for n in range(size)
    )
    return Pool(examples=examples, texts=tuple(str(e.item["text"]) for e in examples))


@given(
    count=st.integers(1, 10),
    order=st.sampled_from(["drawn", "easy_to_hard", "typical_last", "interleaved"]),
    origin=st.sampled_from(["fresh", "edit"]),
    change=st.floats(0, 0.7),
    diversity=st.floats(0, 1),
    balanced=st.booleans(),
    best=st.lists(st.integers(0, 29), max_size=10, unique=True),
    seed=st.integers(),
)
def test_chosen_sets_have_the_size_they_should(
    count, order, origin, change, diversity, balanced, best, seed
) -> None:
    """Whatever the plan, as many different examples are chosen as it says, and balance holds."""
    pool = make_pool()
    plan = Plan(
        count=count,
        order=order,
        origin=origin,
        change=change,
        diversity=diversity,
        is_balanced=balanced,
    )
    chosen = choose(pool, plan, rng=random.Random(seed), credit={0: 1.0}, best=best)
    assert len(chosen) == len({*chosen}) == count
    assert {*chosen} <= {*range(30)}
    if balanced and (origin == "fresh" or not best):
        counts = [sum(i % 3 == c for i in chosen) for c in range(3)]
        assert max(counts) - min(counts) <= 1
    if order == "easy_to_hard":
        assert chosen == sorted(chosen)
    if origin == "edit" and best:
        kept = min(len(best) - round(change * len(best)), count)
        assert len({*chosen} & {*best}) >= kept


def test_a_set_larger_than_the_pool_is_the_pool() -> None:
    """A plan for more examples than there are gets all of them."""
    chosen = choose(make_pool(3), Plan(count=8), rng=random.Random(0), credit={})
    assert sorted(chosen) == [0, 1, 2]


def test_properties_steer_the_choice() -> None:
    """Hard plans get harder examples than easy ones, typical ones more typical than untypical."""
    pool = make_pool()

    def mean(values: Any, **plan: float) -> float:
        sets = [
            choose(pool, Plan(count=5, diversity=0.0, **plan), rng=random.Random(n), credit={})
            for n in range(40)
        ]
        return fmean(values(index) for chosen in sets for index in chosen)

    def difficulty(index: int) -> float:
        return pool.examples[index].difficulty

    def typicality(index: int) -> float:
        return pool.typicality[index]

    assert mean(difficulty, difficulty=1.0) > mean(difficulty, difficulty=-1.0) + 0.2
    assert mean(typicality, typicality=1.0) > mean(typicality, typicality=-1.0) + 0.2


def test_diverse_sets_repeat_less() -> None:
    """Diversity lowers the similarity within a set."""
    pool = make_pool()

    def within(diversity: float) -> float:
        sets = [
            choose(pool, Plan(count=5, diversity=diversity), rng=random.Random(n), credit={})
            for n in range(20)
        ]
        return fmean(
            float(pool.similarity[a, b]) for chosen in sets for a in chosen for b in chosen if a < b
        )

    assert within(1.0) < within(0.0) - 0.03


def test_interleaved_classes_take_turns() -> None:
    """In an interleaved set no class comes twice before every class came once."""
    plan = Plan(count=6, order="interleaved", is_balanced=True)
    chosen = choose(make_pool(), plan, rng=random.Random(1), credit={})
    assert {index % 3 for index in chosen[:3]} == {0, 1, 2}


def test_credit_is_the_shrunken_mean_advantage() -> None:
    """Credit by hand: two sets, one 0.4 better; an example in both has none."""
    assert credits_of([]) == {}
    assert credits_of([([0, 1], 0.4), ([1, 2], 0.0)]) == {0: 0.5, 1: 0.0, 2: -0.5}
    assert credits_of([([0], 0.2), ([1], 0.2)]) == {0: 0.0, 1: 0.0}


def test_properties_without_a_choice_are_no_dimensions() -> None:
    """A space with one form and source asks a trial for neither."""
    asked: list[str] = []

    class Recorder:
        def suggest_int(self, name: str, low: int, high: int) -> int:
            asked.append(name)
            return low

        def suggest_float(self, name: str, low: float, high: float) -> float:
            asked.append(name)
            return low

        def suggest_categorical(self, name: str, choices: Any) -> str:
            asked.append(name)
            return str(choices[0])

    space = PlanSpace(least=2, most=4, forms=("text",), sources=("label",), is_diverse=False)
    plan = space.suggest(Recorder())
    assert (plan.form, plan.source, plan.is_balanced, plan.diversity) == ("text", "label", False, 0)
    assert asked == ["count", "order", "typicality", "origin", "change"]
    assert all({*first} <= {*asked} for first in space.first_plans())


# pool and showing


def test_answer_column() -> None:
    """A column named like an answer goes before the only hidden one; two hidden ones are none."""
    assert answer_column([{"q": 1, "x": 2}], ["answer"], ["q"]) == "answer"
    assert answer_column([{"q": 1, "intent": 2}], [], ["q"]) == "intent"
    assert answer_column([{"q": 1, "a": 2, "b": 3}], [], ["q"]) is None


def test_few_repeated_labels_are_classes() -> None:
    """Labels are classes if there are two to 25, short, and each is there twice on average."""
    assert make_pool(30, classes=3).classes is not None
    assert make_pool(30, classes=20).classes is None
    assert make_pool(30, classes=1).classes is None


def test_equal_texts_are_alike() -> None:
    """The similarity of a text with itself is 1, of texts without a common word about 0."""
    examples = tuple(Example(item_id=str(n), item={}, label="x") for n in range(3))
    pool = Pool(examples=examples, texts=("red house", "red house", "quick zebra"))
    assert pool.similarity[0, 1] == pytest.approx(1)
    assert pool.similarity[0, 2] < 0.1
    assert pool.typicality[2] == 0


@pytest.mark.parametrize("form", ["messages", "text"])
def test_nothing_in_a_demonstration_is_a_placeholder(form: Any) -> None:
    """Braces in values are text: the prompt has the placeholders it had before, and no other."""
    prompt = ChatPrompt(system="Sort.", user="Message: {message}")
    item = {"message": "I am {message}, {my column} and {answer}", "answer": "{answer}"}
    columns = ["message", "answer", "my column"]
    changed = show(
        prompt,
        [Shown(item=item, answer="{answer} {message}")],
        form,
        roles=["system", "user", "assistant"],
        columns=columns,
        templates=TEMPLATES,
    )
    assert changed.placeholders(columns) == ["message"]
    filled = changed.get_messages({"message": "SECRET", "answer": "SECRET", "my column": "SECRET"})
    assert "\n".join(str(m["content"]) for m in filled).count("SECRET") == 1


def test_where_a_text_goes() -> None:
    """A text goes behind the system message, else before the user's, else into a new message."""
    shown = [Shown(item={"q": "2+2", "hint": "sum"}, answer="4")]

    def roles_and_texts(prompt: ChatPrompt, roles: list[str]) -> list[tuple[object, object]]:
        changed = show(
            prompt, shown, "text", roles=roles, columns=["q", "hint"], templates=TEMPLATES
        )
        return [(message["role"], message["content"]) for message in changed.messages]

    text = "Examples:\n\nInput: 2+2\nOutput: 4"
    both = ChatPrompt(system="Count.", user="{q}")
    assert roles_and_texts(both, ["system"])[0] == ("system", f"Count.\n\n{text}")
    assert roles_and_texts(both, ["user"])[1] == ("user", f"{text}\n\n{{q}}")
    lone = ChatPrompt(user="{q}")
    assert roles_and_texts(lone, ["system"]) == [("system", text), ("user", "{q}")]
    parts = ChatPrompt(messages=[{"role": "user", "content": [{"type": "text", "text": "{q}"}]}])
    assert roles_and_texts(parts, ["user"])[0][1] == [
        {"type": "text", "text": text},
        {"type": "text", "text": "{q}"},
    ]
    two = ChatPrompt(user="{q} {hint}")
    assert "Input: q: 2+2\nhint: sum\n" in str(roles_and_texts(two, ["user"])[0][1])


def test_possible_forms() -> None:
    """Turns need a user message and both roles; a text needs one editable message, or a new one."""
    prompt = ChatPrompt(system="Sort.", user="{q}")
    assert possible_forms(prompt, ["system", "user", "assistant"]) == ("messages", "text")
    assert possible_forms(prompt, ["system"]) == ("text",)
    assert possible_forms(prompt, ["assistant"]) == ()
    assert possible_forms(ChatPrompt(system="Sort {q}."), ["user", "assistant"]) == ()
