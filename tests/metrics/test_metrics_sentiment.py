"""VADER, wrapped."""

from __future__ import annotations

import pytest
from metrics_text_corpus import ASCII_PAIRS
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from opik_eval.metrics import Sentiment, VADERSentiment

OPINIONS = [
    "I love this!",
    "I hate it so much.",
    "It is not bad at all :)",
    "The report has ten pages.",
    "AWFUL!!! But the ending was great",
    "🤮",
]


def test_both_are_vaders_compound():
    """One from -1 to 1, the other from 0 to 1."""
    analyzer = SentimentIntensityAnalyzer()
    for text in [*OPINIONS, *(text for text, _ in ASCII_PAIRS[:40])]:
        polarity = analyzer.polarity_scores(text)
        score = Sentiment().score(output=text)
        assert (score.value, score.metadata) == (polarity["compound"], polarity)
        shifted = VADERSentiment().score(output=text)
        assert shifted.value == pytest.approx((polarity["compound"] + 1) / 2)
        assert shifted.category_name == score.category_name
        assert shifted.metadata == {"vader": polarity}


@pytest.mark.parametrize(
    ("text", "compound", "category"),
    [
        ("I love this!", 0.6696, "positive"),
        ("I hate this!", -0.6114, "negative"),
        ("The report has ten pages.", 0.0, "neutral"),
        ("💘", 0.6369, "positive"),
        ("", 0.0, "neutral"),
    ],
)
def test_golden_scores(text, compound, category):
    """A change of the lexicon would show here."""
    score = Sentiment().score(output=text)
    assert (score.value, score.category_name) == (compound, category)


def test_another_analyzer_can_be_given():
    """Anything with polarity_scores."""

    class Gloomy:
        def polarity_scores(self, text):
            return {"compound": -1.0}

    assert VADERSentiment(Gloomy()).score(output="great").value == 0.0
