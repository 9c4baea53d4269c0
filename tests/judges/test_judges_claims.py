"""Judges that check claims and chunks one by one."""

from __future__ import annotations

import pytest

from opik_eval.errors import MetricError
from opik_eval.judges import (
    AnswerRelevance,
    Factuality,
    Faithfulness,
    Hallucination,
    NoiseSensitivity,
    RankedContextPrecision,
    StructuredOutputCompliance,
)


def check(*supported):
    return {
        f"answer_{number}": {"reason": "r", "supported": is_supported}
        for number, is_supported in enumerate(supported, start=1)
    }


def test_faithfulness_is_the_share_of_supported_claims(scripted):
    """One call finds the claims, one checks them all; each verdict is kept."""
    model = scripted({"claims": ["A.", " ", "B.", "C."]}, check(True, False, True))
    score = Faithfulness(model).score(output="A, B and C.", context=["A", "C"])
    assert score.value == pytest.approx(2 / 3)
    assert score.reason == "not supported: B."
    assert [claim["supported"] for claim in score.metadata["claims"]] == [True, False, True]
    assert score.metadata["model_calls"] == 2
    sources = model.transport.requests[1].messages[-1]["content"]
    assert "1. A.\n2. B.\n3. C." in sources


def test_faithfulness_of_everything_and_of_nothing(scripted):
    """All claims supported is 1; without claims there is no score, rather than a 1 or a 0."""
    model = scripted({"claims": ["A."]}, check(True), {"claims": []})
    assert Faithfulness(model).score(output="A.", context="A").value == 1.0
    nothing = Faithfulness(model).score(output="Hello!", context="A")
    assert (nothing.value, nothing.scoring_failed) == (None, False)
    assert nothing.reason == "the output makes no claims"


def test_factuality_counts_doubt_as_half(scripted):
    """Truth 1, unclear one half, lie 0; an array in prose is understood."""
    claims = [
        {"claim": "a", "reason": "r", "verdict": "truth"},
        {"claim": "b", "reason": "r", "verdict": "unclear"},
        {"claim": "c", "reason": "r", "verdict": "lie"},
    ]
    model = scripted({"claims": claims}, {"claims": []})
    score = Factuality(model).score(input="i", output="o")
    assert score.value == 0.5
    assert score.reason.splitlines()[2] == "lie: c (r)"
    assert Factuality(model).score(input="i", output="o").value is None


# Claims of the output: right, wrong by the first chunk, wrong by the second, wrong by neither.
# The expected output's one claim is in the first chunk alone, which is therefore relevant.
SUPPORT = {
    "<source>\nexpected": (True, False, False, False),
    "<source>\nfirst": (False, True, False, False, True),
    "<source>\nsecond": (False, False, True, False, False),
}


def noise(prompt):
    if "List what the text claims" in prompt:
        is_output = "<text>\nthe output" in prompt
        return {"claims": ["c1", "c2", "c3", "c4"] if is_output else ["e1"]}
    return next(check(*verdicts) for source, verdicts in SUPPORT.items() if source in prompt)


@pytest.mark.parametrize(("mode", "noisy"), [("relevant", ["c2"]), ("irrelevant", ["c3"])])
def test_noise_sensitivity_counts_wrong_claims_by_where_they_come_from(answering, mode, noisy):
    """Wrong claims out of relevant chunks, or out of irrelevant ones, as a share of all."""
    model = answering(noise)
    score = NoiseSensitivity(model, mode=mode).score(
        input="q", output="the output", expected_output="expected", context=["first", "second"]
    )
    assert score.metadata["noisy_claims"] == noisy
    assert score.value == 0.25
    assert score.metadata["model_calls"] == 5


def test_noise_sensitivity_of_edges(answering):
    """No claims, no score; an unknown mode is refused."""
    model = answering(lambda prompt: {"claims": []})
    arguments = {"input": "q", "output": "o", "expected_output": "e", "context": ["c"]}
    assert NoiseSensitivity(model).score(**arguments).value is None
    with pytest.raises(MetricError, match="no mode='other'"):
        NoiseSensitivity(model, mode="other")


@pytest.mark.parametrize(
    ("useful", "value"),
    [("101", (1 + 2 / 3) / 2), ("000", 0.0), ("111", 1.0), ("001", 1 / 3)],
)
def test_ranked_context_precision_is_average_precision(answering, useful, value):
    """Useful chunks that come late cost more; every chunk is a call of its own."""
    chunks = [f"chunk number {place}" for place in range(3)]

    def reply(prompt):
        place = next(place for place, chunk in enumerate(chunks) if chunk in prompt)
        return {"reason": "r", "is_useful": useful[place] == "1"}

    judge = RankedContextPrecision(answering(reply))
    score = judge.score(input="q", expected_output="e", context=chunks)
    assert score.value == pytest.approx(value)
    assert score.metadata["useful"] == [mark == "1" for mark in useful]
    assert score.metadata["model_calls"] == 3


@pytest.mark.parametrize("context", ["one text", [], 3])
def test_ranked_context_precision_needs_a_list(context):
    """A text has no ranks."""
    with pytest.raises(MetricError, match="'context' as a list"):
        RankedContextPrecision("fake/echo").score(input="q", expected_output="e", context=context)


def test_answer_relevance_wants_context_unless_told_otherwise(scripted):
    """Without it, it refuses before anything is sent; or it uses the examples meant for that."""
    with pytest.raises(MetricError, match="needs 'context'"):
        AnswerRelevance("fake/echo").score(input="q", output="a", context=[])
    reply = {"reason": "r", "score": 0.5}
    model = scripted(reply, reply)
    judge = AnswerRelevance(
        model,
        require_context=False,
        few_shot_examples=[{"output": "with context", "score": 1}],
        few_shot_examples_no_context=[{"output": "without context", "score": 1}],
    )
    assert judge.score(input="q", output="a").value == 0.5
    judge.score(input="q", output="a", context=["c"])
    plain, grounded = (request.messages[-1]["content"] for request in model.transport.requests)
    assert "output: without context" in plain
    assert "<context>" not in plain
    assert "output: with context" in grounded
    assert '["c"]' in grounded


def test_hallucination_asks_differently_with_and_without_context(scripted):
    """With context only the context counts, without it common knowledge."""
    reply = {"reason": "r", "score": 0}
    model = scripted(reply, reply)
    Hallucination(model).score(input="q", output="a", context="c")
    Hallucination(model).score(input="q", output="a")
    grounded, plain = (request.messages[-1]["content"] for request in model.transport.requests)
    assert "Facts outside the context do not count" in grounded
    assert "well-established knowledge" in plain


def test_compliance_shows_a_pydantic_class_as_its_schema(scripted):
    """Yes is 1 and no is 0."""
    from pydantic import BaseModel

    class Point(BaseModel):
        x: int

    model = scripted({"reason": "r", "score": True}, {"reason": "r", "score": False})
    judge = StructuredOutputCompliance(model)
    assert judge.score(output='{"x": 1}', schema=Point).value == 1.0
    assert judge.score(output="x").value == 0.0
    with_schema, without = (request.messages[-1]["content"] for request in model.transport.requests)
    assert '"integer"' in with_schema
    assert "valid JSON" in without
