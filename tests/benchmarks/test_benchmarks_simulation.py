"""The simulated tasks: what they promise about truth, noise and order."""

from __future__ import annotations

import itertools
import random
import statistics
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.optimizers.simulation.catalogue import EIGHT, SPECS, Spec, build_task, make_task
from benchmarks.optimizers.simulation.landscape import NOISES, Clash, Item, Landscape, Rule, Traits
from benchmarks.optimizers.simulation.task import SimulatedTask
from benchmarks.optimizers.simulation.vocabulary import IDLE, RULES, rule_sentence

WORLD = make_task("rules", seed=0)


def prompts_with(task: SimulatedTask, rules: set[int], idle: int = 0) -> dict[str, str]:
    """Return prompts that have just these rules."""
    texts = {
        component: [
            text,
            *(
                rule_sentence(rule.phrase)
                for index, rule in enumerate(task.landscape.rules)
                if index in rules and rule.component == component
            ),
        ]
        for component, text in task.seed_prompts.items()
    }
    texts[task.landscape.components[0]] += IDLE[:idle]
    return {component: " ".join(sentences) for component, sentences in texts.items()}


def test_no_phrase_occurs_in_another_sentence():
    """Neither a hint nor an idle sentence nor another rule contains a rule's phrase."""
    others = [*(hint for _, hint in RULES), *IDLE]
    for phrase, hint in RULES:
        assert not any(phrase in text.lower() for text in others)
        assert not any(phrase in text or hint in text for text, _ in RULES if text != phrase)


@pytest.mark.parametrize("name", SPECS)
def test_probability_is_a_probability_and_grows_with_cured_rules(name):
    """Chances lie between floor and cap, and the complete prompt reaches the cap on every item."""
    task = make_task(name, seed=1)
    landscape = task.landscape
    draw = random.Random(name)
    complete = frozenset(range(len(landscape.rules)))
    for item in draw.sample(task._test, 20):
        present = frozenset(draw.sample(sorted(complete), 3))
        assert landscape.floor <= landscape.probability(Traits(present=present), item)
        assert landscape.probability(Traits(present=complete), item) == landscape.cap


def test_landscape_by_hand():
    """Missing rules, clashes, idle sentences and surplus words multiply as the formula says."""
    rules = tuple(
        Rule(phrase=f"p{n}", hint=f"h{n}", component="answer", miss=0.5) for n in range(3)
    )
    landscape = Landscape(
        components=("answer",),
        rules=rules,
        clashes=(Clash(sides=(frozenset({0}), frozenset({1})), cure=2, factor=0.25),),
        floor=0.1,
        cap=0.9,
        idle_factor=0.9,
        length_factor=0.99,
        hint_rate=1.0,
        noise="det",
    )
    item = Item(id="x", needs=frozenset({0, 1}), exposed=frozenset({0}))

    def chance(*present: int, **more: int) -> float:
        return landscape.probability(Traits(present=frozenset(present), **more), item)

    assert chance() == pytest.approx(0.1 + 0.8 * 0.25)
    assert chance(0) == pytest.approx(0.1 + 0.8 * 0.5)
    assert chance(0, 1) == pytest.approx(0.1 + 0.8 * 0.25)
    assert chance(0, 1, 2) == pytest.approx(0.9)
    assert chance(0, 1, 2, idle=2, surplus_words=3) == pytest.approx(0.1 + 0.8 * 0.9**2 * 0.99**3)
    assert landscape.blamable(Traits(present=frozenset({0, 1})), item) == [2]
    assert landscape.blamable(Traits(present=frozenset({0})), item) == [1]


@pytest.mark.parametrize("name", ["easy", "trap", "fork", "cost", "two"])
def test_optimum_by_brute_force(name):
    """No set of rules, with or without idle sentences, is truly better than the stated optimum."""
    spec = SPECS[name]
    small = Spec(**{**{f: getattr(spec, f) for f in spec.__dataclass_fields__}, "rules": 5})
    task = build_task(name, small, seed=3)
    size = len(task.landscape.rules)
    scores = {
        (chosen, idle): task.true_score(prompts_with(task, set(chosen), idle))
        for length in range(size + 1)
        for chosen in itertools.combinations(range(size), length)
        for idle in (0, 1)
    }
    assert max(scores.values()) == pytest.approx(task.optimum)
    assert task.true_score(task.best_prompts) == pytest.approx(task.optimum)
    assert task.ratio(task.best_prompts) == pytest.approx(1.0)
    assert task.ratio(task.seed_prompt) == 0.0


def test_true_score_is_what_many_answers_tend_to():
    """The closed form on the items of one split equals the mean of many draws."""
    task = make_task("noisy", seed=2)
    prompts = prompts_with(task, {0, 1, 2})
    traits = task.traits(prompts)
    exact = statistics.fmean(
        task.landscape.probability(traits, task._items[item["id"]]) for item in task.validation
    )
    drawn = statistics.fmean(
        task.metric(item, task.answer(prompts, item, repeat))[0]
        for item in task.validation
        for repeat in range(100)
    )
    assert drawn == pytest.approx(exact, abs=4 * (0.25 / 4000) ** 0.5)


@pytest.mark.parametrize("noise", NOISES)
def test_noise_modes(noise):
    """``det`` never loses an item to a better prompt, ``prompt`` repeats, ``sample`` varies."""
    task = build_task("rules", Spec(noise=noise), seed=4)
    half, more = prompts_with(task, set(range(5))), prompts_with(task, set(range(8)))

    def scores(prompts: dict[str, str]) -> list[float]:
        return [task.metric(item, task.answer(prompts, item))[0] for item in task.train]

    before, after = scores(half), scores(more)
    assert (scores(half) == before) == (noise != "sample")
    lost = sum(b > a for b, a in zip(before, after, strict=True))
    assert (lost == 0) == (noise == "det")


def test_answers_do_not_depend_on_order_or_threads():
    """The same calls in another order, and in threads, give the same answers."""
    worlds = [make_task("noisy", seed=5) for _ in range(3)]
    calls = [(n % 40, n // 40) for n in range(200)]
    shuffled = random.Random(0).sample(calls, len(calls))

    def ask(task: SimulatedTask, call: tuple[int, int]) -> str:
        return task.answer(task.seed_prompt, task.validation[call[0]], call[1])

    plain = {call: ask(worlds[0], call) for call in calls}
    assert {call: ask(worlds[1], call) for call in shuffled} == plain
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda call: ask(worlds[2], call), shuffled)
        assert dict(zip(shuffled, answers, strict=True)) == plain
    assert worlds[2].meter.answers == 200


def test_repeat_counts_itself():
    """Without ``repeat``, equal calls are numbered as they come."""
    counted, named = make_task("noisy", seed=6), make_task("noisy", seed=6)
    item = counted.train[0]
    assert [counted.answer("x", item) for _ in range(20)] == [
        named.answer("x", item, repeat) for repeat in range(20)
    ]


def test_seventy_percent_of_failures_carry_a_hint():
    """Feedback on failures names a missing rule that the item needs, at the stated rate."""
    task = make_task("rules", seed=7)
    hints = {rule.hint: index for index, rule in enumerate(task.landscape.rules)}
    failures = hinted = 0
    for item in task.train:
        for number in range(20):
            score, reason = task.metric(item, task.answer(f"prompt {number}", item))
            failures += score == 0
            if reason.startswith("Wrong: "):
                hinted += 1
                cause = hints[reason.removeprefix("Wrong: ").rstrip(".")]
                assert cause in task._items[item["id"]].needs
    assert hinted / failures == pytest.approx(0.70, abs=0.06)


def test_null_task_cannot_be_improved():
    """On the null task every prompt has the same true score."""
    task = make_task("null", seed=0)
    assert task.true_score(task.best_prompts) == task.true_score(task.seed_prompt)
    assert task.ratio(task.best_prompts) == 0.0


@pytest.mark.parametrize("name", EIGHT)
def test_worlds_are_reproducible_and_differ_by_seed(name):
    """Name and seed determine items and answers; another seed makes another world."""
    one, same, other = (make_task(name, seed=seed) for seed in (8, 8, 9))
    assert one.train == same.train != other.train
    assert not {item["id"] for item in one.train} & {item["id"] for item in one.validation}
    assert one.true_score(one.seed_prompt) == same.true_score(one.seed_prompt)


@given(st.text(), st.integers(0, 59))
def test_metric_accepts_any_output(output, number):
    """Whatever is answered gets a score and a reason; only the code word is right."""
    task = WORLD
    item = task.train[number]
    assert task.metric(item, output) == (0.0, "Wrong.")
    assert task.metric(item, f" {item['answer']}\n") == (1.0, "Correct.")
