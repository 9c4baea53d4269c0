"""Positive or negative: the VADER lexicon."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar, Protocol

from opik_eval.metrics.arguments import require_text
from opik_eval.metrics.base import DataclassMetric, ScoreResult
from opik_eval.metrics.extras import load_extra

_THRESHOLD = 0.05  # of the compound, by VADER's authors


class SentimentAnalyzer(Protocol):
    """Anything with VADER's ``polarity_scores``."""

    def polarity_scores(self, text: str) -> Mapping[str, float]:
        """Return ``neg``, ``neu``, ``pos`` and ``compound`` of a text."""
        ...


@dataclass
class Sentiment(DataclassMetric):
    """VADER's compound sentiment of an English text, -1 (negative) to 1 (positive).

    The category is ``positive`` from 0.05, ``negative`` down from -0.05, else ``neutral``. An empty
    text is neutral. The lexicon is that of the package vaderSentiment (extra ``text``), which also
    knows emoji; nothing is downloaded.

    Source: Hutto and Gilbert 2014, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis
        of Social Media Text".

    Example:
        >>> Sentiment().score(output="I love this!").value
        0.6696
    """

    value_range: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    name: str = field(default="sentiment_metric", kw_only=True)

    def score(self, output: str, **_ignored: object) -> ScoreResult:
        """Rate ``output``.

        Raises:
            MetricError: ``output`` is no text, or vaderSentiment is missing.
        """
        text = require_text(output, "output", metric=self.name)
        polarity = _vader(self.name).polarity_scores(text)
        compound = float(polarity["compound"])
        return ScoreResult(
            self.name, compound, category_name=_category(compound), metadata=dict(polarity)
        )


@dataclass
class VADERSentiment(DataclassMetric):
    """VADER's compound sentiment of an English text, mapped to 0 (negative) to 1 (positive).

    0.5 is neutral, and so is an empty text. See ``Sentiment``.

    Args:
        analyzer: An object with ``polarity_scores`` to use instead of vaderSentiment's.

    Source: Hutto and Gilbert 2014, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis
        of Social Media Text".

    Example:
        >>> VADERSentiment().score(output="I love this!").value
        0.8348
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    analyzer: SentimentAnalyzer | None = None
    name: str = field(default="vader_sentiment_metric", kw_only=True)

    def score(self, output: str, **_ignored: object) -> ScoreResult:
        """Rate ``output``.

        Raises:
            MetricError: ``output`` is no text, or vaderSentiment is missing.
        """
        text = require_text(output, "output", metric=self.name)
        analyzer = _vader(self.name) if self.analyzer is None else self.analyzer
        polarity = analyzer.polarity_scores(text)
        compound = float(polarity["compound"])
        return ScoreResult(
            self.name,
            (compound + 1) / 2,
            category_name=_category(compound),
            metadata={"vader": dict(polarity)},
        )


def _category(compound: float) -> str:
    if abs(compound) < _THRESHOLD:
        return "neutral"
    return "positive" if compound > 0 else "negative"


def _vader(metric: str) -> SentimentAnalyzer:
    module = load_extra("vaderSentiment.vaderSentiment", extra="text", metric=metric)
    return _made(module.SentimentIntensityAnalyzer)


@lru_cache(maxsize=1)
def _made(kind: Callable[[], SentimentAnalyzer]) -> SentimentAnalyzer:
    return kind()  # reads the lexicon


__all__ = ["Sentiment", "SentimentAnalyzer", "VADERSentiment"]
