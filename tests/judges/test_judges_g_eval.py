"""G-Eval: steps once, then a grade weighted by probability, read, or sampled."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from opik_eval.errors import JudgeError, MetricError, ModelUnavailableError
from opik_eval.judges.g_eval import GEval, GEvalReply, GEvalSteps
from opik_eval.models.base import Completion, TokenLogprob, Usage
from opik_eval.testing.metric_contract import MetricCase, MetricContract

_fresh = itertools.count()


class FakeGrader:
    """Writes two steps, then gives the grades of a list in turn."""

    def __init__(self, grades=(8,), *, top=None, supports_logprobs=False, fail_steps=False):
        self.name = "fake/grader"
        self.grades = list(grades)
        self.top = top
        self.supports_logprobs = supports_logprobs
        self.fail_steps = fail_steps
        self.step_calls = []
        self.grade_calls = []

    def supports(self, feature):
        return self.supports_logprobs and feature == "logprobs"

    async def generate(self, messages, *, response_format=None, repeat=0, **params):
        await asyncio.sleep(0)
        usage = Usage(total_tokens=10)
        if response_format is GEvalSteps:
            self.step_calls.append((list(messages), params))
            if self.fail_steps:
                raise ModelUnavailableError("down")
            plan = GEvalSteps(steps=["Look at tone.", "Look at facts."])
            return Completion(text="", model=self.name, parsed=plan, usage=usage, cost_usd=0.5)
        self.grade_calls.append((list(messages), repeat, params))
        grade = self.grades[(len(self.grade_calls) - 1) % len(self.grades)]
        reply = GEvalReply(reason=f"grade {grade}", score=grade)
        return Completion(
            text=json.dumps({"reason": reply.reason, "score": grade}),
            model=self.name,
            parsed=reply,
            usage=usage,
            cost_usd=0.25,
            logprobs=self._tokens(grade) if params.get("logprobs") else None,
        )

    def _tokens(self, grade):
        if self.top is None:
            return None
        rivals = tuple((text, math.log(p)) for text, p in self.top.items())
        return (
            TokenLogprob(token='{"reason": "", "score": ', logprob=0.0),
            TokenLogprob(token=str(grade), logprob=dict(rivals)[str(grade)], top=rivals),
            TokenLogprob(token="}", logprob=0.0),
        )


def judge(model, **options):
    """Return a judge whose steps no other test has asked for."""
    return GEval(f"Grade tour guides ({next(_fresh)}).", "Be friendly.", model=model, **options)


def score(metric, **arguments):
    return asyncio.run(metric.ascore(**arguments))


def test_the_written_grade_counts_where_there_are_no_probabilities():
    """Grade by ten, with reason, source and the cost of both calls."""
    model = FakeGrader([8])
    result = score(judge(model), output="Welcome!")
    assert (result.name, result.value, result.reason) == ("g_eval_metric", 0.8, "grade 8")
    assert result.metadata["score_source"] == "text"
    assert (result.metadata["model_calls"], result.metadata["cost_usd"]) == (2, 0.75)
    assert result.metadata["usage"] == {"total_tokens": 20}
    assert "logprobs" not in model.grade_calls[0][2]


def test_the_grade_is_weighted_by_probability_where_the_model_reports_it():
    """8 at .6, 7 at .3 and 9 at .1 make 7.8 of 10."""
    model = FakeGrader([8], top={"8": 0.6, "7": 0.3, "9": 0.1}, supports_logprobs=True)
    result = score(judge(model, samples=5), output="Welcome!")
    assert result.value == pytest.approx(0.78)
    assert result.metadata["score_source"] == "logprobs"
    assert result.metadata["written_score"] == 8
    assert result.metadata["score_probabilities"] == {"7": 0.3, "8": 0.6, "9": 0.1}
    [(_, _, params)] = model.grade_calls
    assert params == {"temperature": 0.0, "logprobs": True, "top_logprobs": 20}


@pytest.mark.parametrize("supports", [True, False])
def test_samples_are_averaged_where_there_are_no_probabilities(supports):
    """Each sample is a request of its own, at temperature 1; the typical one gives the reason."""
    model = FakeGrader([6, 9, 9, 6], supports_logprobs=supports)
    result = score(judge(model, samples=3), output="Welcome!")
    drawn = model.grade_calls[-3:]
    assert [repeat for _, repeat, _ in drawn] == [0, 1, 2]
    assert {params["temperature"] for _, _, params in drawn} == {1.0}
    grades = [9, 9, 6] if supports else [6, 9, 9]
    assert result.metadata["sample_scores"] == grades
    assert result.metadata["score_source"] == "samples"
    assert (result.value, result.reason) == (pytest.approx(0.8), "grade 9")
    assert result.metadata["model_calls"] == (5 if supports else 4)


def test_a_sampling_temperature_of_ones_own_is_kept():
    """Only a temperature of 0 would make all samples equal."""
    model = FakeGrader([6])
    score(judge(model, samples=2, temperature=0.5, seed=3), output="x")
    assert model.grade_calls[0][2] == {"temperature": 0.5, "seed": 3}


def test_without_probabilities_in_the_reply_the_written_grade_counts():
    """A model that promised them but sent none is no failure."""
    result = score(judge(FakeGrader([4], supports_logprobs=True)), output="x")
    assert (result.value, result.metadata["score_source"]) == (0.4, "text")


def test_a_model_that_answers_asynchronously_what_it_supports():
    """``supports`` may be a coroutine function, or be missing."""

    class Asynchronous(FakeGrader):
        async def supports(self, feature):
            return True

    class Silent(FakeGrader):
        supports = None

    top = {"8": 0.5, "6": 0.5}
    assert score(judge(Asynchronous([8], top=top)), output="x").value == pytest.approx(0.7)
    assert score(judge(Silent([8], top=top)), output="x").value == 0.8


def test_the_prompt_shows_what_is_given_and_nothing_else():
    """Introduction, criteria, steps, output; the rest where given; no value is a template."""
    model = FakeGrader()
    metric = judge(model)
    score(metric, output="Hi {{ input }}")
    score(metric, output={"a": 1}, input="q?", context=["c1"], expected_output="e", other=1)
    (bare, _, _), (full, _, _) = model.grade_calls
    assert [message["role"] for message in bare] == ["system", "user"]
    text = bare[1]["content"]
    assert "1. Look at tone.\n2. Look at facts.\n" in text
    assert "<output>\nHi {{ input }}\n</output>" in text
    assert not any(tag in text for tag in ("<input>", "<context>", "<expected_output>"))
    text = full[1]["content"]
    for part in (
        "<input>\nq?\n</input>",
        '<context>\n["c1"]\n</context>',
        "<expected_output>\ne\n</expected_output>",
        '<output>\n{"a":1}\n</output>',
    ):
        assert part in text
    [(planning, _)] = model.step_calls
    assert "Grade tour guides" in planning[1]["content"]
    assert "Be friendly." in planning[1]["content"]


def test_eight_scores_at_once_write_the_steps_once():
    """Across threads with event loops of their own."""
    model = FakeGrader()
    metric = judge(model)
    together = threading.Barrier(8)

    def one():
        together.wait()
        return score(metric, output="x")

    with ThreadPoolExecutor(8) as threads:
        results = [future.result() for future in [threads.submit(one) for _ in range(8)]]
    assert len(model.step_calls) == 1
    assert len(model.grade_calls) == 8
    assert sorted(result.metadata["model_calls"] for result in results) == [1] * 7 + [2]


def test_steps_belong_to_criteria_model_and_sampling():
    """Another criterion, model object or seed gets steps of its own; the same one does not."""
    model, other = FakeGrader(), FakeGrader()
    introduction = f"Grade ({next(_fresh)})."
    for options in (
        {"evaluation_criteria": "A", "model": model},
        {"evaluation_criteria": "A", "model": model},
        {"evaluation_criteria": "B", "model": model},
        {"evaluation_criteria": "A", "model": model, "seed": 1},
        {"evaluation_criteria": "A", "model": other},
    ):
        score(GEval(introduction, **options), output="x")
    assert (len(model.step_calls), len(other.step_calls)) == (3, 1)


def test_steps_of_ones_own_are_used_as_they_are():
    """No call is made for them."""
    model = FakeGrader()
    score(judge(model, evaluation_steps=["Count the smiles."]), output="x")
    assert model.step_calls == []
    assert "1. Count the smiles.\n" in model.grade_calls[0][0][1]["content"]


def test_failed_steps_are_tried_again_next_time():
    """A failure is a judge error and is not kept."""
    model = FakeGrader(fail_steps=True)
    metric = judge(model)
    with pytest.raises(JudgeError, match="'g_eval_metric' could not ask fake/grader: down"):
        score(metric, output="x")
    model.fail_steps = False
    assert score(metric, output="x").value == 0.8


def test_a_failing_sample_fails_the_score():
    """A mean over fewer samples than promised would be another number."""

    class FailsLate(FakeGrader):
        async def generate(self, messages, *, response_format=None, repeat=0, **params):
            if repeat == 1:
                raise ModelUnavailableError("down")
            return await super().generate(
                messages, response_format=response_format, repeat=repeat, **params
            )

    with pytest.raises(JudgeError, match="down"):
        score(judge(FailsLate(), samples=3), output="x")


def test_fewer_than_one_sample_is_refused():
    """When the judge is made."""
    with pytest.raises(MetricError, match="samples is 0"):
        judge(None, samples=0)


def test_a_model_given_by_name_is_looked_up_for_each_score():
    """A judge with a name alone can be pickled before and after use."""
    metric = judge("fake/echo", evaluation_steps=["x"])
    with pytest.raises(JudgeError):
        score(metric, output="this is no JSON")
    assert pickle.loads(pickle.dumps(metric)) == metric
    with pytest.raises(JudgeError):
        score(judge("fake/echo"), output="this is no JSON")


MODEL = FakeGrader([10])


class TestGEvalContract(MetricContract):
    """The battery."""

    @pytest.fixture
    def case(self):
        """Return the judge with a model that always gives the best grade."""
        return MetricCase(
            lambda: GEval("Grade.", "Be kind.", model=MODEL),
            {"output": "Hello"},
            "g_eval_metric",
            {"output": "Hello"},
            texts=("output",),
        )
