"""Pairwise comparisons: both orders, flips, length, and rankings."""

from __future__ import annotations

import math
import random

import pytest
from judge_models import text_of

from opik_eval.errors import ConfigError
from opik_eval.judges import PairwiseJudge, rank, win_rate
from opik_eval.metrics.base import ScoreResult, failed


def shown(prompt):
    first = prompt.partition("<output_A>\n")[2].partition("\n</output_A>")[0]
    second = prompt.partition("<output_B>\n")[2].partition("\n</output_B>")[0]
    return first, second


def prefers(better):
    """Answer by a function of the two outputs: positive = the first is better."""

    def reply(prompt):
        sign = better(*shown(prompt))
        return {"reason": f"r{sign}", "winner": "A" if sign > 0 else "B" if sign < 0 else "tie"}

    return reply


def by_quality(first, second):
    return int(first.split()[0]) - int(second.split()[0])


@pytest.mark.parametrize(
    ("better", "value", "category", "flipped"),
    [
        (by_quality, 1.0, "win", False),
        (lambda a, b: -by_quality(a, b), 0.0, "loss", False),
        (lambda a, b: 0, 0.5, "tie", False),
        (lambda a, b: 1, 0.5, "tie", True),
        (lambda a, b: -1, 0.5, "tie", True),
        (lambda a, b: max(by_quality(a, b), 0), 0.5, "tie", True),
    ],
)
def test_only_what_both_orders_say_counts(answering, better, value, category, flipped):
    """Agreement decides; a preference for a place, or half a tie, is a tie and is flagged."""
    model = answering(prefers(better))
    score = PairwiseJudge(model).score(output="9 good", baseline_output="1 bad", input="q")
    assert (score.value, score.category_name) == (value, category)
    assert score.metadata["flipped"] is flipped
    assert score.metadata["model_calls"] == 2
    assert score.metadata["length_difference"] == 1
    orders = {shown(text_of(request)) for request in model.transport.requests}
    assert orders == {("9 good", "1 bad"), ("1 bad", "9 good")}


def scored(output, other, better, answering):
    return PairwiseJudge(answering(prefers(better))).score(output=output, baseline_output=other)


def test_a_win_rate_says_what_else_would_explain_it(answering):
    """Wins with interval, flips, preference for the first place, and the judge of length."""
    scores = [
        scored("9 long answer", "1", by_quality, answering),
        scored("9", "1 long answer", by_quality, answering),
        scored("1 a", "9 b", by_quality, answering),
        scored("1", "1", lambda a, b: 1, answering),
        failed("pairwise_metric", RuntimeError("no")),
    ]
    rate = win_rate(scores)
    assert (rate.wins, rate.ties, rate.losses, rate.failed) == (2, 1, 1, 1)
    assert (rate.estimate.mean, rate.estimate.n) == (0.625, 4)
    assert rate.flip_rate == 0.25
    assert rate.first_rate == 5 / 8
    assert rate.longer_rate == 0.5
    assert rate.longer_agreement == 0.5
    assert "2 wins, 1 ties, 1 losses, 1 failed" in str(rate)
    assert "flips with the order 25%" in str(rate)


def test_a_win_rate_of_nothing_is_unknown():
    """No pairs, no numbers; scores of other metrics have no orders to compare."""
    rate = win_rate([])
    assert math.isnan(rate.estimate.mean)
    assert math.isnan(rate.flip_rate)
    plain = win_rate([ScoreResult("x", 1.0)])
    assert plain.estimate.mean == 1.0
    assert math.isnan(plain.longer_agreement)


def test_candidates_are_ranked_by_all_their_comparisons(answering):
    """Every pair meets on every item, both ways round; the order of strength comes out."""
    rng = random.Random(1)
    skills = {"weak": 0.0, "middle": 2.0, "strong": 4.0}
    outputs = {
        name: [f"{round(1000 * (10 + skill + rng.gauss(0, 1)))} x" for _ in range(30)]
        for name, skill in skills.items()
    }
    model = answering(prefers(by_quality))
    result = rank(outputs, judge=PairwiseJudge(model), items=[{"input": str(n)} for n in range(30)])
    assert [one.name for one in result.ranking] == ["strong", "middle", "weak"]
    assert [one.best_rank for one in result.ranking] == [1, 2, 3]
    assert result.win_rates["weak", "strong"].estimate.mean < 0.1
    assert result.overall.flip_rate == 0.0
    assert len(model.transport.requests) == 3 * 30 * 2
    assert str(result).startswith("1. strong: +")
    assert "by length alone: " in str(result)


def test_failures_do_not_spoil_a_ranking(answering):
    """They are counted and left out."""

    def reply(prompt):
        return "?" if "13" in "".join(shown(prompt)) else prefers(by_quality)(prompt)

    result = rank({"a": ["9", "13"], "b": ["1", "1"]}, judge=PairwiseJudge(answering(reply)))
    assert result.overall.failed == 1
    assert result.ranking[0].name == "a"
    assert result.ranking[0].games == 1


@pytest.mark.parametrize(
    ("candidates", "items"),
    [
        ({"a": ["x"]}, None),
        ({"a": ["x"], "b": []}, None),
        ({"a": ["x"], "b": ["y"]}, []),
        ({}, None),
    ],
)
def test_a_ranking_needs_outputs_side_by_side(candidates, items):
    """Two candidates or more, each with an output for each item."""
    with pytest.raises(ConfigError, match="two candidates or more"):
        rank(candidates, items=items, judge=PairwiseJudge("fake/echo"))
