"""Selection, rates and edits of the evolutionary optimizer, each by itself."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_optimizer.algorithms.evolutionary.edits import EDITS, INSTRUCTIONS
from opik_optimizer.algorithms.evolutionary.options import EvolutionaryOptions
from opik_optimizer.algorithms.evolutionary.population import (
    Member,
    crowding,
    diversity,
    dominates,
    fronts,
    knee,
    mate_of,
    survivors,
    tournament,
)
from opik_optimizer.algorithms.evolutionary.rates import OperatorRates
from opik_optimizer.candidate import Candidate
from opik_optimizer.errors import SettingsError
from opik_optimizer.evaluation import Evaluation, ItemResult
from opik_optimizer.prompt import ChatPrompt

POINTS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.integers(1, 5)),
    min_size=1,
    max_size=12,
)


def member(index: int, scores: list[float], words: int = 3) -> Member:
    """Return a member with a score per item and a prompt of some length."""
    text = " ".join([f"Say{index}."] + ["word"] * words)
    candidate = Candidate.of(ChatPrompt(system=text, user="{question}"))
    results = tuple(ItemResult(item_id=str(n), score=score) for n, score in enumerate(scores))
    evaluation = Evaluation(candidate=candidate, split="validation", results=results)
    return Member(index=index, evaluation=evaluation, texts=candidate.components(["system"]))


@given(POINTS)
def test_fronts_are_what_the_definition_says(points: list[tuple[float, int]]) -> None:
    """A point is on front k if the longest chain of points that dominate it has length k."""

    def depth(i: int) -> int:
        above = [j for j, point in enumerate(points) if dominates(point, points[i])]
        return 1 + max(map(depth, above), default=-1)

    found = fronts(points)
    assert {i: n for n, front in enumerate(found) for i in front} == {
        i: depth(i) for i in range(len(points))
    }


@given(POINTS)
def test_domination_is_a_strict_order(points: list[tuple[float, int]]) -> None:
    """No point dominates itself, and no two each other."""
    for first in points:
        for second in points:
            assert not (dominates(first, second) and dominates(second, first))


def test_crowding_is_the_perimeter_of_the_gap() -> None:
    """Inner points get the normalised width and height of the gap around them."""
    points = [(0.0, 0), (0.2, 4), (0.4, 5), (1.0, 10)]
    assert crowding(points) == [math.inf, pytest.approx(0.9), pytest.approx(1.4), math.inf]
    assert crowding([(0.5, 3)]) == [math.inf]
    assert crowding([(0.5, 3), (0.5, 3), (0.5, 3)])[1] == 0.0


def test_the_knee_gains_most_for_its_length() -> None:
    """A long prompt that is hardly better is no knee; a single point is its own."""
    assert knee([(0.1, 10), (0.7, 20), (0.75, 100)]) == 1
    assert knee([(0.4, 10)]) == 0


def test_with_one_objective_the_best_survive() -> None:
    """Truncation keeps the highest scores, of equal ones the shorter."""
    members = [member(0, [0.0]), member(1, [1.0]), member(2, [0.5]), member(3, [0.5], words=1)]
    assert [m.index for m in survivors(members, 2, elites=1, is_moo=False)] == [1, 3]


def test_with_two_objectives_short_prompts_survive_beside_the_elite() -> None:
    """NSGA-II keeps both ends of the front; an elite by score stays though it is dominated."""
    members = [
        member(0, [0.1], words=1),
        member(1, [0.9], words=20),
        member(2, [0.8], words=30),
        member(3, [0.05], words=2),
    ]
    assert [m.index for m in survivors(members, 2, elites=0, is_moo=True)] == [0, 1]
    assert [m.index for m in survivors(members, 2, elites=2, is_moo=True)] == [1, 2]


def test_parents_have_won_a_tournament() -> None:
    """Whoever meets all others wins only as the best; alone, anybody does."""
    members = [member(n, [n / 10]) for n in range(5)]
    rng = random.Random(0)
    for is_moo in (False, True):
        assert tournament(members, rng, size=5, is_moo=is_moo).index == 4
        winners = {tournament(members, rng, size=1, is_moo=is_moo).index for _ in range(60)}
        assert winners == set(range(5))


def test_the_mate_is_right_where_the_member_is_wrong() -> None:
    """The complement is chosen, not the highest mean."""
    first = member(0, [1.0, 1.0, 0.0, 0.0])
    twin, complement = member(1, [1.0, 1.0, 1.0, 0.0]), member(2, [0.0, 0.0, 1.0, 1.0])
    assert mate_of(first, [twin, complement], random.Random(0), 4) is complement


def test_diversity_is_the_share_of_sentences_not_shared() -> None:
    """Equal members have none; one sentence in three in common leaves two thirds."""
    same = member(0, [0.0])
    assert diversity([same, same]) == 0.0
    assert diversity([same, member(1, [0.0])]) == pytest.approx(2 / 3)
    assert diversity([same]) == 0.0


def test_rates_follow_success() -> None:
    """What brings better offspring is used more, what does not is used less but never dies out."""
    rates = OperatorRates({"good": 0.5, "bad": 0.5, "never": 0.0})
    for _ in range(50):
        rates.saw("good", is_success=True)
        rates.saw("bad", is_success=False)
        rates.saw("unknown", is_success=True)
    shares = rates.shares()
    assert shares["good"] > 0.8
    assert shares["bad"] > 0.05
    assert sum(shares.values()) == pytest.approx(1.0)
    assert rates.operators == ["good", "bad"]
    assert rates.report()["good"] == {
        "tries": 50,
        "successes": 50,
        "share": round(shares["good"], 3),
    }
    drawn = [rates.draw(random.Random(n), ["good", "bad"]) for n in range(300)]
    assert drawn.count("good") / 300 == pytest.approx(shares["good"], abs=0.08)
    assert rates.draw(random.Random(0), ["never"]) is None


def test_rates_stay_where_they_are_if_asked_to() -> None:
    """Without adaptation the initial shares hold."""
    rates = OperatorRates({"a": 0.3, "b": 0.1}, is_adaptive=False)
    rates.saw("b", is_success=True)
    assert rates.shares() == pytest.approx({"a": 0.75, "b": 0.25})


@given(
    st.lists(st.sampled_from(["Be brief.", "Use {x}.", "Ask.", "Stop!"]), unique=True, min_size=1),
    st.lists(st.sampled_from(["Be brief.", "Go on.", "Use {x}."]), unique=True, min_size=1),
)
def test_edits_keep_sentences_whole(own: list[str], other: list[str]) -> None:
    """Whatever an edit yields is made of the sentences there are and the known instructions."""
    known = {*own, *other, *(text for group in INSTRUCTIONS for text in group)}
    for name, edit in EDITS.items():
        for text in edit(" ".join(own), [" ".join(other)]):
            left = text
            for sentence in sorted(known, key=len, reverse=True):
                left = left.replace(sentence, "")
            assert not left.strip(), name


def test_each_edit_does_what_it_is_called() -> None:
    """Drop, move, instruct, borrow and replace, on two sentences."""
    text, others = "A one. B two.", ["A one. C three."]
    made = {name: list(edit(text, others)) for name, edit in EDITS.items()}
    assert made["drop"] == ["B two.", "A one."]
    assert set(made["move"]) == {"A one. B two.", "B two. A one."}
    assert made["borrow"] == ["A one. C three. B two."]
    assert made["replace"] == ["A one. C three."]
    assert len(made["instruct"]) == sum(map(len, INSTRUCTIONS))
    assert list(EDITS["drop"]("Only one.", [])) == []


def test_instructions_of_one_group_exclude_each_other() -> None:
    """A new instruction takes the place of the one it contradicts."""
    first, second = INSTRUCTIONS[0][:2]
    made = [text for text in EDITS["instruct"](f"Answer. {first}", []) if second in text]
    assert made == [f"Answer. {second}"]


@pytest.mark.parametrize(
    "options",
    [
        {"population_size": 1},
        {"num_generations": 0},
        {"mutation_rate": 1.5},
        {"crossover_rate": -0.1},
        {"mutation_rate": 0.0, "crossover_rate": 0.0},
        {"tournament_size": None},
        {"screening_size": True},
    ],
)
def test_senseless_values_are_refused(options: dict[str, object]) -> None:
    """A value that makes no sense is an error before anything is spent."""
    with pytest.raises(SettingsError):
        EvolutionaryOptions(**options)  # type: ignore[arg-type]
