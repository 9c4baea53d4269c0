"""Objectives: whatever stands for a metric is called rightly and turned the right way up."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.errors import BudgetExceededError
from opik_eval.metrics import Equals
from opik_eval.metrics.base import BaseMetric, DataclassMetric, ScoreResult
from opik_optimizer.errors import ObjectiveError, SettingsError
from opik_optimizer.objective import (
    MetricObjective,
    MultiMetricObjective,
    ObjectiveScore,
    as_objective,
    bottom_of,
)

ITEM = {"question": "2+2", "answer": "4"}


def score_of(metric: object, output: object = "4", item: Mapping[str, object] = ITEM) -> object:
    return asyncio.run(as_objective(metric).score(item, output)).score


def exact(dataset_item: Mapping[str, object], llm_output: str) -> float:
    """Compare exactly.

    More.
    """
    return float(llm_output == dataset_item["answer"])


def weighted(dataset_item: Mapping[str, object], llm_output: str, weight: float) -> float:
    return weight * exact(dataset_item, llm_output)


async def slowly(dataset_item: Mapping[str, object], llm_output: str) -> float:
    await asyncio.sleep(0)
    return exact(dataset_item, llm_output)


class Callable_:  # noqa: N801 - a name that says nothing
    def __call__(self, item: Mapping[str, object], text: str) -> bool:
        return text == item["answer"]


@dataclass
class Wrong(DataclassMetric):
    value_range: ClassVar[tuple[float, float]] = (0, 1)
    higher_is_better: ClassVar[bool | None] = False
    share: float = 0.25
    name: str = field(default="wrong", kw_only=True)

    def score(self, output: str, **ignored: object) -> float:
        return self.share


class Distance(BaseMetric):
    value_range = (0, math.inf)
    higher_is_better = False

    def score(self, output: str, reference: str, **ignored: object) -> float:
        return abs(len(output) - len(reference))


@pytest.mark.parametrize(
    "metric",
    [
        exact,
        slowly,
        partial(weighted, weight=1.0),
        lambda dataset_item, llm_output: llm_output == dataset_item["answer"],
        lambda item, text: text == item["answer"],
        lambda x, output, /: output == x["answer"],
        Callable_(),
        lambda output, answer: output == answer,
        lambda output, reference: output == reference,
        lambda llm_output: llm_output == "4",
        Equals(),
        MetricObjective(Equals(), mapping={"reference": "answer"}),
        [exact],
    ],
)
def test_all_forms_of_metrics_are_called_rightly(metric: object) -> None:
    """Functions by name and by position, partials, lambdas, objects, coroutines and metrics."""
    assert score_of(metric, "4") == 1
    assert score_of(metric, "5") == 0


def test_outputs_may_be_mappings() -> None:
    """All fields of a mapping reach metrics by name; ``llm_output`` is its text."""
    metric = as_objective(lambda llm_output, steps: len(llm_output) + steps)
    assert score_of(metric, {"output": "abc", "steps": 4}) == 7


def test_metrics_that_count_down_are_turned_and_say_so() -> None:
    """A bounded metric is mirrored in its range, an unbounded one is negated."""
    bounded, unbounded = as_objective(Wrong()), as_objective(Distance())
    assert score_of(bounded) == 0.75
    assert (bounded.is_turned, bounded.value_range, bottom_of(bounded)) == (True, (0, 1), 0)
    assert "turned round" in bounded.describe()
    assert score_of(unbounded, "4444") == -3
    assert unbounded.value_range == (-math.inf, 0)
    assert bottom_of(unbounded) == 0
    scored = asyncio.run(bounded.score(ITEM, "4"))
    assert scored.scores == {"wrong": 0.25}
    assert as_objective(exact).describe() == "exact (higher is better): Compare exactly."


def nothing(dataset_item: object, llm_output: object) -> None: ...


def not_a_number(dataset_item: object, llm_output: object) -> float:
    return math.nan


def label(dataset_item: object, llm_output: object) -> str:
    return "good"


def broken(dataset_item: object, llm_output: object) -> float:
    raise ZeroDivisionError("by nought")


def several(dataset_item: object, llm_output: object) -> list[ScoreResult]:
    return [ScoreResult("a", 1.0), ScoreResult("b", 0.0)]


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        (nothing, "returned None"),
        (not_a_number, "nan"),
        (label, "None"),
        (broken, "ZeroDivisionError: by nought"),
        (several, "2 scores"),
        (lambda output, missing_column: 1, "missing_column"),
    ],
)
def test_no_score_is_a_failure_and_never_nought(metric: object, text: str) -> None:
    """What gives no number has no score, and the error says why."""
    scored = asyncio.run(as_objective(metric).score(ITEM, "4"))
    assert scored.score is None
    assert text in str(scored.error)


def test_the_named_one_of_several_scores_counts() -> None:
    """Of a list of scores, the one of the metric's name is the objective; all are kept."""

    def main(dataset_item: object, llm_output: object) -> list[ScoreResult]:
        return [ScoreResult("other", 0.1), ScoreResult("main", 0.9, reason="fine")]

    scored = asyncio.run(as_objective(main).score(ITEM, "4"))
    assert scored == ObjectiveScore(
        score=0.9, reason="fine", scores={"other": 0.1, "main": 0.9}, error=None
    )


def test_a_spent_budget_is_no_failure_of_the_metric() -> None:
    """A judge's call that does not fit the budget ends the evaluation, however wrapped."""

    def judge(dataset_item: object, llm_output: object) -> float:
        try:
            raise BudgetExceededError("tokens", allowed=1, used=1)
        except BudgetExceededError as error:
            raise RuntimeError("the judge failed") from error

    with pytest.raises(BudgetExceededError):
        score_of(judge)


def test_missing_arguments_are_found_before_spending() -> None:
    """``check`` finds what no item will supply, and says how to supply it."""
    as_objective(exact).check(ITEM)
    as_objective(Distance()).check(ITEM)
    with pytest.raises(ObjectiveError, match="mapping="):
        as_objective([exact, Distance()]).check({"question": "?"})


def test_input_is_supplied_if_there_is_only_one() -> None:
    """``input`` is the only column that is no answer; with several the metric has to name one."""
    metric = as_objective(lambda output, input: len(input))
    assert score_of(metric) == 3
    with pytest.raises(ObjectiveError, match="'input'"):
        metric.check({"question": "?", "context": "!", "answer": "x"})


def test_the_span_tree_goes_to_metrics_that_want_it() -> None:
    """By name or beside positional arguments; others are not asked for it."""

    def by_name(dataset_item: object, llm_output: object, task_span: object) -> bool:
        return task_span == "tree"

    def by_place(item: object, text: object, task_span: object = None) -> bool:
        return task_span == "tree"

    for metric in map(as_objective, (by_name, by_place, [by_name])):
        assert metric.wants_span
        assert asyncio.run(metric.score(ITEM, "4", task_span="tree")).score == 1
    assert not as_objective(exact).wants_span


def test_functions_run_in_the_given_threads() -> None:
    """A function of the user's blocks no event loop; our own metrics need no thread."""
    seen: list[str] = []

    def where(dataset_item: object, llm_output: object) -> float:
        seen.append(threading.current_thread().name)
        return 1.0

    with ThreadPoolExecutor(1, thread_name_prefix="mine") as executor:
        asyncio.run(as_objective(where).score(ITEM, "4", executor=executor))
    assert seen[0].startswith("mine")


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=5), st.data())
def test_the_weighted_mean_is_normalised(weights: list[float], data: st.DataObject) -> None:
    """Whatever the weights, the mean is numpy's average and stays in the members' range."""
    values = [data.draw(st.floats(0, 1)) for _ in weights]
    members = [
        MetricObjective(lambda dataset_item, llm_output, v=v: v, name=f"m{n}")
        for n, v in enumerate(values)
    ]
    both = MultiMetricObjective(members, weights)
    assert math.fsum(both.weights) == pytest.approx(1)
    expected = math.fsum(w * v for w, v in zip(weights, values, strict=True)) / math.fsum(weights)
    assert score_of(both) == pytest.approx(expected)


def test_a_combination_tells_of_its_members() -> None:
    """Reasons, raw sub-scores and direction of each member are kept; one failure fails all."""
    both = MultiMetricObjective([exact, Wrong()], weights=[1, 3], name="both")
    scored = asyncio.run(both.score(ITEM, "4"))
    assert scored.score == 0.25 * 1 + 0.75 * 0.75
    assert scored.scores == {"exact": 1, "wrong": 0.25}
    assert scored.reason == "exact: 1\nwrong: 0.75"
    assert both.describe().startswith("both = weighted mean of 25% exact")
    assert both.value_range[0] == -math.inf
    assert MultiMetricObjective([Wrong()]).value_range == (0, 1)
    failed = asyncio.run(as_objective([exact, broken]).score(ITEM, "4"))
    assert failed.score is None
    assert failed.scores == {"exact": 1, "broken": None}
    assert failed.error == "ZeroDivisionError: by nought"


def test_fingerprints_follow_code_and_configuration() -> None:
    """Equal metrics share a fingerprint; another configuration, mapping or weight has its own."""
    metrics = [
        exact,
        slowly,
        Wrong(),
        Wrong(share=0.5),
        MetricObjective(exact, name="other"),
        MultiMetricObjective([exact, slowly]),
        MultiMetricObjective([exact, slowly], [1, 2]),
    ]
    keys = [as_objective(metric).fingerprint for metric in metrics]
    assert len(set(keys)) == len(keys)
    assert as_objective(Wrong()).fingerprint == keys[2]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: as_objective(3), "not a metric"),
        (lambda: as_objective(Equals), "parentheses"),
        (lambda: MultiMetricObjective([]), "different names"),
        (lambda: MultiMetricObjective([exact, exact]), "different names"),
        (lambda: MultiMetricObjective([exact], [0]), "positive"),
        (lambda: MultiMetricObjective([exact], [1, 2]), "positive"),
        (lambda: as_objective(type("N", (Wrong,), {"higher_is_better": None})()), "neither"),
    ],
)
def test_what_cannot_be_optimized_is_refused(make: object, text: str) -> None:
    """Each mistake is an error that names it."""
    with pytest.raises(SettingsError, match=text):
        make()  # type: ignore[operator]


def test_names() -> None:
    """A function gives its name, a partial that of its function, a lambda a plain one."""
    assert as_objective(partial(weighted, weight=1)).name == "weighted"
    assert as_objective(lambda dataset_item, llm_output: 1).name == "metric"
    assert as_objective(Callable_()).name == "Callable_"
    own = as_objective(exact)
    assert as_objective(own) is own
