"""The parts of GEPA: fronts, parents, what is shown, merges."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_optimizer.algorithms.gepa.merge import ancestors_of, plan_merge
from opik_optimizer.algorithms.gepa.minibatch import (
    LEAST_RATE,
    Minibatch,
    Room,
    begin_again,
    guarded_items,
    is_failure,
    plan_epoch,
    plan_fresh_failures,
    plan_rest,
    shown_items,
)
from opik_optimizer.algorithms.gepa.options import GepaOptions
from opik_optimizer.algorithms.gepa.pool import Member, choose_parent, front_counts, fronts_of
from opik_optimizer.candidate import Candidate
from opik_optimizer.errors import SettingsError
from opik_optimizer.evaluation import Evaluation, ItemResult
from opik_optimizer.prompt import ChatPrompt
from opik_optimizer.text_edits import merge_texts

PLENTY = Room(calls=10_000)


def member(
    index: int,
    scores: list[float],
    *,
    parents: tuple[int, ...] = (),
    text: str = "Be brief.",
    objectives: list[dict[str, float]] | None = None,
    order: tuple[str, ...] = (),
) -> Member:
    results = tuple(
        ItemResult(item_id=f"v{n}", score=score, scores=objectives[n] if objectives else {})
        for n, score in enumerate(scores)
    )
    candidate = Candidate.of(ChatPrompt(system=f"{text} {index}", user="{q}"))
    evaluation = Evaluation(candidate=candidate, split="validation", results=results)
    return Member(index=index, evaluation=evaluation, parents=parents, order=order)


def trained(**scores: float) -> dict[str, ItemResult]:
    return {name: ItemResult(item_id=name, score=score) for name, score in scores.items()}


# Fronts and parents


def test_fronts_hold_all_who_are_tied_at_the_best() -> None:
    """For each item those with its best score are on the front, ties included."""
    pool = [member(0, [1, 0, 0]), member(1, [1, 1, 0]), member(2, [0, 0, 1])]
    assert fronts_of(pool, "instance") == {
        "v0": frozenset({0, 1}),
        "v1": frozenset({1}),
        "v2": frozenset({2}),
    }


def test_those_who_are_best_nowhere_alone_are_no_parents() -> None:
    """A member all of whose fronts others hold too is left out, the weakest first."""
    pool = [member(0, [1, 0, 0]), member(1, [1, 1, 0]), member(2, [0, 0, 1])]
    assert front_counts(pool, "instance") == {1: 2, 2: 1}


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("objective", {("objective", "a"), ("objective", "b")}),
        ("hybrid", {"v0", "v1", ("objective", "a"), ("objective", "b")}),
        ("cartesian", {("v0", "a"), ("v0", "b"), ("v1", "a"), ("v1", "b")}),
    ],
)
def test_what_a_member_can_be_best_at(kind: str, keys: set[object]) -> None:
    """Each kind of front has its own keys."""
    pool = [member(0, [1, 0], objectives=[{"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 1.0}])]
    assert set(fronts_of(pool, kind)) == keys


def test_without_objectives_the_score_is_the_only_one() -> None:
    """Fronts over objectives work where the metric has one score."""
    pool = [member(0, [1, 0]), member(1, [1, 1])]
    assert fronts_of(pool, "objective") == {("objective", "objective"): frozenset({1})}
    assert fronts_of(pool, "cartesian")[("v1", "objective")] == frozenset({1})


pools = st.lists(
    st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=4, max_size=4), min_size=1, max_size=7
).map(lambda rows: [member(index, row) for index, row in enumerate(rows)])


@given(pools)
def test_every_front_keeps_somebody(pool: list[Member]) -> None:
    """Those left out leave no front empty, and nobody with a front of his own is left out."""
    counts = front_counts(pool, "instance")
    for tied in fronts_of(pool, "instance").values():
        assert tied & set(counts)
        if len(tied) == 1:
            assert tied <= set(counts)


@given(
    pools,
    st.sampled_from(["adaptive", "pareto", "current_best", "epsilon_greedy", "top_k_pareto"]),
    st.integers(0, 99),
)
def test_a_parent_is_of_the_pool_and_depends_on_the_seed_alone(
    pool: list[Member], choice: str, seed: int
) -> None:
    """Every way to choose gives a member, and the same one for the same seed."""
    chosen = [
        choose_parent(pool, random.Random(seed), choice=choice, kind="instance") for _ in range(2)
    ]
    assert chosen[0] is chosen[1]
    assert chosen[0] in pool


def test_the_greedy_share_is_the_share_of_the_best() -> None:
    """With a share of 1 the best mean is always chosen, with 0 the fronts decide alone."""
    pool = [member(0, [1, 1, 0, 0]), member(1, [0, 1, 1, 1])]
    rng = random.Random(0)

    def share(greedy: float) -> float:
        drawn = [
            choose_parent(pool, rng, choice="adaptive", kind="instance", greedy_share=greedy)
            for _ in range(400)
        ]
        return sum(parent.index for parent in drawn) / 400

    assert share(1.0) == 1.0
    assert share(0.0) == pytest.approx(0.6, abs=0.08)  # three fronts of five


# What is shown


def test_failures_are_shown_once() -> None:
    """Known failures come first, and none is given out twice; items are run in the order."""
    parent = member(0, [1.0], order=("c", "d", "e", "f"))
    parent.trained = trained(a=0.0, b=1.0)
    first = plan_fresh_failures(parent, size=2, perfect=1.0, rng=random.Random(0), room=PLENTY)
    assert (first.known, first.chunk, first.successes) == (("a",), ("c", "d"), ("b",))
    second = plan_fresh_failures(parent, size=2, perfect=1.0, rng=random.Random(0), room=PLENTY)
    assert (second.known, second.chunk) == ((), ("e", "f"))
    nothing = plan_fresh_failures(parent, size=2, perfect=1.0, rng=random.Random(0), room=PLENTY)
    assert nothing is None


def test_a_second_proposal_shows_the_failures_that_the_first_has_no_room_for() -> None:
    """Proposals beside each other share a chunk, and no failure is in two of them."""
    batch = Minibatch(known=("a",), chunk=tuple("cdefgh"), size=3, successes=("b",))
    ran = trained(c=0.0, d=0.0, e=1.0, f=0.0, g=0.0, h=0.0)
    shown = shown_items(batch, ran, perfect=1.0, failures_only=True)
    rest = plan_rest(batch)
    assert (shown, rest.known, rest.successes) == (["a", "c", "d"], (), ())
    assert shown_items(rest, ran, perfect=1.0, failures_only=True) == ["f", "g", "h"]
    last = plan_rest(rest)
    assert shown_items(last, ran, perfect=1.0, failures_only=True) == []
    assert plan_rest(last) is None


def test_everything_may_be_shown_once_more() -> None:
    """A member that begins again shows all failures in another order."""
    parent = member(0, [1.0], order=tuple("abcdefgh"))
    parent.cursor, parent.shown = 8, {"a"}
    begin_again(parent, random.Random(1))
    assert (parent.cursor, parent.shown, sorted(parent.order)) == (0, set(), list("abcdefgh"))
    assert parent.order != tuple("abcdefgh")


@given(
    room=st.integers(0, 80),
    runs=st.sampled_from([1, 2]),
    size=st.integers(1, 20),
    failures=st.integers(0, 10),
    outcomes=st.lists(st.booleans(), min_size=60, max_size=60),
)
def test_a_minibatch_keeps_to_its_room(
    room: int, runs: int, size: int, failures: int, outcomes: list[bool]
) -> None:
    """Whatever comes of the chunk, the parent's and the child's runs fit the room."""
    parent = member(0, [1.0], order=tuple(f"t{n}" for n in range(60)))
    parent.trained = trained(**{f"k{n}": 0.0 for n in range(failures)})
    batch = plan_fresh_failures(
        parent, size=size, perfect=1.0, rng=random.Random(0), room=Room(calls=room, runs=runs)
    )
    if batch is None:
        return
    assert len(batch.chunk) <= size / LEAST_RATE
    ran = trained(**{f"t{n}": float(right) for n, right in enumerate(outcomes)})
    shown = shown_items(batch, parent.trained | ran, perfect=1.0, failures_only=True)
    assert len(shown) <= size
    assert len(batch.chunk) + runs * len(shown) <= room


def test_an_epoch_shows_every_item_once() -> None:
    """The epoch sampler goes through all items before it begins anew."""
    parent = member(0, [1.0], order=tuple("abcde"))
    rng = random.Random(0)
    chunks = [plan_epoch(parent, size=2, rng=rng, room=PLENTY).chunk for _ in range(3)]
    assert [item for chunk in chunks for item in chunk] == list("abcde")
    assert len(plan_epoch(parent, size=5, rng=rng, room=PLENTY).chunk) == 5


def test_successes_guard_the_gate() -> None:
    """Items that the parent gets right join the gate, those of the chunk first."""
    parent = member(0, [1.0], order=("c", "d"))
    parent.trained = trained(a=1.0)
    batch = plan_fresh_failures(parent, size=2, perfect=1.0, rng=random.Random(0), room=PLENTY)
    known = trained(a=1.0, c=0.0, d=1.0)
    shown = shown_items(batch, known, perfect=1.0, failures_only=True)
    assert shown == ["c"]
    assert guarded_items(batch, known, shown, perfect=1.0, count=5) == ["d", "a"]
    assert guarded_items(batch, known, shown, perfect=1.0, count=1) == ["d"]


def test_an_item_without_a_score_is_a_failure() -> None:
    """What the agent failed at can be learnt from as well."""
    assert is_failure(ItemResult(item_id="a", error="no answer"), 1.0)
    assert not is_failure(ItemResult(item_id="a", score=0.96), 0.95)


# Merges

sentences = st.lists(
    st.sampled_from(["Be kind.", "Count twice.", "Name the unit.", "Say why.", "Stop early."]),
    unique=True,
    max_size=5,
)


def test_additions_at_one_place_are_both_kept() -> None:
    """Two edits that append to the same text are joined, the first one's first."""
    assert merge_texts("One.", "One. Two.", "One. Three.") == "One. Two. Three."


def test_edits_of_one_sentence_clash() -> None:
    """Where both changed the same sentence there is no merge."""
    assert merge_texts("Be brief. Stop.", "Be short. Stop.", "Be terse. Stop.") is None


@given(sentences, sentences)
def test_a_merge_with_the_base_is_the_other_edit(base: list[str], edit: list[str]) -> None:
    """Where one side changed nothing, the merge is what the other side wrote."""
    old, new = " ".join(base), " ".join(edit)
    assert merge_texts(old, new, old) == new
    assert merge_texts(old, old, new) == new
    assert merge_texts(old, new, new) in (new, None)


@given(sentences, sentences, sentences)
def test_a_merge_has_what_both_kept_and_loses_what_one_removed(
    base: list[str], first: list[str], second: list[str]
) -> None:
    """No sentence is invented, none is there twice, and what both have stays."""
    merged = merge_texts(" ".join(base), " ".join(first), " ".join(second))
    if merged is None:
        return
    pieces = [f"{piece.strip()}." for piece in merged.split(".") if piece.strip()]
    assert len(pieces) == len(set(pieces))
    assert set(pieces) <= {*base, *first, *second}
    assert {*first} & {*second} <= set(pieces)


def test_lines_are_merged_like_sentences() -> None:
    """Lists, one point a line, are merged point by point."""
    base = "Rules:\n- one\n- two"
    assert merge_texts(base, "Rules:\n- zero\n- one\n- two", f"{base}\n- three") == (
        "Rules:\n- zero\n- one\n- two\n- three"
    )


def test_what_a_text_says_twice_stays_twice() -> None:
    """Lines that occur more than once, such as braces, are left alone; so are numbers and names."""
    base = '{\n  "a": 1.5\n}\n{\n}\nUse v1.2 of a.b.'
    assert merge_texts(base, f"{base} Stop.", f"Begin.\n{base}") == f"Begin.\n{base} Stop."


def test_paragraphs_stay_apart() -> None:
    """The white space between pieces is kept."""
    base = "One. Two.\n\nThree."
    assert merge_texts(base, f"Zero. {base}", f"{base}\n\nFour.") == f"Zero. {base}\n\nFour."


def family() -> tuple[list[Member], list[dict[str, str]]]:
    """A grandparent with two children that changed different components."""
    pool = [
        member(0, [0.0, 0.0]),
        member(1, [1.0, 0.0], parents=(0,)),
        member(2, [0.0, 1.0], parents=(0,)),
    ]
    texts = [
        {"plan": "Plan.", "answer": "Answer."},
        {"plan": "Plan well.", "answer": "Answer."},
        {"plan": "Plan.", "answer": "Answer well."},
    ]
    return pool, texts


def test_cousins_are_joined_component_by_component() -> None:
    """A component that one of the two changed is taken from it; a pair is joined once."""
    pool, texts = family()
    done: set[tuple[int, int]] = set()
    plan = plan_merge(pool, [1, 2], texts, done=done, rng=random.Random(0))
    assert plan.texts == {"plan": "Plan well.", "answer": "Answer well."}
    assert plan.ancestor.index == 0
    assert done == {(1, 2)}
    assert plan_merge(pool, [1, 2], texts, done=done, rng=random.Random(0)) is None


def test_where_changes_clash_the_better_one_is_taken() -> None:
    """Of texts that cannot be merged the better member's stands, beside what the other added."""
    pool, texts = family()
    pool[1] = member(1, [1.0, 1.0], parents=(0,))
    texts[1] = {"plan": "Plan well.", "answer": "Answer fully."}
    texts[2] = {"plan": "Plan badly.", "answer": "Answer. Say why."}
    texts[0] = {"plan": "Plan.", "answer": "Answer."}
    plan = plan_merge(pool, [1, 2], texts, done=set(), rng=random.Random(0))
    assert plan.texts["plan"] == "Plan well."


def test_there_is_no_merge_of_a_line_of_descent() -> None:
    """Parent and child are not joined, nor what has no common ancestor, nor one alone."""
    pool, texts = family()
    pool[2] = member(2, [0.0, 1.0], parents=(1,))
    assert ancestors_of(pool[2], pool) == {0, 1}
    assert plan_merge(pool, [1, 2], texts, done=set(), rng=random.Random(0)) is None
    assert plan_merge(pool, [1], texts, done=set(), rng=random.Random(0)) is None
    worse = [member(0, [1.0, 1.0]), *family()[0][1:]]
    assert plan_merge(worse, [1, 2], texts, done=set(), rng=random.Random(0)) is None


def test_a_merge_that_changes_nothing_is_none() -> None:
    """Where one of the two has it all already, there is nothing to join."""
    pool, texts = family()
    texts[2] = dict(texts[0])
    assert plan_merge(pool, [1, 2], texts, done=set(), rng=random.Random(0)) is None


# Parameters


@pytest.mark.parametrize(
    "wrong",
    [
        {"candidate_selection_strategy": "best"},
        {"frontier_type": "item"},
        {"module_selector": "one"},
        {"batch_sampler": "random"},
        {"acceptance_criterion": "always"},
        {"greedy_share": 1.5},
        {"reflection_minibatch_size": 0},
        {"siblings": 0},
        {"max_merge_invocations": -1},
        {"no_improvement_iterations": 0},
    ],
)
def test_parameters_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    """The error names the parameter."""
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        GepaOptions(**wrong)
