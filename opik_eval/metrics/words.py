"""Words and runs of words, in any script."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import TypeVar

from opik_eval.metrics.text import fold

Tokenizer = Callable[[str], Sequence[str]]
"""Cuts a text into the units that a metric compares."""

Item = TypeVar("Item", bound=Hashable)

_ASCII_WORD = re.compile(r"[a-z0-9]+")
_NO_LETTER = re.compile(r"[\W_]")
# Thai, Lao, Tibetan, Myanmar, Khmer; kana, Han and their extensions.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def words(text: str) -> list[str]:
    """Return the words of a text, case-folded, without punctuation.

    A word is a run of letters, digits and the marks that belong to them; in scripts that do not put
    spaces between words, each character stands for one. For ASCII texts this is the tokenizer of
    the package rouge-score.

    Example:
        >>> words("It's naïve_2, 東京!")
        ['it', 's', 'naïve', '2', '東', '京']
    """
    folded = fold(text, case_sensitive=False)
    if folded.isascii():
        return _ASCII_WORD.findall(folded)
    return _NO_LETTER.sub(_mark_or_space, _UNSPACED.sub(r" \g<0> ", folded)).split()


def lowercase_split(text: str) -> list[str]:
    """Return what stands between spaces, in lower case: Opik's tokenizer for most metrics.

    Example:
        >>> lowercase_split("The cat sat.")
        ['the', 'cat', 'sat.']
    """
    return unicodedata.normalize("NFC", text).lower().split()


def ngrams(
    tokens: Sequence[str], size: int, longest: int | None = None
) -> Counter[tuple[str, ...]]:
    """Count the runs of ``size`` tokens, or of ``size`` to ``longest``.

    Example:
        >>> ngrams(["to", "be", "to", "be"], 2)[("to", "be")]
        2
        >>> ngrams(["to", "be"], 1, 4).total()
        3
    """
    sizes = range(size, (longest or size) + 1)
    runs = (zip(*(tokens[start:] for start in range(size)), strict=False) for size in sizes)
    return Counter(chain.from_iterable(runs))


def common_count(one: Mapping[Item, int], other: Mapping[Item, int]) -> int:
    """Return how many items two counts share, each as often as in the smaller count.

    Example:
        >>> common_count({"a": 2, "b": 1}, {"a": 1, "c": 1})
        1
    """
    return sum(min(one[item], other[item]) for item in one.keys() & other.keys())


def phrase_form(text: str) -> str:
    r"""Return a text in the form to look for phrases in: folded, single spaces, straight quotes.

    Example:
        >>> phrase_form("I  can’t\nHELP")
        "i can't help"
    """
    return " ".join(fold(text, case_sensitive=False).replace("’", "'").split())


def contains_phrase(text: str, phrase: str) -> bool:
    """Return whether a phrase stands in a text, both in phrase form, and not inside longer words.

    Example:
        >>> contains_phrase("a classy answer", "class")
        False
    """
    if phrase not in text or not phrase:
        return False
    start, end = (r"\b" if edge.isalnum() else "" for edge in (phrase[0], phrase[-1]))
    return re.search(start + re.escape(phrase) + end, text) is not None


def first_phrase(text: str, phrases: Iterable[str]) -> str | None:
    """Return the first of some phrases that stands in a text in phrase form.

    Example:
        >>> first_phrase("i can't help", ["Get lost", "Can’t  help"])
        'Can’t  help'
    """
    given = tuple(phrases)
    forms = zip(given, _phrase_forms(given), strict=True)
    return next((phrase for phrase, form in forms if contains_phrase(text, form)), None)


@lru_cache(maxsize=64)
def _phrase_forms(phrases: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(phrase_form, phrases))


def _mark_or_space(found: re.Match[str]) -> str:
    character = found[0]
    return character if unicodedata.category(character).startswith("M") else " "


__all__ = [
    "Tokenizer",
    "common_count",
    "contains_phrase",
    "first_phrase",
    "lowercase_split",
    "ngrams",
    "phrase_form",
    "words",
]
