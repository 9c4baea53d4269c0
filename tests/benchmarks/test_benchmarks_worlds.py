"""Tasks on which demonstrations decide, and tasks on which parameters of the call decide."""

from __future__ import annotations

import json
from itertools import product

import pytest

from benchmarks.optimizers.contest import Job, run_job
from benchmarks.optimizers.peers import ours_peer
from benchmarks.optimizers.simulation.demonstrations import MOST_SHOWN, SHOTS, DemonstrationTask
from benchmarks.optimizers.simulation.surface import (
    MODELS,
    SURFACES,
    ParameterTask,
    as_prompts,
)
from benchmarks.optimizers.simulation.world import NAMES, make_world


def shown(task: DemonstrationTask, *numbers: int) -> str:
    """Return a prompt with train items as demonstrations."""
    records = [task.train[number] for number in numbers]
    return "\n\n".join(f"{r['question']}\nAnswer: {r['answer']}" for r in records)


@pytest.mark.parametrize("name", [*SHOTS, *SURFACES])
def test_a_world_is_the_same_in_every_process(name: str) -> None:
    """Name and seed make a task; another seed makes another one."""
    first, again, other = (make_world(name, seed=seed) for seed in (3, 3, 4))
    assert (first.train, first.validation) == (again.train, again.validation)
    assert first.train != other.train
    assert first.is_seed(first.seed_prompts)
    assert first.ratio(first.seed_prompts) == 0
    assert name in NAMES


def test_a_demonstration_helps_on_items_of_its_kind_alone() -> None:
    """One of the same kind helps most, one of the same class some, a second one nothing."""
    task = DemonstrationTask("shots", SHOTS["shots"], seed=0)
    items = [task._items[record["id"]] for record in task.train]
    good = [n for n, item in enumerate(items) if not item.misleads]
    one = good[0]
    twin = next(n for n in good if n != one and items[n].kind == items[one].kind)
    scores = {
        kind: task._chance(task._read(shown(task, one)), kind)
        for kind in {item.kind for item in items}
    }
    same = scores[items[one].kind]
    near = {s for kind, s in scores.items() if kind[0] == items[one].kind[0]} - {same}
    far = {s for kind, s in scores.items() if kind[0] != items[one].kind[0]}
    assert same > max(near) >= min(near) > max(far)
    assert task.true_score(shown(task, one, twin)) < task.true_score(shown(task, one))


def test_a_misleading_demonstration_hurts() -> None:
    """It costs more than it brings."""
    task = DemonstrationTask("shots-harm", SHOTS["shots-harm"], seed=1)
    items = [task._items[record["id"]] for record in task.train]
    good = next(n for n, item in enumerate(items) if not item.misleads)
    bad = next(n for n, i in enumerate(items) if i.misleads and i.kind == items[good].kind)
    assert task.true_score(shown(task, good, bad)) < task.true_score(shown(task, good))


def test_a_question_without_its_answer_is_no_demonstration() -> None:
    """The item that is asked is not taken for one that is shown."""
    task = DemonstrationTask("shots", SHOTS["shots"], seed=0)
    assert task.true_score(task.train[0]["question"]) == task.true_score(task.seed_prompts)


def test_no_set_of_demonstrations_beats_the_optimum() -> None:
    """The optimum is what the best kinds come to, found by brute force in a small world."""
    spec = SHOTS["shots-long"]
    task = DemonstrationTask("shots-long", spec, seed=2)
    kinds = sorted(task._test)
    best = 0.0
    for chosen in product([False, True], repeat=len(kinds)):
        taken = {kind for kind, is_taken in zip(kinds, chosen, strict=True) if is_taken}
        if len(taken) > MOST_SHOWN:
            continue
        classes = {name for name, _ in taken}
        known = sum(
            n * (1 if kind in taken else spec.near if kind[0] in classes else spec.far)
            for kind, n in task._test.items()
        )
        value = known / sum(task._test.values()) * spec.length ** len(taken)
        best = max(best, spec.floor + (spec.cap - spec.floor) * value)
    assert task.optimum == pytest.approx(best)


def test_parameters_have_one_best_place() -> None:
    """At the best model's peak the true score is the optimum, elsewhere less."""
    task = ParameterTask("surface", SURFACES["surface"], seed=0)
    best = max(MODELS, key=lambda model: task._peaks[model].quality)
    temperature, top_p = task._peaks[best].place
    call = {"model": best, "temperature": temperature, "top_p": top_p}
    assert task.true_score(as_prompts(call)) == pytest.approx(task.optimum)
    for change in ({"temperature": temperature + 0.2}, {"top_p": top_p - 0.1}):
        assert task.true_score(as_prompts(call | change)) < task.optimum
    others = [m for m in MODELS if m != best]
    assert all(task.true_score(as_prompts(call | {"model": m})) < task.optimum for m in others)


@pytest.mark.parametrize(("noise", "answers"), [("det", 1), ("prompt", 1), ("sample", 2)])
def test_noise_is_of_three_kinds(noise: str, answers: int) -> None:
    """Only with ``sample`` does the same call come out otherwise when it is repeated."""
    for task in (
        DemonstrationTask("x", next(s for s in SHOTS.values() if s.noise == noise), seed=0),
        ParameterTask("x", next(s for s in SURFACES.values() if s.noise == noise), seed=0),
    ):
        outputs = {
            tuple(task.answer(task.seed_prompts, item) for item in task.train) for _ in range(3)
        }
        assert (len(outputs) > 1) == (answers > 1)


@pytest.mark.parametrize(
    ("contestant", "task"), [("ours:few_shot", "shots"), ("ours:parameter", "surface")]
)
def test_our_optimizers_run_on_them(contestant: str, task: str) -> None:
    """They gain something and keep to the budget, and the outcome says so."""
    job = Job(contestant=contestant, task=task, budget=400, seed=1)
    outcome = run_job(job, ours_peer.run)
    assert outcome.ratio > 0
    assert outcome.calls <= 400
    assert json.loads(json.dumps(outcome.to_json()))["job"]["task"] == task
