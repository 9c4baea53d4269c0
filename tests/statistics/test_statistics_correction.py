"""Corrected means: they are unbiased, and their intervals carry the judge's error."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.errors import ConfigError
from opik_eval.statistics import BinaryConfusion, prediction_powered_mean, rogan_gladen

COUNTS = st.integers(0, 60)


@pytest.mark.parametrize(
    ("share", "sensitivity", "specificity"), [(0.3, 0.9, 0.85), (0.05, 0.9, 0.95), (0.8, 0.8, 0.7)]
)
def test_rogan_gladen_covers_the_truth(share, sensitivity, specificity):
    """Raw means are off; corrected ones are right on average, with honest intervals."""
    rng = np.random.default_rng(11)
    hits, means, raw = 0, [], []
    for _ in range(1500):
        tp, tn = rng.binomial(60, sensitivity), rng.binomial(80, specificity)
        yes = rng.binomial(400, share * sensitivity + (1 - share) * (1 - specificity))
        found = rogan_gladen(
            [True] * yes + [False] * (400 - yes), BinaryConfusion(tp, 80 - tn, 60 - tp, tn)
        )
        hits += found.low <= share <= found.high
        means.append(found.mean)
        raw.append(found.raw_mean)
    assert 0.935 <= hits / 1500 <= 0.985
    assert np.mean(means) == pytest.approx(share, abs=0.015)
    assert abs(np.mean(raw) - share) > 2 * abs(np.mean(means) - share)


def test_rogan_gladen_of_the_formula():
    """A hand-computed case: (0.6 + 0.8 - 1) / (0.9 + 0.8 - 1)."""
    judge = BinaryConfusion(90, 20, 10, 80)
    assert rogan_gladen([1] * 60 + [0] * 40, judge).mean == pytest.approx(0.4 / 0.7)


@given(COUNTS, COUNTS, COUNTS, COUNTS, st.lists(st.booleans(), min_size=1, max_size=80))
def test_rogan_gladen_is_always_a_share(tp, fp, fn, tn, verdicts):
    """Mean within interval within 0 to 1; a judge like chance says nothing."""
    judge = BinaryConfusion(tp, fp, fn, tn)
    if judge.positives == 0 or judge.negatives == 0:
        with pytest.raises(ConfigError, match="labels of both kinds"):
            rogan_gladen(verdicts, judge)
        return
    found = rogan_gladen(verdicts, judge)
    assert 0 <= found.low <= found.high <= 1
    if judge.sensitivity + judge.specificity <= 1:
        assert math.isnan(found.mean)
        assert (found.low, found.high) == (0.0, 1.0)
    else:
        assert found.low <= found.mean <= found.high


def test_more_labels_give_a_narrower_interval():
    """The judge's error is part of it: with few labels it does not vanish with many items."""
    few, many = BinaryConfusion(18, 4, 2, 16), BinaryConfusion(1800, 400, 200, 1600)
    verdicts = [True] * 5000 + [False] * 5000
    wide, narrow = (rogan_gladen(verdicts, judge) for judge in (few, many))
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)
    assert "rogan-gladen, n=10000, labelled=40" in str(wide)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.95])
@pytest.mark.parametrize("kind", ["numbers", "yes and no"])
def test_prediction_powered_means_cover_the_truth(rho, kind):
    """Whatever the judge is worth; a good one makes the interval narrower, a bad one no wider."""
    rng = np.random.default_rng(3)
    hits, widths, classical = 0, [], []
    target = 0.0 if kind == "numbers" else 0.5
    for _ in range(800):
        label = rng.normal(size=440)
        score = 0.4 + rho * label + math.sqrt(1 - rho**2) * rng.normal(size=440)
        if kind != "numbers":
            label, score = (label > 0).astype(float), (score > 0.4).astype(float)
        found = prediction_powered_mean(
            score[40:].tolist(), score[:40].tolist(), label[:40].tolist()
        )
        hits += found.low <= target <= found.high
        widths.append(found.high - found.low)
        classical.append(2 * 2.02 * label[:40].std(ddof=1) / math.sqrt(40))
    assert 0.925 <= hits / 800 <= 0.975
    ratio = np.mean(widths) / np.mean(classical)
    assert ratio < {0.0: 1.02, 0.5: 0.98, 0.95: 0.65}[rho]


def test_a_constant_judge_leaves_the_labels_alone():
    """It has no weight, so the mean is that of the labels."""
    found = prediction_powered_mean([0.7] * 50, [0.7] * 4, [1.0, 0.0, 1.0, 1.0])
    assert found.mean == 0.75
    assert found.raw_mean == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("scores", "labelled", "labels"),
    [([1], [1, 0], [1, 0]), ([1, 0], [1], [1]), ([1, 0], [1], [1, 0])],
)
def test_too_little_to_correct_by_is_refused(scores, labelled, labels):
    """One item has no spread; labels need scores beside them."""
    with pytest.raises(ConfigError, match="prediction-powered inference needs"):
        prediction_powered_mean(scores, labelled, labels)


def test_no_verdicts_are_refused():
    """There is nothing to correct."""
    with pytest.raises(ConfigError, match="not 0 verdicts"):
        rogan_gladen([], BinaryConfusion(1, 1, 1, 1))
