"""Metrics of ragas through its two interfaces; ragas itself is replaced by what is used of it."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
from pydantic import BaseModel

from opik_eval.errors import MetricError, MissingArgumentError
from opik_eval.metrics import RagasMetricWrapper


class SingleTurnSample(BaseModel):
    """The fields of ragas' sample that the tests use."""

    user_input: str | None = None
    response: str | None = None
    retrieved_contexts: list[str] | None = None
    reference: str | None = None


class Overlap:
    """A metric with the interface of ragas' SingleTurnMetric."""

    name = "overlap"
    required_columns = {"SINGLE_TURN": {"response", "reference"}}

    async def single_turn_ascore(self, sample, callbacks=None, timeout=None):
        assert isinstance(sample, SingleTurnSample)
        self.sample = sample
        return float(sample.response == sample.reference)


class Collected:
    """A metric with the interface of ragas.metrics.collections."""

    name = "collected"

    def __init__(self, result):
        self.result = result

    async def ascore(self, user_input, retrieved_contexts, reference=None):
        self.seen = (user_input, retrieved_contexts, reference)
        return self.result


@pytest.fixture
def ragas(monkeypatch):
    """Put what is used of ragas in its place."""
    module = ModuleType("ragas.dataset_schema")
    module.SingleTurnSample = SingleTurnSample
    monkeypatch.setitem(sys.modules, "ragas", ModuleType("ragas"))
    monkeypatch.setitem(sys.modules, "ragas.dataset_schema", module)


def test_a_single_turn_metric_gets_a_sample(ragas):
    """With the names of ragas, or this package's in their place; None is as good as absent."""
    metric = RagasMetricWrapper(Overlap())
    assert metric.name == "overlap"
    score = metric.score(output="a", expected_output="a", input="q", context=["c"], reference=None)
    assert score.value == 1.0
    assert metric.ragas_metric.sample == SingleTurnSample(
        user_input="q", response="a", retrieved_contexts=["c"], reference="a"
    )
    assert metric.score(response="a", output="b", reference="a").value == 1.0


def test_what_is_missing_is_named(ragas):
    """By ragas' names."""
    with pytest.raises(MissingArgumentError, match="'overlap' needs 'reference'"):
        RagasMetricWrapper(Overlap()).score(output="a")
    with pytest.raises(MissingArgumentError, match="needs 'retrieved_contexts'"):
        RagasMetricWrapper(Collected(1)).score(input="q")


def test_ragas_must_be_there(monkeypatch):
    """The remedy is its extra."""
    monkeypatch.setitem(sys.modules, "ragas", None)
    with pytest.raises(MetricError, match="'ragas'") as refusal:
        RagasMetricWrapper(Overlap()).score(output="a", reference="a")
    assert refusal.value.remedy == 'pip install "opik-eval[ragas]"'


@pytest.mark.parametrize(
    ("result", "value", "category", "reason"),
    [
        (0.5, 0.5, None, None),
        (SimpleNamespace(value=0.25, reason="why"), 0.25, None, "why"),
        (SimpleNamespace(value="pass", reason=None), None, "pass", None),
    ],
)
def test_a_collected_metric_gets_its_arguments(result, value, category, reason):
    """Numbers and labels come back with their reasons."""
    metric = RagasMetricWrapper(Collected(result), name="mine")
    score = metric.score(input="q", context=["c"], output="unused")
    assert (score.name, score.value, score.category_name) == ("mine", value, category)
    assert score.reason == reason
    assert metric.ragas_metric.seen == ("q", ["c"], None)


def test_other_results_and_other_objects_are_refused():
    """A list is no score, and a class no metric."""
    with pytest.raises(MetricError, match="which is no score"):
        RagasMetricWrapper(Collected([1])).score(input="q", context=["c"])
    for wrong in (Overlap, object(), None):
        with pytest.raises(MetricError, match="no metric of ragas"):
            RagasMetricWrapper(wrong)
