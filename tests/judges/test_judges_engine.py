"""Judges in a whole evaluation: failures, cache, cost, media."""

from __future__ import annotations

import asyncio

import pytest

from opik_eval import evaluate
from opik_eval.errors import BudgetExceededError, JudgeError, ModelUnavailableError
from opik_eval.judges import AnswerRelevance, Hallucination, LLMJuriesJudge, Moderation, Usefulness
from opik_eval.judges.prompt import JudgePrompt, load_prompt
from opik_eval.judges.together import together
from opik_eval.models.budget import Budget
from opik_eval.models.context import use_models
from opik_eval.prompts.messages import audio_part, image_part, text_part

ITEMS = [{"input": f"question {n}", "context": "facts"} for n in range(4)]


def task(item):
    return {"output": f"answer to {item['input']}"}


def run(storage, metrics, items=ITEMS):
    return evaluate(items, task, metrics, storage=storage, verbose=0)


def test_a_reply_that_makes_no_sense_is_a_failed_score_with_the_reply(storage, answering):
    """It is counted, kept out of the mean, and can be read; it is never a 0."""

    def reply(prompt):
        return "I would rather not." if "question 2" in prompt else {"reason": "r", "score": 0.5}

    result = run(storage, [Hallucination(answering(reply))])
    [bad] = result.test_results[2].score_results
    assert (bad.value, bad.scoring_failed) == (None, True)
    assert bad.metadata["reply"] == "I would rather not."
    assert bad.metadata["prompts"] == {"hallucination": load_prompt("hallucination").version}
    assert bad.metadata["error_info"]["exception_type"] == "ParseError"
    statistics = result.aggregate_evaluation_scores().aggregated_scores["hallucination_metric"]
    assert (statistics.n, statistics.failed_count, statistics.mean) == (3, 1, 0.5)


def test_a_score_out_of_range_is_asked_for_again_and_then_fails(storage, scripted):
    """One repair turn, then a failed score with what came last."""
    model = scripted({"reason": "", "score": 7}, {"reason": "", "score": 8})
    [score] = run(storage, [Moderation(model)], ITEMS[:1]).test_results[0].score_results
    assert score.scoring_failed
    assert '"score":8' in score.metadata["reply"].replace(" ", "")
    again = scripted({"reason": "", "score": 7}, {"reason": "", "score": 0.7})
    [score] = run(storage, [Moderation(again)], ITEMS[:1]).test_results[0].score_results
    assert score.value == 0.7


def test_equal_questions_are_paid_for_once(storage, answering):
    """Two items alike are one request; with a cache, a second run is none, and costs nothing."""
    model = answering(lambda prompt: {"reason": "r", "score": 1})
    item = {"input": "same", "context": "same"}
    with use_models(cache=storage, cache_mode="read_write"):
        run(storage, [Usefulness(model)], [item, {**item, "other": 1}])
        again = run(storage, [Usefulness(model)], [item])
    assert len(model.transport.requests) == 1
    [score] = again.test_results[0].score_results
    assert score.metadata["cached_calls"] == 1
    assert score.metadata["cost_usd"] == 0.0


def test_what_a_failed_hearing_cost_is_known(answering):
    """The account of the calls before the failure goes with it."""
    from opik_eval.judges import Faithfulness

    def reply(prompt):
        return {"claims": ["The sky is blue."]} if "List what the text claims" in prompt else "hm"

    with pytest.raises(JudgeError) as failure:
        Faithfulness(answering(reply)).score(output="x", context="y")
    metadata = failure.value.metadata
    assert set(metadata["prompts"]) == {"claims", "claims_check"}
    assert metadata["model_calls"] == 1
    assert metadata["usage"]["total_tokens"] > 0


def test_a_budget_stops_a_jury_too(answering):
    """A jury does not take an exceeded budget for a member's weakness."""
    model = answering(lambda prompt: {"reason": "r", "score": 1})
    jury = LLMJuriesJudge([Usefulness(model), AnswerRelevance(model, require_context=False)])
    with use_models(budget=Budget(max_requests=1)), pytest.raises(BudgetExceededError):
        jury.score(input="a", output="b")


def test_images_reach_the_model_in_their_place(scripted):
    """Media parts of the arguments become parts of the message, among the text around them."""
    model = scripted({"reason": "a cat", "score": 1})
    image = image_part("https://example.com/cat.png")
    Usefulness(model).score(input=[text_part("What is this?"), image], output="A cat.")
    [request] = model.transport.requests
    content = request.messages[-1]["content"]
    assert [part["type"] for part in content] == ["text", "image_url", "text"]
    assert content[0]["text"].endswith("<input>\nWhat is this?\n")
    assert content[1] == image
    assert "A cat." in content[2]["text"]


def test_media_may_lie_deep_inside_a_value():
    """In lists of chunks and in messages; texts that look like markers stay texts."""
    prompt = JudgePrompt("p", "{% for m in messages %}{{ m.content }};{% endfor %} {{ text }}")
    sound = audio_part("UklGRg==")
    messages = [{"content": [text_part("listen"), sound]}, {"content": "⟦0123456789abcdef⟧"}]
    [message] = prompt.messages({"messages": messages, "text": {"type": "text", "note": 1}})
    assert message["content"][1] == sound
    assert "⟦0123456789abcdef⟧" in message["content"][2]["text"]
    assert '{"note":1,"type":"text"}' in message["content"][2]["text"].replace(" ", "")
    [plain] = prompt.messages(
        {"messages": [{"content": [text_part("a"), text_part("b")]}], "text": ""}
    )
    assert plain["content"] == "a\nb; "
    unused = JudgePrompt("p", "{{ text }}").messages({"text": "x", "image": sound})
    assert unused[0]["content"] == "x"


def test_a_failure_cancels_what_runs_beside_it():
    """Nobody waits, or pays, for results that are not wanted any more."""
    ended = []

    async def slow():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def fail():
        raise ModelUnavailableError("down")

    with pytest.raises(ModelUnavailableError):
        asyncio.run(together([slow(), fail(), slow()]))
    assert ended == ["cancelled", "cancelled"]
    assert asyncio.run(together([])) == []
