"""Reading score probabilities from the tokens of a reply."""

from __future__ import annotations

import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.judges.logprobs import expected_score, score_probabilities
from opik_eval.models.base import TokenLogprob


def token(text, probability=1.0, **rivals):
    return TokenLogprob(
        token=text,
        logprob=math.log(probability),
        top=tuple((rival, math.log(p)) for rival, p in rivals.pop("top", {}).items()),
    )


def rounded(probabilities):
    return {score: round(p, 6) for score, p in probabilities.items()}


PLAIN = {"8": 0.6, "7": 0.3, "9": 0.1}

# tokens, written score, probabilities worked out by hand
TABLE = [
    ([token('{"score": '), token("8", 0.6, top=PLAIN), token("}")], 8, {7: 0.3, 8: 0.6, 9: 0.1}),
    ([token('{"score":'), token(" 8", 0.6, top={" 8": 0.6, "7": 0.3})], 8, {7: 0.3, 8: 0.6}),
    ([token('{"score'), token('":8', 0.6, top={'":8': 0.6, '":7': 0.2, '" :9': 0.2})], 8,
     {7: 0.2, 8: 0.6}),
    ([token('{"score": '), token("8}", 0.6, top={"8": 0.2, "7": 0.1})], 8, {7: 0.1, 8: 0.8}),
    # what is no number, or too high, is left out
    ([token('{"score": '), token("8", 0.5, top={"null": 0.3, "99": 0.1, "7": 0.1})], 8,
     {7: 0.1, 8: 0.5}),
    # ten as one token: then a rival "1" is one
    ([token('{"score": '), token("9", 0.5, top={"10": 0.3, "1": 0.2})], 9,
     {1: 0.2, 9: 0.5, 10: 0.3}),
    ([token('{"score": '), token("10", 0.9, top={"1": 0.1}), token("}")], 10, {1: 0.1, 10: 0.9}),
    # ten as two tokens: the second shares the mass of the first
    ([token('{"score": '), token("1", 0.8, top={"9": 0.2}), token("0", 0.75, top={"}": 0.25})], 10,
     {1: 0.2, 9: 0.2, 10: 0.6}),
    ([token('{"score": '), token("1", 0.8, top={"9": 0.2}), token("}", 0.75, top={"0": 0.25})], 1,
     {1: 0.6, 9: 0.2, 10: 0.2}),
    # one digit per token, and "1" is only a rival: one or ten, nobody knows
    ([token('{"score": '), token("9", 0.6, top={"1": 0.4}), token("}")], 9, {9: 0.6}),
    # nothing after an open "1"
    ([token('{"score": '), token("9", 0.6, top={"0": 0.4})], 9, {0: 0.4, 9: 0.6}),
    # a reason that quotes the key is no match, and the last key counts
    ([token('{"reason": "\\"score\\": 3", "score": '), token("8", 1.0)], 8, {8: 1.0}),
    ([token('{"sub": {"score": 3}, "score"'), token(":"), token("\n "), token("8")], 8, {8: 1.0}),
    # probabilities a little above one are one
    ([token('{"score": '), TokenLogprob(token="8", logprob=1e-9)], 8, {8: 1.0}),
]  # fmt: skip


@pytest.mark.parametrize(("tokens", "written", "expected"), TABLE)
def test_probabilities(tokens, written, expected):
    """However the reply is cut into tokens, the scores' probabilities are found."""
    assert rounded(score_probabilities(tokens, written)) == expected


@pytest.mark.parametrize(
    ("tokens", "written"),
    [
        ([], 8),
        ([token("I would say 8")], 8),
        ([token('{"score": '), token("8")], 7),
        ([token('{"grade": '), token("8")], 8),
        ([token('{"score": '), token("1", 0.5)], 1),
    ],
)
def test_a_score_that_cannot_be_found_gives_nothing(tokens, written):
    """No key, another score than the reply states, or an open end: better nothing than a guess."""
    assert score_probabilities(tokens, written) is None


def test_the_mean_is_over_the_mass_that_was_found():
    """Mass that went elsewhere does not pull the score down."""
    assert expected_score({8: 0.6, 7: 0.3, 9: 0.1}) == pytest.approx(7.8)
    assert expected_score({8: 0.06, 7: 0.03, 9: 0.01}) == pytest.approx(7.8)


@given(
    score=st.integers(0, 10),
    reason=st.text(max_size=20),
    cuts=st.lists(st.integers(0, 80), max_size=6),
)
def test_any_cut_of_a_certain_reply_gives_its_score(score, reason, cuts):
    """With all probability on one path, the expectation is the score that is written."""
    text = json.dumps({"reason": reason, "score": score})
    places = sorted({0, len(text), *(cut % len(text) for cut in cuts)})
    pieces = [text[a:b] for a, b in itertools.pairwise(places)]
    probabilities = score_probabilities([token(piece) for piece in pieces], score)
    assert expected_score(probabilities) == pytest.approx(score)
