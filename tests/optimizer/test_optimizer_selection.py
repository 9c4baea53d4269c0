"""The honest winner: evidence, shrinkage, holdout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_optimizer.candidate import Candidate
from opik_optimizer.evaluation import Evaluation, ItemResult, Split
from opik_optimizer.prompt import ChatPrompt
from opik_optimizer.selection import Selection, optimism_of_best, select_winner

TRUTHS = [float(p) for p in np.linspace(0.3, 0.6, 10)]


def evaluation(name: str, values: Sequence[float], split: Split = "validation") -> Evaluation:
    candidate = Candidate.of(ChatPrompt(system=name, user="{question}"))
    results = tuple(ItemResult(item_id=f"{split}{i}", score=v) for i, v in enumerate(values))
    return Evaluation(candidate=candidate, split=split, results=results)


def simulated_run(
    truths: Sequence[float], *, base: float, held: int, seed: int, alpha: float = 0.05
) -> tuple[Selection, float]:
    """Return the selection of a simulated run, and the true score of what it returned."""
    rng = np.random.default_rng(seed)

    def draw(p: float, n: int) -> list[float]:
        return [float(x) for x in rng.random(n) < p]

    baseline = evaluation("seed", draw(base, 40))
    candidates = [evaluation(f"c{i}", draw(p, 40)) for i, p in enumerate(truths)]
    true = {e.candidate.id: p for e, p in zip(candidates, truths, strict=True)}
    true[baseline.candidate.id] = base
    finalists = sorted(candidates, key=lambda e: -e.score)[:3]
    holdout: Mapping[str, Evaluation] = {}
    if held:
        holdout = {
            e.candidate.id: evaluation(
                e.candidate.text(["system"]), draw(true[e.candidate.id], held), "holdout"
            )
            for e in (baseline, *finalists)
        }
    chosen = select_winner(
        baseline, finalists, holdout=holdout, compared=[baseline, *candidates], alpha=alpha
    )
    return chosen, true[chosen.winner.candidate.id]


@pytest.mark.parametrize("held", [0, 20])
def test_the_baseline_is_returned_where_no_candidate_is_better(held: int) -> None:
    """Of ten equal candidates the luckiest is returned in at most five per cent of runs."""
    runs = [simulated_run([0.5] * 10, base=0.5, held=held, seed=s)[0] for s in range(200)]
    assert sum(run.is_baseline for run in runs) >= 190


def test_a_much_better_candidate_is_returned() -> None:
    """A gain of thirty points on forty items is evidence enough."""
    runs = [simulated_run([0.8], base=0.4, held=20, seed=s)[0] for s in range(50)]
    assert sum(not run.is_baseline for run in runs) >= 48


def test_the_estimate_is_hardly_biased_though_the_mean_is() -> None:
    """Choosing the best of ten adds much to its mean, little to the estimate."""
    runs = [simulated_run(TRUTHS, base=0.3, held=20, seed=s) for s in range(120)]
    raw = float(np.mean([run.winner.score - true for run, true in runs]))
    corrected = float(np.mean([run.estimate - true for run, true in runs]))
    covered = float(np.mean([run.low <= true <= run.high for run, true in runs]))
    assert raw > 0.05
    assert abs(corrected) < 0.025
    assert covered >= 0.92


def test_a_higher_mean_alone_is_enough_at_alpha_one() -> None:
    """With alpha 1 the best mean wins, whatever the evidence."""
    baseline, finalist = evaluation("a", [1, 0, 0, 0]), evaluation("b", [1, 1, 0, 0])
    chosen = select_winner(baseline, [finalist], holdout={}, compared=[baseline, finalist], alpha=1)
    assert not chosen.is_baseline
    assert chosen.winner is finalist


def test_equal_means_keep_the_baseline() -> None:
    """A tie is no improvement."""
    baseline, finalist = evaluation("a", [1, 0]), evaluation("b", [0, 1])
    chosen = select_winner(baseline, [finalist], holdout={}, compared=[baseline, finalist], alpha=1)
    assert chosen.is_baseline
    assert chosen.p_value is None
    assert chosen.holdout is None


def test_the_holdout_decides_between_finalists() -> None:
    """Finalists are ordered by all their items, so the holdout can turn the order round."""
    baseline = evaluation("seed", [0.0] * 20)
    first, second = evaluation("a", [1.0] * 16 + [0.0] * 4), evaluation("b", [1.0] * 15 + [0.0] * 5)
    holdout = {
        baseline.candidate.id: evaluation("seed", [0.0] * 20, "holdout"),
        first.candidate.id: evaluation("a", [0.0] * 20, "holdout"),
        second.candidate.id: evaluation("b", [1.0] * 20, "holdout"),
    }
    chosen = select_winner(
        baseline, [first, second], holdout=holdout, compared=[baseline, first, second]
    )
    assert chosen.winner is second
    assert chosen.holdout is not None
    assert chosen.holdout.comparison.wins == 20


def test_optimism_of_equal_rows_matches_simulation() -> None:
    """For equal candidates the optimism is about what the best mean exceeds the truth by."""
    rng = np.random.default_rng(5)
    tables = (rng.random((120, 10, 40)) < 0.7).astype(float)
    estimated = float(np.mean([optimism_of_best(t.tolist(), seed=i) for i, t in enumerate(tables)]))
    actual = float(np.mean(tables.mean(axis=2).max(axis=1))) - 0.7
    assert estimated == pytest.approx(actual, abs=0.02)


@given(
    st.lists(
        st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=6, max_size=6), min_size=1, max_size=4
    )
)
def test_optimism_is_never_negative(rows: list[list[float]]) -> None:
    """Nothing is ever added to a score for having been chosen."""
    assert optimism_of_best(rows) >= 0
