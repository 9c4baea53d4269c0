"""What a metric is: implementations, arguments, and the one normaliser."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.errors import MetricError
from opik_eval.metrics.base import (
    BaseMetric,
    DataclassMetric,
    ScoreResult,
    arguments_of,
    describe,
    failed,
    implementation_of,
    normalise,
    required_arguments,
)


class Legacy(BaseMetric):
    """A metric as users of Opik write them."""

    def __init__(self, name="legacy", threshold=1):
        super().__init__(name=name)
        self.threshold = threshold

    def score(self, output, **ignored_kwargs):
        return ScoreResult(name=self.name, value=float(len(output) >= self.threshold))


class OnlyAsync(BaseMetric):
    """A metric with a coroutine alone."""

    async def ascore(self, output, reference="x", **_ignored):
        return output == reference


class Overridden(OnlyAsync):
    """Its own ``score`` is more derived than the inherited ``ascore``."""

    def score(self, output):
        return 0.5


class Nothing(BaseMetric):
    """Implements neither."""


def test_a_metric_written_for_opik_works_unchanged():
    """Constructor, name, ``score`` with ignored arguments, and both ways to call it."""
    metric = Legacy(threshold=2)
    assert (metric.name, metric.track, metric.project_name) == ("legacy", True, None)
    assert metric.score(output="ab", input="q").value == 1.0
    assert asyncio.run(metric.ascore(output="a")).value == 0.0


def test_a_metric_without_a_name_has_that_of_its_class():
    """The default name is the class name, for plain classes and dataclasses."""

    @dataclass
    class Plain(DataclassMetric):
        """Plain."""

        def score(self, output):
            return True

    assert OnlyAsync().name == "OnlyAsync"
    assert Plain().name == "Plain"
    assert OnlyAsync("a", False, "p").project_name == "p"


def test_ascore_alone_gives_score():
    """The synchronous way is supplied."""
    assert OnlyAsync().score(output="x") is True


def test_the_most_derived_method_is_the_implementation():
    """A subclass that overrides ``score`` is not bypassed by an inherited ``ascore``."""
    overridden = Overridden()
    assert implementation_of(overridden) == overridden.score
    only_async = OnlyAsync()
    assert implementation_of(only_async) == only_async.ascore
    assert required_arguments(overridden) == ("output",)


@pytest.mark.parametrize(
    "use",
    [
        implementation_of,
        required_arguments,
        lambda metric: metric.score(output=1),
        lambda metric: asyncio.run(metric.ascore(output=1)),
    ],
)
def test_a_metric_that_implements_nothing_says_so(use):
    """It is refused instead of calling itself for ever."""
    with pytest.raises(MetricError, match="Nothing implements neither") as refusal:
        use(Nothing())
    assert "define score" in str(refusal.value.remedy)


def test_the_card_describes_a_metric():
    """Name, class, first line, range, direction, arguments."""
    card = describe(OnlyAsync("mine"))
    assert (card.name, card.kind, card.summary) == (
        "mine",
        "OnlyAsync",
        "A metric with a coroutine alone.",
    )
    assert (card.required, card.optional, card.is_async) == (("output",), ("reference",), True)
    assert card.value_range == (-math.inf, math.inf)
    assert card.higher_is_better is True


def test_the_fields_of_a_dataclass_metric_come_first_and_its_names_are_keywords():
    """``Threshold(3)`` configures; ``name`` is passed by keyword; the repr can be evaluated."""

    @dataclass
    class Threshold(DataclassMetric):
        """Threshold."""

        limit: int = 1
        name: str = field(default="threshold", kw_only=True)

        def score(self, output):
            return output > self.limit

    metric = Threshold(3, track=False)
    assert (metric.limit, metric.name, metric.track) == (3, "threshold", False)
    assert eval(repr(metric).split(".")[-1], {"Threshold": Threshold}) == metric
    with pytest.raises(TypeError):
        Threshold(3, "name")


def test_arguments_are_read_from_the_signature():
    """Required, optional, positional-only and catch-all arguments are told apart."""

    def function(first, /, second, third=3, *rest, fourth, **more):
        return first, second, third, fourth, more

    arguments = arguments_of(function)
    assert arguments.required == ("first", "second", "fourth")
    assert arguments.optional == ("third",)
    assert arguments.positional_only == ("first",)
    assert arguments.takes_all
    assert arguments.missing_from({"second": 0}) == ["first", "fourth"]
    positional, named = arguments.select({"first": 1, "second": 2, "fourth": 4, "fifth": 5})
    assert function(*positional, **named) == (1, 2, 3, 4, {"fifth": 5})


def test_arguments_that_are_not_taken_are_left_out():
    """Without a catch-all only known names are passed."""
    positional, named = arguments_of(lambda a, b=2: None).select({"a": 1, "z": 0})
    assert (positional, named) == ([], {"a": 1})


@pytest.mark.parametrize(
    ("returned", "value"),
    [(True, 1.0), (0, 0.0), (0.5, 0.5), (np.float32(0.5), 0.5), (np.bool_(True), 1.0)],
)
def test_numbers_of_all_kinds_become_scores(returned, value):
    """Bools and numpy scalars are numbers."""
    [score] = normalise(returned, name="m")
    assert (score.name, score.value, type(score.value)) == ("m", value, float)


def test_none_and_labels_are_unscored():
    """``None`` and a text carry no number, and are not failures."""
    [nothing], [label] = normalise(None, name="m"), normalise("good", name="m")
    assert (nothing.value, label.value, label.category_name) == (None, None, "good")
    assert not nothing.is_scored
    assert not nothing.scoring_failed


def test_lists_are_flattened_and_names_filled_in():
    """A list of scores is all of them; those without a name get the metric's."""
    scores = normalise([ScoreResult("", 1), [0.5, ScoreResult("own", None)]], name="m")
    assert [(score.name, score.value) for score in scores] == [
        ("m", 1.0),
        ("m", 0.5),
        ("own", None),
    ]


def test_a_score_result_in_order_is_kept_as_it_is():
    """No copy is made where nothing changes."""
    score = ScoreResult("m", 0.25, reason="r")
    assert normalise(score, name="other")[0] is score


@pytest.mark.parametrize(
    "returned", [object(), {"value": 1}, np.array([1, 2]), 1j, np.datetime64(1, "s")]
)
def test_what_is_no_score_is_refused(returned):
    """The error names the metric and the type."""
    with pytest.raises(MetricError, match="'m' returned"):
        normalise(returned, name="m")


def test_a_score_result_whose_value_is_no_number_is_refused():
    """A text as value would break every mean later on."""
    with pytest.raises(MetricError, match="value is str"):
        normalise(ScoreResult("m", "0.7"), name="m")


@given(value=st.floats())
def test_only_finite_values_are_scored(value):
    """NaN and the infinities are kept but are no scores."""
    assert ScoreResult("m", value).is_scored == math.isfinite(value)


def test_a_failure_is_a_value():
    """The exception's type, text and traceback are kept; there is no number."""
    score = failed("m", ValueError("bad"), traceback="tb")
    assert (score.value, score.scoring_failed, score.reason) == (None, True, "bad")
    assert score.metadata == {
        "error_info": {"exception_type": "ValueError", "message": "bad", "traceback": "tb"}
    }
    assert not ScoreResult("m", 1.0, scoring_failed=True).is_scored
    assert "traceback" not in failed("m", ValueError("bad")).metadata["error_info"]
