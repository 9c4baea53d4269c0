"""Whether a text keeps its manners."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from opik_eval.metrics.arguments import require_text
from opik_eval.metrics.base import DataclassMetric, ScoreResult
from opik_eval.metrics.text import fold
from opik_eval.metrics.words import first_phrase, phrase_form

_POSITIVE = (
    "appreciate delighted excellent fantastic glad gladly good grateful great happy helpful kind "
    "love nice perfect pleasure thank thanks welcome wonderful"
)
_NEGATIVE = (
    "annoying awful bad disgusting dumb frustrating hate horrible idiot incompetent lazy pathetic "
    "ridiculous stupid terrible useless worst worthless"
)
_NEGATING = "cannot hardly neither never no nor not without"

POSITIVE_WORDS = frozenset(_POSITIVE.split())
"""Words that count for a text."""

NEGATIVE_WORDS = frozenset(_NEGATIVE.split())
"""Words that count against a text."""

FORBIDDEN_PHRASES = (
    "are you kidding me",
    "deal with it",
    "get lost",
    "i don't care",
    "not my problem",
    "shut up",
    "stop wasting my time",
    "what is wrong with you",
)
"""Phrases that no polite text contains."""

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
_NEGATIONS = frozenset(_NEGATING.split())
_REACH = 3  # words


@dataclass
class Tone(DataclassMetric):
    """1 if a text is polite by four simple rules, else 0.

    The rules: enough of its loaded words are positive, it does not shout in capitals, it does not
    exclaim too often, and it contains no forbidden phrase. A negation up to three words before
    turns a loaded word around (*not bad*), and neither the capitals that words begin with nor a
    single acronym count as shouting; Opik has neither rule. A text without words breaks none. The
    built-in lists are English.

    Args:
        min_sentiment: Lowest allowed (positive - negative) / (positive + negative) words, -1 to 1.
        max_upper_ratio: Highest allowed share of letters in words of capitals, 0 to 1.
        max_exclamations: How many exclamation marks are allowed.
        positive_lexicon: Positive words; the built-in ones if absent.
        negative_lexicon: Negative words; the built-in ones if absent.
        forbidden_phrases: Forbidden phrases; the built-in ones if absent.

    Example:
        >>> Tone().score(output="Not bad, thank you!").value
        1.0
        >>> Tone().score(output="Thanks!!!!").reason
        '4 exclamation marks (3 allowed)'
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    min_sentiment: float = -0.2
    max_upper_ratio: float = 0.3
    max_exclamations: int = 3
    positive_lexicon: Collection[str] | None = None
    negative_lexicon: Collection[str] | None = None
    forbidden_phrases: Sequence[str] | None = None
    name: str = field(default="tone_metric", kw_only=True)

    def score(self, output: str, **_ignored: object) -> ScoreResult:
        """Check ``output``; the reason names the rules it breaks.

        Raises:
            MetricError: ``output`` is no text.
        """
        text = require_text(output, "output", metric=self.name)
        plain = phrase_form(text)
        sentiment = self._sentiment(_WORD.findall(plain))
        upper_ratio = _shouted(text)
        exclamations = text.count("!") + text.count("！")
        phrase = first_phrase(plain, self._forbidden_phrases())
        broken = []
        if sentiment < self.min_sentiment:
            broken.append(f"sentiment {sentiment:.2f} ({self.min_sentiment} or more allowed)")
        if upper_ratio > self.max_upper_ratio:
            broken.append(f"{upper_ratio:.0%} capitals ({self.max_upper_ratio:.0%} allowed)")
        if exclamations > self.max_exclamations:
            broken.append(f"{exclamations} exclamation marks ({self.max_exclamations} allowed)")
        if phrase is not None:
            broken.append(f"the phrase {phrase!r}")
        return ScoreResult(
            self.name,
            float(not broken),
            reason="; ".join(broken) or "no rule is broken",
            metadata={
                "sentiment_score": sentiment,
                "uppercase_ratio": upper_ratio,
                "exclamation_count": exclamations,
                "forbidden_hit": phrase is not None,
            },
        )

    def _sentiment(self, tokens: Sequence[str]) -> float:
        positive = _folded(self.positive_lexicon, POSITIVE_WORDS)
        negative = _folded(self.negative_lexicon, NEGATIVE_WORDS)
        if positive.isdisjoint(tokens) and negative.isdisjoint(tokens):
            return 0.0
        signs = []
        for place, token in enumerate(tokens):
            sign = (token in positive) - (token in negative)
            before = tokens[max(0, place - _REACH) : place]
            signs.append(-sign if sign and any(map(_negates, before)) else sign)
        return sum(signs) / max(1, sum(map(abs, signs)))

    def _forbidden_phrases(self) -> Sequence[str]:
        return FORBIDDEN_PHRASES if self.forbidden_phrases is None else self.forbidden_phrases


def _shouted(text: str) -> float:
    words = _WORD.findall(text)
    shouted = [word for word in words if word.isupper() and len(word) > 1]
    return sum(map(len, shouted)) / sum(map(len, words)) if len(shouted) > 1 else 0.0


def _folded(given: Collection[str] | None, built_in: frozenset[str]) -> frozenset[str]:
    return built_in if given is None else frozenset(fold(w, case_sensitive=False) for w in given)


def _negates(token: str) -> bool:
    return token in _NEGATIONS or token.endswith("n't")


__all__ = ["FORBIDDEN_PHRASES", "NEGATIVE_WORDS", "POSITIVE_WORDS", "Tone"]
