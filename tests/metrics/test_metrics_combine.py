"""Several metrics as one."""

from __future__ import annotations

import asyncio

import pytest

from opik_eval.errors import MetricError, MissingArgumentError
from opik_eval.metrics import AggregatedMetric, BaseMetric, Contains, Equals, ScoreResult, as_metric


def mean(scores):
    """Combine scores by their mean."""
    return sum(score.value for score in scores) / len(scores)


class Waiting(BaseMetric):
    """An asynchronous metric that waits until all its kind have started."""

    def __init__(self, started, wanted):
        super().__init__("waiting")
        self.started, self.wanted = started, wanted

    async def ascore(self, output, **_ignored):
        self.started.append(output)
        while len(self.started) < self.wanted:
            await asyncio.sleep(0)
        return 1.0


def test_parts_get_what_they_take_and_their_scores_are_combined():
    """A list of scores from one part is taken apart; its order is kept."""

    def several(output):
        return [ScoreResult("one", 0.25), ScoreResult("two", 0.5)]

    names = []

    def combine(scores):
        names.extend(score.name for score in scores)
        return ScoreResult("", mean(scores))

    metric = AggregatedMetric("all", [Equals(), as_metric(several)], combine)
    assert metric.score(output="a", reference="a", extra=1).value == pytest.approx(1.75 / 3)
    assert names == ["equals_metric", "one", "two"]


def test_it_requires_what_any_part_requires():
    """So that the engine finds out before the run what is missing."""
    metric = AggregatedMetric("both", [Equals(), Contains()], mean)
    arguments = metric.score_arguments()
    assert arguments.required == ("output", "reference")
    assert arguments.optional == ()
    with pytest.raises(MetricError, match="'both': metric 'equals_metric' needs 'reference'"):
        metric.score(output="a")


def test_asynchronous_parts_run_at_the_same_time():
    """Each waits for the others here, so one after the other would never end."""
    started = []
    parts = [Waiting(started, 3) for _ in range(3)]
    metric = AggregatedMetric("juries", [*parts, Equals()], mean)
    assert metric.score(output="a", reference="b") == 0.75
    started.clear()
    assert asyncio.run(metric.ascore(output="a", reference="a")) == 1.0


def test_a_part_that_fails_makes_the_whole_fail():
    """Whether it raises or returns a failed score; nothing is averaged over the rest."""

    def broken(output):
        return ScoreResult("broken", 0.0, reason="no idea", scoring_failed=True)

    metric = AggregatedMetric("both", [Equals(), as_metric(broken)], mean)
    with pytest.raises(MetricError, match="'both': its part 'broken' failed: no idea"):
        metric.score(output="a", reference="a")
    with pytest.raises(MetricError, match="'both': metric 'equals_metric' needs 'output'"):
        metric.score(output=None, reference="a")


@pytest.mark.parametrize("metrics", [[], None, [Equals], ["equals"]])
def test_there_must_be_metrics(metrics):
    """Objects, not classes or names."""
    with pytest.raises(MetricError, match="got metrics="):
        AggregatedMetric("x", metrics, mean)


def test_there_must_be_an_aggregator():
    """Opik's message for its absence is no clearer."""
    with pytest.raises(MetricError, match="got aggregator=None"):
        AggregatedMetric("x", [Equals()], None)
    assert issubclass(MissingArgumentError, MetricError)
