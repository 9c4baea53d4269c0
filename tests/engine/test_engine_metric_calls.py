"""Model calls of metrics: counted with their scores, stored below the task's trace."""

from __future__ import annotations

from dataclasses import replace

import pytest

from opik_eval import evaluate, track
from opik_eval.evaluation import evaluate_experiment
from opik_eval.experiments import load_result, result_text, run_totals
from opik_eval.experiments.model_use import NOTHING, model_use_of_score
from opik_eval.judges import LLMJudge, Moderation
from opik_eval.metrics import AggregatedMetric, BaseMetric, Equals, ScoreResult
from opik_eval.models.base import Completion, Usage
from opik_eval.models.client import ChatModel
from opik_eval.models.fake import FunctionTransport
from opik_eval.records import SpanType
from opik_eval.tracing import set_tracing_active

ITEMS = [{"input": f"question {n}", "reference": "x"} for n in range(3)]


def model(reply, *, cost_usd=0.25, name="fake/priced") -> ChatModel:
    def answer(request):
        usage = Usage(prompt_tokens=10, completion_tokens=2, total_tokens=12)
        return Completion(text=reply, model=name, usage=usage, cost_usd=cost_usd)

    kind = Unpriced if cost_usd is None else FunctionTransport
    transport = kind(answer, features=frozenset({"json_schema"}))
    return ChatModel(name=name, transport=transport)


class Unpriced(FunctionTransport):
    """Like a provider whose prices nobody knows; other fakes are free."""

    async def send(self, request):
        return replace(await super().send(request), cost_usd=None)


GOOD = '{"reason": "fine", "score": 0}'


def task(item):
    return {"output": "x"}


def run(storage, *metrics, items=ITEMS, task=task, **options):
    return evaluate(items, task, metrics, storage=storage, verbose=0, **options)


def spans_of(storage, result, index=0):
    trace_id = result.test_results[index].test_case.trace_id
    return list(storage.list_spans(trace_ids=[trace_id]))


def test_tokens_and_cost_are_counted_per_metric(storage):
    """In the aggregated scores of each metric, in each item's score, and in the run's totals."""

    def asks(item):
        model("x", cost_usd=1.0).generate_sync("hello")
        return {"output": "x"}

    result = run(storage, Moderation(model(GOOD)), Equals(), task=asks)
    scores = result.aggregate_evaluation_scores().aggregated_scores
    judge, equals = scores["moderation_metric"], scores["equals_metric"]
    assert (judge.model_calls, judge.total_tokens, judge.cost_usd) == (3, 36, 0.75)
    assert (equals.model_calls, equals.total_tokens, equals.cost_usd) == (0, None, None)
    first = result.test_results[0]
    assert (first.cost_usd, first.scoring_use.cost_usd) == (1.0, 0.25)
    assert first.score_results[0].metadata["usage"]["total_tokens"] == 12
    totals = run_totals(result.test_results)
    assert (totals.total_tokens, totals.cost_usd) == (72, 3.75)
    assert (totals.scoring_tokens, totals.scoring_cost_usd) == (36, 0.75)
    assert "Of these for moderation_metric: 3 calls, 36 tokens, $0.75" in result_text(result)
    frame = result.to_pandas()
    assert list(frame["cost_usd.moderation_metric"]) == [0.25] * 3
    assert "cost_usd.equals_metric" not in frame


def test_the_calls_are_spans_below_a_span_of_the_metric(storage):
    """In the task's trace; metrics that call no model have no span."""
    result = run(storage, Moderation(model(GOOD)), Equals())
    spans = {span.name: span for span in spans_of(storage, result)}
    assert set(spans) == {"moderation_metric", "fake/priced"}
    metric, call = spans["moderation_metric"], spans["fake/priced"]
    assert (call.type, call.parent_span_id, call.cost_usd) == (SpanType.LLM, metric.id, 0.25)
    assert (metric.parent_span_id, metric.trace_id) == (None, call.trace_id)
    assert metric.start_time <= call.start_time <= call.end_time <= metric.end_time
    assert metric.output == {
        "scores": [{"name": "moderation_metric", "value": 0.0, "reason": "fine"}]
    }
    assert call.project_name == storage.find_trace(call.trace_id).project_name


def test_metrics_of_the_user_count_too(storage):
    """Synchronous or not, with spans of their own in between, and inside other metrics."""

    class Asks(BaseMetric):
        def score(self, output: str, **ignored: object) -> float:
            return self.inner(output)

        @track(name="inner")
        def inner(self, output: str) -> float:
            return float(len(model("x").generate_sync(output).text))

    class AsksLater(BaseMetric):
        async def ascore(self, output: str, **ignored: object) -> float:
            return float(len((await model("x").generate(output)).text))

    def best(scores):
        return max(score.value for score in scores)

    both = AggregatedMetric("both", [Asks(), AsksLater()], best)
    result = run(storage, Asks(), AsksLater(), both, items=ITEMS[:1])
    scores = result.aggregate_evaluation_scores().aggregated_scores
    assert {name: part.cost_usd for name, part in scores.items()} == {
        "Asks": 0.25,
        "AsksLater": 0.25,
        "both": 0.5,
    }
    spans = spans_of(storage, result)
    names = {span.id: span.name for span in spans}
    below = sorted((names.get(span.parent_span_id, ""), span.name) for span in spans)
    assert below == [
        ("", "Asks"),
        ("", "AsksLater"),
        ("", "both"),
        ("Asks", "inner"),
        ("AsksLater", "fake/priced"),
        ("both", "fake/priced"),
        ("both", "inner"),
        ("inner", "fake/priced"),
        ("inner", "fake/priced"),
    ]


def test_a_failed_score_has_cost_all_the_same(storage):
    """Both the reply that made no sense and the repair turn are counted."""
    result = run(storage, Moderation(model("I would rather not.")), items=ITEMS[:1])
    [score] = result.test_results[0].score_results
    assert score.scoring_failed
    assert (score.metadata["model_calls"], score.metadata["cost_usd"]) == (2, 0.5)
    assert score.metadata["reply"] == "I would rather not."
    assert result.aggregate_evaluation_scores().aggregated_scores[score.name].cost_usd == 0.5


@pytest.mark.parametrize("reply", ["hm", None])
def test_a_metric_with_several_scores_is_counted_once(storage, reply):
    """The first score carries the account, whether the call succeeds or not."""
    answer = '{"reason": "r", "score": true, "confidence": 1}'
    good = f'{{"answer_1": {answer}, "answer_2": {answer}}}'
    judge = LLMJudge(["It is short.", "It is polite."], model=model(reply or good))
    result = run(storage, judge, items=ITEMS[:1])
    scores = result.test_results[0].score_results
    calls = [score.metadata["model_calls"] for score in scores]
    assert len(calls) == 2
    assert calls[1] == 0
    assert result.test_results[0].scoring_use.cost_usd == 0.25 * calls[0]


def test_an_unknown_price_stays_unknown(storage):
    """The calls are counted, and shown as missing from the sum."""
    result = run(storage, Moderation(model(GOOD, cost_usd=None, name="acme/secret")))
    part = result.aggregate_evaluation_scores().aggregated_scores["moderation_metric"]
    assert (part.model_calls, part.cost_usd) == (3, None)
    assert run_totals(result.test_results).unpriced_calls == 3
    assert "3 calls, 36 tokens, price unknown" in result_text(result)


def test_untracked_metrics_are_counted_but_not_recorded(storage):
    """``track=False`` keeps their spans out of the trace; the money is spent all the same."""
    result = run(storage, Moderation(model(GOOD), track=False))
    assert spans_of(storage, result) == []
    part = result.aggregate_evaluation_scores().aggregated_scores["moderation_metric"]
    assert part.cost_usd == 0.75


def test_judges_count_themselves_where_tracing_is_off(storage):
    """No spans then, but the judge's own account."""
    set_tracing_active(False)
    try:
        result = run(storage, Moderation(model(GOOD)))
    finally:
        set_tracing_active(True)
    part = result.aggregate_evaluation_scores().aggregated_scores["moderation_metric"]
    assert (part.model_calls, part.total_tokens, part.cost_usd) == (3, 36, 0.75)


def test_stored_results_still_know_what_their_metrics_cost(storage):
    """Scores added later count beside the first ones, and their calls join the task's trace."""
    first = run(storage, Moderation(model(GOOD)), experiment_name="first")
    evaluate_experiment(
        "first", [Moderation(model(GOOD), name="again")], storage=storage, verbose=0
    )
    loaded = load_result(storage, first.experiment_id)
    scores = loaded.aggregate_evaluation_scores().aggregated_scores
    assert {name: part.cost_usd for name, part in scores.items()} == {
        "moderation_metric": 0.75,
        "again": 0.75,
    }
    names = sorted(span.name for span in spans_of(storage, first))
    assert names == ["again", "fake/priced", "fake/priced", "moderation_metric"]


def test_prompt_and_completion_make_the_total():
    """Where a provider does not add them up itself; other kinds are parts of these two."""
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "cached_tokens": 3}
    metadata = {"model_calls": 1, "usage": usage}
    assert model_use_of_score(ScoreResult("m", 1.0, metadata=metadata)).total_tokens == 7
    metadata = {"model_calls": 1, "usage": {"cached_tokens": 3}}
    assert model_use_of_score(ScoreResult("m", 1.0, metadata=metadata)).total_tokens is None


def test_metadata_of_others_is_no_account():
    """A score whose ``model_calls`` is no number used nothing that is known."""
    for metadata in (None, {}, {"model_calls": "many"}, {"cost_usd": 3}):
        assert model_use_of_score(ScoreResult("m", 1.0, metadata=metadata)) is NOTHING
