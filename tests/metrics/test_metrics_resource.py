"""Time, tokens, money and length."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from opik_eval.errors import MetricError
from opik_eval.evaluation import evaluate_on_dict_items
from opik_eval.metrics import Cost, Latency, OutputLength, TokenUsage
from opik_eval.testing.metric_contract import MetricCase, MetricContract
from opik_eval.tracing import SpanModel, track

START = datetime(2026, 1, 1, tzinfo=UTC)


def span(name="task", *, seconds=1.0, spans=(), **fields):
    """Make a span of some length."""
    end = START + timedelta(seconds=seconds)
    return SpanModel(
        id=name, name=name, start_time=START, end_time=end, spans=list(spans), **fields
    )


CALL = span("call", type="llm", usage={"total_tokens": 12, "prompt_tokens": 10}, total_cost=0.5)
RUN = {"task_span": span(spans=[CALL, span("search", type="tool", spans=[CALL])], seconds=3)}


def count_commas(text):
    """Count commas."""
    return text.count(",")


class TestResourceMetrics(MetricContract):
    """The battery."""

    @pytest.fixture(
        params=[
            MetricCase(Latency, RUN, "latency_metric", wrong={"task_span": {}}),
            MetricCase(lambda: Latency("search"), RUN, "latency_metric"),
            MetricCase(TokenUsage, RUN, "token_usage_metric", wrong={"task_span": "x"}),
            MetricCase(Cost, RUN, "cost_metric", wrong={"task_span": "x"}),
            MetricCase(
                OutputLength,
                {"output": "abc"},
                "output_length_metric",
                texts=("output",),
                wrong={"output": 3},
            ),
            MetricCase(
                lambda: OutputLength(count_commas), {"output": "a,b"}, "output_length_metric"
            ),
        ],
        ids=str,
    )
    def case(self, request):
        """Return one metric."""
        return request.param


def test_latency_is_that_of_the_task_or_of_named_steps():
    """Steps of one name add up; one that does not occur is unscored."""
    assert Latency().score(**RUN).value == 3.0
    assert Latency("call").score(**RUN).value == 2.0
    absent = Latency("fetch").score(**RUN)
    assert (absent.value, absent.reason) == (None, "no span is called 'fetch'")


def test_a_clock_that_was_set_back_is_no_negative_time():
    """Durations are never below 0."""
    assert Latency().score(task_span=span(seconds=-5)).value == 0.0


@pytest.mark.parametrize(("field", "word"), [("end_time", "end"), ("start_time", "start")])
def test_a_span_without_times_is_refused(field, word):
    """An unfinished span has no duration."""
    unfinished = span()
    setattr(unfinished, field, None)
    with pytest.raises(MetricError, match=f"'task_span' has no {word} time"):
        Latency().score(task_span=unfinished)


def test_tokens_of_all_calls_add_up():
    """Of any kind; a total that is not recorded is prompt and completion."""
    assert TokenUsage().score(**RUN).value == 24.0
    assert TokenUsage("prompt_tokens").score(**RUN).value == 20.0
    parts = span(type="llm", usage={"prompt_tokens": 3, "completion_tokens": 4})
    assert TokenUsage().score(task_span=parts).value == 7.0
    assert TokenUsage().score(task_span=span(type="llm", usage={"total_tokens": 0})).value == 0.0


def test_what_is_unknown_is_not_zero():
    """A call without usage or price makes the whole unscored, and the reason says how many."""
    silent = span("silent", type="llm")
    mixed = span(spans=[CALL, silent])
    tokens, cost = TokenUsage().score(task_span=mixed), Cost().score(task_span=mixed)
    assert (tokens.value, cost.value) == (None, None)
    assert tokens.reason == "1 of 2 model calls: no total_tokens; the others: 12"
    assert cost.reason == "1 of 2 model calls: no known price; the others: 0.5"
    assert Cost().score(task_span=silent).reason == "1 of 1 model calls: no known price"
    for metric in (TokenUsage(), Cost()):
        score = metric.score(task_span=span())
        assert (score.value, score.reason) == (None, "no model call was recorded")


def test_costs_add_up():
    """A cost of 0 is known, and tools can cost, too."""
    assert Cost().score(**RUN).value == 1.0
    free = span(spans=[span("call", type="llm", total_cost=0.0), span("map", total_cost=0.25)])
    assert Cost().score(task_span=free).value == 0.25


def test_length_in_any_unit():
    """Characters, words, or what a function counts."""
    text = "one two,\nthree"
    units = ("characters", "words", count_commas)
    assert [OutputLength(unit).score(text).value for unit in units] == [14.0, 3.0, 1.0]
    with pytest.raises(MetricError, match="no unit='tokens'"):
        OutputLength("tokens")


def test_the_engine_hands_over_the_run():
    """Latency of a real task and of a step inside it."""

    @track(name="step")
    def step():
        return "x"

    result = evaluate_on_dict_items(
        [{"q": 1}],
        lambda item: {"output": step()},
        [Latency(), Latency("step", name="step_latency"), Cost()],
    )
    whole, part, cost = result.test_results[0].score_results
    assert 0 <= part.value <= whole.value < 60
    assert cost.reason == "no model call was recorded"
