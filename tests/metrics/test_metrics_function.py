"""Plain functions as metrics."""

from __future__ import annotations

import asyncio
import pickle
from functools import partial

import pytest

from opik_eval.errors import MetricError
from opik_eval.metrics.base import ScoreResult, describe, normalise, required_arguments
from opik_eval.metrics.exact import Equals
from opik_eval.metrics.function import AsyncFunctionMetric, FunctionMetric, as_metric


def is_short(output, limit=5):
    """Is the output short?"""
    return len(output) < limit


def by_item(dataset_item, task_outputs, task_span=None):
    """Score in Opik's style."""
    return [ScoreResult("same", float(dataset_item["answer"] == task_outputs["output"]))]


async def slow(output, /, *, reference):
    """Score asynchronously."""
    return float(output == reference)


class Grader:
    """A callable object."""

    def __call__(self, output):
        return 0.5


class AsyncGrader:
    """An asynchronous callable object."""

    async def __call__(self, output):
        return 0.25


def test_a_function_by_argument_names():
    """Its name, its arguments, and only those of the values that it takes."""
    metric = as_metric(is_short)
    assert (metric.name, required_arguments(metric)) == ("is_short", ("output",))
    assert metric.score(output="four", reference="x") is True
    assert metric.score(output="four", limit=3) is False
    assert not metric.takes_item
    assert pickle.loads(pickle.dumps(metric)) == metric


def test_a_scoring_function_by_item():
    """Opik's style is recognised by its argument names."""
    metric = as_metric(by_item, name="mine")
    assert metric.takes_item
    assert describe(metric).optional == ("task_span",)
    scores = metric.score(dataset_item={"answer": "a"}, task_outputs={"output": "a"})
    assert [(score.name, score.value) for score in scores] == [("same", 1.0)]


@pytest.mark.parametrize("function", [slow, partial(slow, reference="a")])
def test_a_coroutine_function(function):
    """It is awaited, from both ways to score; positional-only arguments are passed by place."""
    metric = as_metric(function)
    assert isinstance(metric, AsyncFunctionMetric)
    assert metric.name == "slow"
    assert asyncio.run(metric.ascore(output="a", reference="a", input="q")) == 1.0
    assert metric.score(output="a", reference="a") == 1.0
    assert describe(metric).is_async


def test_callable_objects():
    """An object with ``__call__`` is named by its class."""
    assert (as_metric(Grader()).name, as_metric(Grader()).score(output="x")) == ("Grader", 0.5)
    assert asyncio.run(as_metric(AsyncGrader()).ascore(output="x")) == 0.25


def test_a_metric_is_returned_as_it_is():
    """There is nothing to wrap."""
    metric = Equals()
    assert as_metric(metric) is metric


def test_what_a_function_returns_is_normalised_like_any_score():
    """A label, a list, a number."""
    assert normalise(as_metric(lambda output: "good").score(output=1), name="m")[0].category_name


@pytest.mark.parametrize(("given", "problem"), [(Equals, "the class Equals"), (3, "3 is neither")])
def test_what_is_no_metric_is_refused(given, problem):
    """A class without parentheses and a number are named."""
    with pytest.raises(MetricError, match=problem) as refusal:
        as_metric(given)
    assert refusal.value.remedy


def test_a_function_metric_needs_a_function():
    """The class itself checks too."""
    with pytest.raises(MetricError, match="neither a metric nor a function"):
        FunctionMetric("is_short")
