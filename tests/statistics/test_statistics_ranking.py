"""Bradley-Terry rankings: against a textbook, a direct optimisation and simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from opik_eval.errors import ConfigError
from opik_eval.statistics import Game, bradley_terry

NAMES = "abcd"


def games_of(wins):
    return [
        Game(a, b, 1.0) for a, row in wins.items() for b, count in row.items() for _ in range(count)
    ]


def play(rng, strengths, rounds, *, copies=1):
    """Return all pairs on each item; copies of a game are of one cluster and equal."""
    games = []
    for item in range(rounds):
        for i, a in enumerate(strengths):
            for j in range(i):
                chance = 1 / (1 + math.exp(strengths[j] - a))
                won = float(rng.random() < chance)
                cluster = None if copies == 1 else (item, i, j)
                games += [Game(NAMES[i], NAMES[j], won, cluster)] * copies
    return games


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("abc"), st.sampled_from([0.0, 0.5, 1.0])),
        max_size=25,
    )
)
def test_strengths_maximise_the_penalised_likelihood(rows):
    """The same as a general optimiser finds."""
    games = [Game("a", "b", 1.0), Game("b", "c", 0.0)]
    games += [Game(*row) for row in rows if row[0] != row[1]]
    found = {one.name: one.strength for one in bradley_terry(games)}

    def loss(strengths):
        of = dict(zip("abc", strengths, strict=True))
        total = 0.0
        for game in games:
            gap = of[game.a] - of[game.b]
            total += np.logaddexp(0, -gap) * game.score + np.logaddexp(0, gap) * (1 - game.score)
        return total + 0.5 * sum(np.logaddexp(0, s) + np.logaddexp(0, -s) for s in strengths)

    best = minimize(loss, np.zeros(3), tol=1e-12).x
    best -= best.mean()
    assert [found[name] for name in "abc"] == pytest.approx(best.tolist(), abs=1e-4)


def test_many_games_find_the_true_strengths():
    """And their order."""
    strengths = [0.9, 0.3, -0.2, -1.0]
    rated = bradley_terry(play(np.random.default_rng(0), strengths, 3000))
    assert [one.name for one in rated] == list(NAMES)
    assert [one.strength for one in rated] == pytest.approx(strengths, abs=0.08)
    assert [(one.best_rank, one.worst_rank) for one in rated] == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert rated[0].win_probability == pytest.approx(1 / (1 + math.exp(-rated[0].strength)))
    assert rated[0].games == 9000


@pytest.mark.parametrize("copies", [1, 5])
def test_intervals_cover_the_truth(copies):
    """In about 95 % of samples, also if each game is counted five times within its cluster."""
    rng = np.random.default_rng(5)
    strengths = [0.7, 0.1, -0.2, -0.6]
    hits = 0
    for _ in range(150):
        rated = bradley_terry(play(rng, strengths, 50, copies=copies))
        hits += sum(one.low <= strengths[NAMES.index(one.name)] <= one.high for one in rated)
    assert 0.91 <= hits / 600 <= 0.985


def test_equal_candidates_are_not_told_apart():
    """Few games leave all ranks open; ties count as half."""
    games = [Game("a", "b", 0.5), Game("b", "c", 0.5), Game("c", "a", 0.5)] * 4
    for one in bradley_terry(games):
        assert one.strength == pytest.approx(0, abs=1e-9)
        assert (one.best_rank, one.worst_rank) == (1, 3)


def test_a_candidate_that_always_wins_has_a_finite_strength():
    """However many games it wins."""
    first, last = bradley_terry([Game("a", "b", 1.0)] * 1000)
    assert first.name == "a"
    assert 3 < first.strength < 20
    assert first.low > last.high


def test_the_order_of_games_and_names_makes_no_difference():
    """A game may be told from either side."""
    games = games_of({"a": {"b": 5, "c": 2}, "b": {"a": 3, "c": 4}, "c": {"a": 1}})
    turned = [Game(game.b, game.a, 1 - game.score) for game in reversed(games)]
    one, other = bradley_terry(games), bradley_terry(turned)
    assert [r.name for r in one] == [r.name for r in other]
    assert [r.strength for r in one] == pytest.approx([r.strength for r in other])


@pytest.mark.parametrize(
    ("games", "problem"),
    [
        ([], "no comparisons"),
        ([Game("a", "a", 1.0)], "two candidates"),
        ([Game("a", "b", 1.5)], "scored from 0 to 1"),
        ([Game("a", "b", math.nan)], "scored from 0 to 1"),
        ([Game("a", "b", 1.0), Game("c", "d", 1.0)], "never compared"),
    ],
)
def test_what_cannot_be_ranked_is_refused(games, problem):
    """Nothing, nonsense, and groups that never met."""
    with pytest.raises(ConfigError, match=problem):
        bradley_terry(games)


def test_some_clusters_and_some_games_alone():
    """Games without a cluster stand for themselves beside those with one."""
    games = [Game("a", "b", 1.0, "x")] * 10 + [Game("a", "b", 1.0), Game("b", "a", 1.0)] * 5
    alone = [Game(game.a, game.b, game.score) for game in games]
    clustered, independent = bradley_terry(games)[0], bradley_terry(alone)[0]
    assert clustered.strength == pytest.approx(independent.strength)
    assert clustered.high - clustered.low > independent.high - independent.low
