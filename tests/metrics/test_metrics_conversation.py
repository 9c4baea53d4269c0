"""Loops and lost facts in conversations."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.errors import MetricError
from opik_eval.metrics import ConversationDegenerationMetric, KnowledgeRetentionMetric
from opik_eval.metrics.conversation import require_conversation

messages = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["user", "assistant", "tool"]),
            "content": st.one_of(
                st.none(),
                st.text(alphabet="ab .?日", max_size=12),
                st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": st.text("ab ")})),
            ),
        }
    ),
    max_size=6,
)


def replies(*texts):
    """Return a conversation of an assistant with itself."""
    return [{"role": "assistant", "content": text} for text in texts]


def degeneration(*texts, **options):
    """Return the score of replies."""
    return ConversationDegenerationMetric(**options).score(conversation=replies(*texts)).value


def retention(*texts, **options):
    """Return the score of turns, the user's first."""
    roles = ["user", "assistant"] * len(texts)
    turns = [{"role": r, "content": t} for r, t in zip(roles, texts, strict=False)]
    return KnowledgeRetentionMetric(**options).score(conversation=turns)


SKEWED = (0.75 * math.log(4 / 3) + 0.25 * math.log(4)) / math.log(2)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["Sure, here it is."], 0.0),
        (["Yes."], 0.0),
        (["..."], 0.25),
        (["Here it is.", "Here it is."], 0.25),
        (["Here it is.", "Here it was."], 2 / 4 / 4),
        (["I can't help with that. Sorry"], 0.25),
        (["I can’t\nHELP with that!"], 0.25),
        (["no no no no"], (1 + 0 + 0 + 1) / 4),
        (["a a a b"], (1 - SKEWED) / 4),
        (["a b c a b c"], (2 / 4) / 4),
        (["Here it is.", "...", "Here it is."], 0.25),
        (["東京は大きい", "東京は大きい"], 0.25 + 0.0),
    ],
)
def test_the_worst_reply_is_rated_by_the_mean_of_four_factors(texts, expected):
    """Computed by hand: repetition, overlap, evasion, unevenness."""
    assert degeneration(*texts) == pytest.approx(expected)


def test_the_metadata_shows_every_reply():
    """With its factors, the mean and the peak."""
    score = ConversationDegenerationMetric().score(conversation=replies("a b c", "a b c", "d e f"))
    ratings = score.metadata["per_turn"]
    assert [rating["overlap_previous"] for rating in ratings] == [0.0, 1.0, 0.0]
    assert score.metadata["average_score"] == pytest.approx(0.25 / 3)
    assert score.reason == "the worst of 3 replies is rated 0.250"


def test_phrases_and_the_length_of_runs_can_be_given():
    """An empty list of phrases switches that factor off; runs need two words."""
    assert degeneration("I can't help with that", fallback_phrases=[]) == 0.0
    assert degeneration("Computer says no", fallback_phrases=["computer says NO"]) == 0.25
    assert degeneration("a b a b", ngram_size=2) == pytest.approx((2 / 3) / 4)
    with pytest.raises(MetricError, match="ngram_size=1"):
        ConversationDegenerationMetric(ngram_size=1)
    with pytest.raises(MetricError, match="no reply of the assistant"):
        ConversationDegenerationMetric().score(conversation=[{"role": "user", "content": "Hi"}])


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["My router is a Netgear.", "Restart the Netgear router."], 1.0),
        (["My router is a Netgear.", "Restart it."], 0.0),
        (["My budget is 900 euros.", "For 900 you get a bike."], 1 / 3),
        (["I live in Paris. Where can I eat?", "In Paris, try this."], 0.5),
        (["Please help. What now?", "Try this."], 1.0),
        (["我住在東京。", "東京很大。"], 2 / 5),
        (["I live in Paris.", ""], 0.0),
        (["I own a Netgear.", "Fine.", "It blinks red.", "Netgear blinks: restart."], 2 / 2),
    ],
)
def test_the_last_reply_is_searched_for_the_terms_of_the_user(texts, expected):
    """Questions and requests hold no facts; numbers and Han characters do."""
    assert retention(*texts).value == pytest.approx(expected)


def test_only_the_first_turns_with_statements_count():
    """Turns that only ask are not counted."""
    turns = ["What is it?", "?", "A Netgear router.", "Fine.", "Also a Zyxel switch.", "Netgear."]
    assert retention(*turns, turns_to_consider=1).metadata["reference_terms"] == [
        "netgear",
        "router",
    ]
    assert "zyxel" in retention(*turns).metadata["reference_terms"]
    with pytest.raises(MetricError, match="turns_to_consider=0"):
        KnowledgeRetentionMetric(turns_to_consider=0)


@given(messages)
def test_any_conversation_is_scored_in_range(conversation):
    """Parts, tool calls, empty messages, other roles."""
    value = KnowledgeRetentionMetric().score(conversation=conversation).value
    assert 0 <= value <= 1
    turns = require_conversation(conversation, "conversation", metric="m")
    if any(turn.role == "assistant" for turn in turns):
        value = ConversationDegenerationMetric().score(conversation=conversation).value
        assert 0 <= value <= 1


def test_the_texts_of_parts_are_joined():
    """Images and tool calls say nothing here."""
    turns = require_conversation(
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}, 3]},
            {"role": "assistant", "content": None, "tool_calls": []},
            {"role": "assistant", "content": [{"type": "text", "text": "b"}, {"text": "c"}]},
        ),
        "conversation",
        metric="m",
    )
    assert turns == (("user", "a"), ("assistant", "b c"))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("hello", "it is a str"),
        (3, "it is a int"),
        (["hello"], "'conversation\\[0\\]': it is no dict with a 'role'"),
        ([{"content": "x"}], "no dict with a 'role'"),
        ([{"role": "user", "content": b"x"}], "its content is a bytes"),
    ],
)
def test_what_is_no_conversation_is_refused(value, problem):
    """The error says where, and shows a message."""
    with pytest.raises(MetricError, match=problem) as refusal:
        KnowledgeRetentionMetric().score(conversation=value)
    assert "'role': 'user'" in refusal.value.remedy
