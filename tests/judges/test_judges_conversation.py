"""Judges of conversations."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judge_models import JSON, text_of

from opik_eval.errors import BudgetExceededError, MetricError
from opik_eval.judges import (
    ConversationalCoherenceMetric,
    ConversationQARelevanceMetric,
    GEvalConversationMetric,
    SessionCompletenessQuality,
    UserFrustrationMetric,
)
from opik_eval.judges.conversation import windows_of
from opik_eval.metrics.base import BaseMetric
from opik_eval.models.client import ChatModel
from opik_eval.models.fake import FunctionTransport


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


CHAT = [message for n in range(1, 5) for message in (user(f"ask {n}"), assistant(f"say {n}"))]


def last_is(number, prompt):
    return prompt.rstrip().partition("</conversation>")[0].rstrip().endswith(f"say {number}")


def test_coherence_is_the_share_of_turns_that_fit(answering):
    """Each turn is judged with what came before it; the reason names those that do not fit."""
    model = answering(lambda p: {"reason": "off topic", "answer": not last_is(3, p)})
    score = ConversationalCoherenceMetric(model).score(conversation=CHAT)
    assert score.value == 0.75
    assert score.reason == "turn 3: off topic"
    assert score.metadata["turns"] == [True, True, False, True]
    assert score.metadata["model_calls"] == 4
    without = ConversationalCoherenceMetric(model, include_reason=False)
    assert without.score(conversation=CHAT).reason is None


def test_nothing_to_object_to_is_said(answering):
    """A perfect conversation has a reason too."""
    model = answering(lambda p: {"reason": "fits", "answer": True})
    score = ConversationalCoherenceMetric(model).score(conversation=CHAT)
    assert (score.value, score.reason) == (1.0, "nothing to object to in 4 turns")


def test_frustration_is_the_share_of_turns_with_it(answering):
    """The user's last word counts even if nobody answered it."""
    model = answering(lambda p: {"reason": "fed up", "answer": "Forget it!" in p})
    score = UserFrustrationMetric(model).score(conversation=[*CHAT, user("Forget it!")])
    assert score.value == 0.2
    assert score.reason == "turn 5: fed up"


def test_windows_bound_what_a_turn_is_judged_with(answering):
    """At most so many exchanges, the last one included; contexts and tool calls are shown."""
    model = answering(lambda p: {"reason": "", "answer": True})
    chat = [
        *CHAT,
        user("look it up"),
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "name": "search"}]},
        {"role": "tool", "content": "42", "tool_call_id": "1"},
        assistant("It is 42.", context=["the source"]),
    ]
    ConversationalCoherenceMetric(model, window_size=2).score(conversation=chat)
    last = text_of(model.transport.requests[-1])
    assert "ask 4" in last
    assert "ask 3" not in last
    assert '(tools called: [{"id":"1","name":"search"}])' in last
    assert '(context of this message: ["the source"])' in last


@given(st.lists(st.sampled_from(["user", "assistant", "tool"])), st.integers(1, 4))
def test_every_answer_ends_exactly_one_window(roles, size):
    """Windows end with answers, hold whole exchanges in order and are never longer than asked."""
    chat = [{"role": role, "content": str(place)} for place, role in enumerate(roles)]
    windows = windows_of(chat, size)
    assert all(window[-1]["role"] == "assistant" for window in windows)
    ends = [
        place
        for place, role in enumerate(roles)
        if role == "assistant" and (place + 1 == len(roles) or roles[place + 1] != "assistant")
    ]
    assert [int(window[-1]["content"]) for window in windows] == ends
    for window in windows:
        assert window == chat[int(window[0]["content"]) : int(window[-1]["content"]) + 1]
        answers = sum(int(message["content"]) in ends for message in window)
        assert answers <= size


def test_empty_answers_are_no_answers():
    """Blanks end no exchange; an open end counts only if the user spoke."""
    assert windows_of([user("a"), assistant(" ")], 3) == []
    assert windows_of([], 3, open_end=True) == []
    assert windows_of([assistant("hello")], 3, open_end=True) == [[assistant("hello")]]
    assert len(windows_of([user("a")], 3, open_end=True)) == 1


def test_a_conversation_without_turns_is_refused():
    """Before anything is sent, with what is missing; so is a window of nothing."""
    with pytest.raises(MetricError, match="no turn to judge in 'conversation'"):
        ConversationalCoherenceMetric("fake/echo").score(conversation=[user("hi")])
    with pytest.raises(MetricError, match="window_size is 0"):
        UserFrustrationMetric(window_size=0)


def test_twenty_turns_take_the_time_of_one():
    """All turns are judged at once."""
    active, peak = 0, 0

    async def slow(request):
        nonlocal active, peak
        active += 1
        peak = max(peak, active)
        await asyncio.sleep(0.01)
        active -= 1
        return {"reason": "", "answer": True}

    model = ChatModel(name="fake/slow", transport=FunctionTransport(slow, features=JSON))
    ConversationalCoherenceMetric(model).score(conversation=CHAT * 2)
    assert peak == 8


def test_completeness_is_the_share_of_goals_reached(answering):
    """One call finds the goals, one for each decides; without goals there is no score."""

    def reply(prompt):
        if "List the goals" in prompt:
            return {"goals": ["a refund", "an apology"]}
        return {"reason": "r", "answer": "<goal>\na refund" in prompt}

    score = SessionCompletenessQuality(answering(reply)).score(conversation=CHAT)
    assert score.value == 0.5
    assert score.reason == "reached: a refund (r)\nmissed: an apology (r)"
    assert score.metadata["goals"] == {"a refund": True, "an apology": False}
    nothing = SessionCompletenessQuality(answering(lambda p: {"goals": []}))
    assert nothing.score(conversation=CHAT).value is None


def graded(prompt):
    return {"steps": ["s"]} if "Break the criteria" in prompt else {"reason": "r", "score": 7}


def test_the_last_answer_is_judged_with_what_it_answers(answering):
    """Output, question and the conversation before; the score has the wrapper's name."""
    model = answering(graded)
    metric = ConversationQARelevanceMetric(model)
    score = metric.score(conversation=CHAT)
    assert (score.name, score.value) == ("conversation_qa_relevance", 0.7)
    last = text_of(model.transport.requests[-1])
    assert "<output>\nsay 4" in last
    assert "<input>\nask 4" in last
    assert "assistant: say 3\n</context>" in last


def test_failures_of_the_wrapped_judge_are_values(answering):
    """A model out of order, a conversation without answers or ``None`` fail the score alone."""
    broken = ConversationQARelevanceMetric(answering(lambda p: "no json"))
    for conversation in (CHAT, [user("hi")], None):
        score = broken.score(conversation=conversation)
        assert (score.name, score.value) == ("conversation_qa_relevance", None)
        assert score.scoring_failed
        assert score.reason


def test_any_metric_of_outputs_can_be_wrapped():
    """It gets what it takes; an exceeded budget still stops the run."""

    class Length(BaseMetric):
        def score(self, output):
            return len(output)

    assert GEvalConversationMetric(Length()).score(conversation=[assistant("four")]).value == 4

    class Spent(BaseMetric):
        def score(self, output):
            raise BudgetExceededError("requests", allowed=1, used=1)

    with pytest.raises(BudgetExceededError):
        GEvalConversationMetric(Spent()).score(conversation=CHAT)
