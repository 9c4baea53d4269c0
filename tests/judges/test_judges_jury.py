"""Several judges, one score."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.errors import JudgeError, MetricError
from opik_eval.judges import LLMJuriesJudge, Moderation, Usefulness
from opik_eval.metrics.base import BaseMetric, DataclassMetric, ScoreResult


@dataclass
class Fixed(DataclassMetric):
    """Gives what it is told to."""

    value: object = 1.0
    value_range = (0.0, 1.0)

    def score(self, output, **_ignored):
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


def jury(*values, **options):
    return LLMJuriesJudge([Fixed(v, name=f"j{n}") for n, v in enumerate(values)], **options)


@pytest.mark.parametrize(
    ("aggregation", "weights", "value"),
    [
        ("mean", None, 1.6 / 3),
        ("mean", [1, 1, 2], 0.65),
        ("median", None, 0.4),
        ("median", [1, 1, 2], 0.7),
        ("median", [1, 1, 3], 1.0),
        ("majority", None, 0.0),
        ("majority", [1, 1, 2], 0.5),
        ("majority", [1, 1, 3], 1.0),
    ],
)
def test_aggregations(aggregation, weights, value):
    """Mean, median and majority of 0.2, 0.4 and 1.0, with and without weights."""
    panel = jury(0.2, 0.4, 1.0, aggregation=aggregation, weights=weights)
    assert panel.score(output="x").value == pytest.approx(value)


def test_members_that_fail_are_left_out_and_counted():
    """A failure is no 0 and no vote; who failed and why is kept."""
    found = jury(1.0, RuntimeError("no"), None, ScoreResult("x", 0.5)).score(output="x")
    assert found.value == 0.75
    assert found.metadata["judge_scores"] == {"j0": 1.0, "j3": 0.5}
    assert found.metadata["failed"]["j1"] == "no"
    assert set(found.metadata["failed"]) == {"j1", "j2"}
    assert found.reason == "mean of 2 judges, 2 failed"
    assert found.metadata["largest_difference"] == 0.5


def test_a_jury_fails_only_if_all_do():
    """Then with the first reason."""
    with pytest.raises(JudgeError, match="all 2 members failed: no"):
        jury(RuntimeError("no"), [1.0, 0.5]).score(output="x")


def test_the_account_is_that_of_all_members(scripted):
    """Calls and tokens of all members; members of one name are numbered."""
    model = scripted({"reason": "a", "score": 1}, {"reason": "b", "score": 0})
    panel = LLMJuriesJudge([Usefulness(model), Usefulness(model)])
    found = panel.score(input="i", output="o")
    assert found.value == 0.5
    assert set(found.metadata["judge_scores"]) == {"UsefulnessMetric 1", "UsefulnessMetric 2"}
    assert found.metadata["model_calls"] == 2
    assert found.metadata["usage"]["total_tokens"] > 100
    assert found.metadata["judges"]["UsefulnessMetric 1"]["model"] == "fake/script"


def test_arguments_are_those_of_all_members():
    """The engine can check them before anything runs; each member gets its own."""

    class Other(BaseMetric):
        value_range = (0.0, 1.0)

        def score(self, reference, output=None):
            return 1.0 if reference == "r" else 0.0

    panel = LLMJuriesJudge([Fixed(), Other()])
    arguments = panel.score_arguments()
    assert (arguments.required, arguments.optional) == (("output", "reference"), ())
    assert panel.score(output="x", reference="r", more=1).value == 1.0


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: LLMJuriesJudge([]), "no members"),
        (lambda: LLMJuriesJudge([Usefulness(), Moderation()]), "differ in range or direction"),
        (lambda: jury(1, 1, weights=[1]), "2 members"),
        (lambda: jury(1, 1, weights=[1, 0]), "2 members"),
        (lambda: jury(1, aggregation="mode"), "no aggregation='mode'"),
    ],
)
def test_members_that_do_not_go_together_are_refused(make, problem):
    """Averaging a risk with a quality would give a number that means nothing."""
    with pytest.raises(MetricError, match=problem):
        make()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_without_weights_the_median_is_the_usual_one(values):
    """Equal weights change nothing."""
    panel = jury(*values, aggregation="median")
    assert panel.score(output="x").value == pytest.approx(median(values))
    equal = jury(*values, aggregation="mean", weights=[3.0] * len(values)).score(output="x")
    assert equal.value == pytest.approx(math.fsum(values) / len(values))
