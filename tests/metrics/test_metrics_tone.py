"""Tone, rule by rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.metrics import Tone
from opik_eval.metrics.words import contains_phrase, phrase_form


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("Thank you for your patience.", []),
        ("This is awful.", ["sentiment -1.00"]),
        ("This is not bad.", []),
        ("It isn’t terrible at all", []),
        ("Not a good idea", ["sentiment -1.00"]),
        ("Good, but not because of any of this awful plan", []),
        ("PLEASE STOP NOW", ["100% capitals"]),
        ("Hi Bob", []),
        ("I work at NASA.", []),
        ("Wow!!! Yes！", ["4 exclamation marks"]),
        ("Well, Shut  up then.", ["the phrase 'shut up'"]),
        ("They shut upstairs windows.", []),
        ("YOU IDIOT!!!! Shut up", ["sentiment", "capitals", "exclamation", "phrase"]),
        ("👍", []),
        ("", []),
        ("ありがとうございます", []),
    ],
)
def test_the_reason_names_the_rules_that_are_broken(text, broken):
    """Negation turns a word around; nothing is found inside other words."""
    score = Tone().score(output=text)
    assert score.value == float(not broken)
    reasons = score.reason.split("; ") if broken else []
    assert len(reasons) == len(broken)
    assert all(part in reason for part, reason in zip(broken, reasons, strict=True))


def test_every_rule_can_be_adjusted():
    """Limits and lists; an empty list switches a rule off."""
    assert Tone(min_sentiment=-1.0).score(output="awful").value == 1.0
    assert Tone(max_upper_ratio=1.0).score(output="FINE").value == 1.0
    assert Tone(max_exclamations=0).score(output="Fine!").value == 0.0
    assert Tone(forbidden_phrases=()).score(output="Shut up").value == 1.0
    assert Tone(forbidden_phrases=["C++"]).score(output="I like c++!").value == 0.0
    metric = Tone(negative_lexicon=["Grün"], positive_lexicon=[])
    assert metric.score(output="gru\u0308n").value == 0.0
    assert metric.score(output="awful").value == 1.0


@given(st.text(max_size=30))
def test_a_phrase_is_found_in_itself(text):
    """Whatever its edges are made of."""
    phrase = phrase_form(text)
    assert contains_phrase(phrase, phrase) == bool(phrase)
    assert not contains_phrase("", phrase)
