"""Racing: blocks, the test of each look, and the bound on wrong decisions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import convolve2d
from scipy.stats import binomtest, multinomial

from opik_optimizer.racing import LEVEL, blocks_of, is_worse, p_worse

INDEPENDENT = 0.45**2 + 0.55**2
"""Share of items on which two independent prompts of means .45 and .55 differ; the largest."""


def looks_of(size: int) -> list[int]:
    blocks = blocks_of([str(i) for i in range(size)])
    return list(itertools.accumulate(map(len, blocks)))[:-1]


def chance_of_drop(size: int, *, gain: float, differing: float) -> float:
    """Return the exact chance that a race on 0/1 scores drops a candidate."""
    steps = ((differing + gain) / 2, (differing - gain) / 2, 1 - differing)
    alive, dropped, seen = np.ones((1, 1)), 0.0, 0
    for look in looks_of(size):
        n = look - seen
        wins, losses = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
        ties = n - wins - losses
        counts = np.stack([wins, losses, np.maximum(ties, 0)], axis=-1)
        block = np.where(
            ties >= 0,
            multinomial.pmf(
                np.where(ties[..., None] >= 0, counts, 0)
                + np.where(ties[..., None] >= 0, 0, [0, 0, n]),
                n,
                steps,
            ),
            0.0,
        )
        alive, seen = convolve2d(alive, block), look
        for won, lost in zip(*np.nonzero(alive), strict=True):
            if won + lost and is_worse(p_of(int(won), int(lost))):
                dropped += alive[won, lost]
                alive[won, lost] = 0.0
    return float(dropped)


def p_of(wins: int, losses: int) -> float:
    candidate = {str(i): float(i < wins) for i in range(wins + losses)}
    return p_worse(candidate, {item: 1.0 - score for item, score in candidate.items()})


@pytest.mark.parametrize("size", [20, 30, 40, 41, 50, 60, 75, 80])
def test_a_better_candidate_is_seldom_dropped(size: int) -> None:
    """Ten points better and still dropped: at most 6 %, exactly, for independent prompts."""
    assert chance_of_drop(size, gain=0.1, differing=INDEPENDENT) <= 0.06


@pytest.mark.parametrize("size", [40, 60])
def test_worse_candidates_are_dropped(size: int) -> None:
    """The more a candidate is worse, the more surely its race ends early."""
    chances = [chance_of_drop(size, gain=g, differing=0.4) for g in (0.1, 0.0, -0.1, -0.2)]
    assert chances == sorted(chances)
    assert chances[-1] > 0.7


@pytest.mark.parametrize("size", [40, 100, 200])
@pytest.mark.parametrize("kind", ["graded", "binary"])
def test_the_bound_holds_in_simulated_races(size: int, kind: str) -> None:
    """The same bound in simulations where items share their difficulty, for graded scores too."""
    rng = np.random.default_rng(size)
    races, dropped = 1500, 0
    for _ in range(races):
        ease = rng.uniform(0.2, 0.7, size)
        if kind == "binary":
            old, new = (rng.random(size) < ease), (rng.random(size) < ease + 0.1)
        else:
            old = np.clip(ease + rng.normal(0, 0.25, size), 0, 1)
            new = np.clip(ease + 0.1 + rng.normal(0, 0.25, size), 0, 1)
        a, b = old.astype(float), new.astype(float)
        dropped += any(
            is_worse(
                p_worse({str(i): b[i] for i in range(look)}, {str(i): a[i] for i in range(look)})
            )
            for look in looks_of(size)
        )
    assert dropped / races <= 0.06


@given(st.integers(0, 40), st.integers(0, 40))
def test_wins_and_losses_give_the_exact_binomial_p(wins: int, losses: int) -> None:
    """On 0/1 scores the p-value is the one-sided sign test's."""
    expected = 1.0
    if wins + losses:
        expected = binomtest(wins, wins + losses, alternative="less").pvalue
    assert p_of(wins, losses) == pytest.approx(expected)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=10))
def test_a_p_value_is_never_below_what_the_pairs_can_show(differences: list[float]) -> None:
    """With m differences the smallest possible p-value is 2^-m; without any it is 1."""
    items = {str(i): d for i, d in enumerate(differences)}
    value = p_worse(items, dict.fromkeys(items, 0.0))
    changed = sum(d != 0 for d in differences)
    assert 0.5**changed <= value <= 1.0


def test_graded_p_values_are_near_the_enumerated_ones() -> None:
    """With a dozen graded differences the normal approximation is within 0.05 of the exact p."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        d = rng.normal(-0.1, 0.3, 12)
        signs = np.array(list(itertools.product([1, -1], repeat=12)))
        exact = float(np.mean(signs @ np.abs(d) <= d.sum() + 1e-12))
        items = {str(i): v for i, v in enumerate(d)}
        assert p_worse(items, dict.fromkeys(items, 0.0)) == pytest.approx(exact, abs=0.05)


@given(st.integers(1, 400))
def test_blocks_cut_the_sample_without_loss(size: int) -> None:
    """All items, in order, in blocks of at least five where there are that many."""
    ids = [str(i) for i in range(size)]
    blocks = blocks_of(ids)
    assert [item for block in blocks for item in block] == ids
    assert len(blocks) <= 4
    assert min(map(len, blocks)) >= min(size, 3)


def test_items_the_incumbent_lacks_do_not_count() -> None:
    """Only pairs are compared; without any there is no evidence."""
    assert p_worse({"a": 0.0}, {"b": 1.0}) == 1.0
    assert not is_worse(1.0)
    assert is_worse(LEVEL)
