"""Metrics made of metrics."""

from __future__ import annotations

import asyncio
import inspect
import math
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.errors import MetricError
from opik_eval.evaluation import evaluate_on_dict_items
from opik_eval.metrics import (
    Contains,
    Equals,
    IsJson,
    Latency,
    LevenshteinRatio,
    OutputLength,
    all_of,
    any_of,
    not_,
    passes,
    weighted,
)
from opik_eval.metrics.base import (
    BaseMetric,
    DataclassMetric,
    ScoreResult,
    implementation_of,
)
from opik_eval.testing.metric_contract import MetricCase, MetricContract


@dataclass
class Fixed(DataclassMetric):
    """Always returns the same, in a range from -1 to 1."""

    value_range: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    returned: object = 0.0
    name: str = field(default="fixed", kw_only=True)

    def score(self, **_ignored):
        return self.returned


@dataclass
class Harm(Fixed):
    """Lower is better, 0 to 10."""

    value_range: ClassVar[tuple[float, float]] = (0.0, 10.0)
    higher_is_better: ClassVar[bool | None] = False


@dataclass
class Judge(DataclassMetric):
    """An asynchronous metric that waits for another one to start."""

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    name: str = field(default="judge", kw_only=True)
    running: ClassVar[list[str]] = []

    async def ascore(self, output, **_ignored):
        Judge.running.append(self.name)
        while len(Judge.running) < 2:
            await asyncio.sleep(0)
        return float(len(output) > 2)


def is_short(output):
    """Tell whether a text is short."""
    return len(output) < 5


PAIR = {"output": "kitten", "reference": "sitting"}
SAME = {"output": "cat", "reference": "cat"}
TEXTS = ("output", "reference")
WRONG = {"output": 3, "reference": 4}


class TestCombinations(MetricContract):
    """The battery."""

    @pytest.fixture(
        params=[
            MetricCase(lambda: not_(Equals()), PAIR, "not_equals_metric", PAIR, TEXTS, TEXTS),
            MetricCase(
                lambda: any_of(Equals(), LevenshteinRatio()),
                PAIR,
                "equals_metric_or_levenshtein_ratio_metric",
                SAME,
                TEXTS,
                TEXTS,
                WRONG,
            ),
            MetricCase(
                lambda: all_of(Equals(), LevenshteinRatio(), is_short, name="right"),
                PAIR,
                "right",
                SAME,
            ),
            MetricCase(
                lambda: weighted((Equals(), 1), (LevenshteinRatio(), 2)),
                PAIR,
                "weighted_metric",
                SAME,
                TEXTS,
                TEXTS,
                WRONG,
            ),
            MetricCase(
                lambda: passes(LevenshteinRatio(), at_least=0.6),
                PAIR,
                "levenshtein_ratio_metric_passes",
                PAIR,
                TEXTS,
                TEXTS,
                WRONG,
            ),
        ],
        ids=str,
    )
    def case(self, request):
        """Return one metric."""
        return request.param


unit = st.floats(0, 1)


@given(
    values=st.lists(unit, min_size=1, max_size=5), weights=st.lists(st.floats(0.1, 9), min_size=5)
)
def test_rules(values, weights):
    """Min, max and weighted mean of the parts, and the laws between them."""
    parts = [Harm(10 - 10 * value, name=f"p{i}") for i, value in enumerate(values)]
    goods = [1 - (10 - 10 * value) / 10 for value in values]
    worst, best = all_of(*parts).score().value, any_of(*parts).score().value
    assert (worst, best) == (min(goods), max(goods))
    pairs = list(zip(parts, weights, strict=False))
    mean = weighted(*pairs).score().value
    expected = sum(w * g for (_, w), g in zip(pairs, goods, strict=True)) / sum(w for _, w in pairs)
    assert mean == pytest.approx(expected)
    assert worst - 1e-9 <= mean <= best + 1e-9
    de_morgan = not_(any_of(*(not_(part) for part in parts))).score().value
    assert de_morgan == pytest.approx(worst)


def test_scores_come_from_their_ranges_to_0_and_1():
    """Turned round where lower is better; the reason shows them as they were."""
    score = all_of(Fixed(0.0), Harm(2.0, name="harm"), name="x").score()
    assert (score.value, score.reason) == (0.5, "fixed=0, harm=2")
    assert score.metadata == {"parts": {"fixed": 0.0, "harm": 2.0}}
    assert not_(Harm(2.0)).score().value == pytest.approx(0.2)
    assert not_(Fixed(-1.0)).score().value == 1.0


def test_functions_are_parts_if_they_return_0_to_1():
    """A function declares no range, so every value is checked."""
    both = all_of(is_short, Contains(reference="x"), name="both")
    assert both.score(output="xy").value == 1.0
    assert both.score(output="xyxyxy").value == 0.0
    with pytest.raises(MetricError, match="returned 7, which is not between 0 and 1"):
        not_(lambda output: 7, name="n").score(output="x")


@pytest.mark.parametrize("half", [Latency(), OutputLength()])
def test_half_a_range_needs_a_threshold(half):
    """A sum of seconds and shares means nothing."""
    for make in (not_, any_of, all_of, lambda part: weighted((part, 1))):
        with pytest.raises(MetricError, match="whose scores range from 0 to inf") as refusal:
            make(half)
        assert "passes(metric, at_most=...)" in refusal.value.remedy
    assert all_of(passes(OutputLength(), at_most=3), is_short).score(output="abc").value == 1.0


def test_thresholds_are_in_the_unit_of_the_metric():
    """At least and at most, both inclusive."""
    assert passes(Harm(2.0), at_most=2).score().value == 1.0
    assert passes(Harm(2.0), at_most=1.9).score().value == 0.0
    assert passes(Fixed(-0.5), at_least=-0.5).score().value == 1.0


@pytest.mark.parametrize(
    "limits", [{}, {"at_least": 1, "at_most": 2}, {"at_least": math.nan}, {"at_most": math.inf}]
)
def test_there_is_exactly_one_threshold(limits):
    """Neither none nor two nor an infinite one."""
    with pytest.raises(MetricError, match="got at_least="):
        passes(Equals(), **limits)


def test_what_is_unknown_stays_unknown():
    """An unscored part makes the whole unscored, a failed one failed; failure goes first."""
    unscored, label = Fixed(None, name="n"), Fixed("good", name="label")
    broken = Fixed(ScoreResult("b", None, reason="no", scoring_failed=True), name="b")
    for combine in (any_of, all_of):
        score = combine(Fixed(1.0), unscored).score()
        assert (score.value, score.scoring_failed) == (None, False)
        assert score.reason == "n: the metric returned None"
        score = combine(label, broken, unscored).score()
        assert (score.value, score.scoring_failed, score.reason) == (None, True, "b: no")
    assert not_(label).score().reason == "label: good"
    assert not_(Fixed(ScoreResult("s", math.nan))).score().reason == "s: unscored"


def test_an_error_of_a_part_is_the_error_of_the_whole():
    """It names both."""
    with pytest.raises(MetricError, match=r"'equals_metric_or_.*': metric 'levenshtein"):
        any_of(Equals(), LevenshteinRatio()).score(output=1, reference=1)


def test_parts_return_one_score():
    """A list of scores has no single meaning."""
    with pytest.raises(MetricError, match="'fixed' returned 2 scores"):
        not_(Fixed([1.0, 0.0])).score()


@pytest.mark.parametrize("parts", [(), (Equals(), Equals())])
def test_parts_have_different_names(parts):
    """None at all, or two of one name, are refused at once."""
    with pytest.raises(MetricError, match="one or more different names"):
        all_of(*parts)


@pytest.mark.parametrize("weight", [0, -1, math.nan, math.inf])
def test_weights_are_above_0(weight):
    """A weight of 0 is a part left out."""
    with pytest.raises(MetricError, match="got the weights"):
        weighted((Equals(), 1), (IsJson(), weight))


def test_scoring_functions_of_items_cannot_be_parts():
    """They are called in another way."""
    with pytest.raises(MetricError, match="takes dataset_item or task_outputs"):
        not_(lambda dataset_item, task_outputs: 1.0)


def test_arguments_are_those_of_all_parts():
    """Required by one is required; known positional-only arguments reach their function."""

    def first(text, /):
        return text == "x"

    whole = all_of(Contains(), Equals(), name="w").score_arguments()
    assert (whole.required, whole.optional) == (("output", "reference"), ())
    assert whole.takes_all
    only = not_(first)
    assert only.score_arguments().required == ("text",)
    assert only.score(text="x", other=1).value == 0.0
    optional = not_(Contains(reference="x")).score_arguments()
    assert (optional.required, optional.optional) == (("output",), ("reference",))


def test_asynchronous_parts_run_together():
    """A combination with one is asynchronous; plain parts run beside it."""
    Judge.running.clear()
    both = all_of(Judge(), Judge(name="judge_2"), is_short, name="both")
    assert inspect.iscoroutinefunction(implementation_of(both))
    assert asyncio.run(both.ascore(output="abc")).value == 1.0
    assert sorted(Judge.running) == ["judge", "judge_2"]
    assert both.score(output="ab").value == 0.0
    nested = not_(both)
    assert inspect.iscoroutinefunction(implementation_of(nested))
    assert nested.score(output="abc").value == 0.0
    assert not inspect.iscoroutinefunction(implementation_of(not_(Equals())))


def test_the_engine_supplies_and_checks_all_arguments():
    """A combination is a metric like any other, spans included."""
    fast = all_of(passes(Latency(), at_most=60), Equals(), name="fast_and_right")
    result = evaluate_on_dict_items(
        [{"q": "x", "reference": "x"}], lambda item: {"output": item["q"]}, [fast]
    )
    assert result.test_results[0].score_results[0].value == 1.0
    assert isinstance(fast, BaseMetric)
