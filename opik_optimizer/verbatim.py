"""Finds runs of words that a prompt has copied from the data."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

_WORD = re.compile(r"\w+")
_COMMON_SHARE = 0.2
_COMMON_ITEMS = 3


class VerbatimIndex:
    """All runs of ``size`` words in the items of a dataset.

    What more than a fifth of the items have in common (three at least) is a form, such as the
    instruction of a benchmark, and no item's own text: it does not count.

    Args:
        items: The items; every text inside them counts, of inputs and of answers.
        size: Length of the runs, in words.

    Example:
        >>> index = VerbatimIndex([{"q": "Who wrote the long novel about the whale?"}], size=4)
        >>> index.copied("Think of the long novel about the Whale first.")
        'the long novel about the whale'
        >>> index.copied("Think of a novel about whales.") is None
        True
    """

    def __init__(self, items: Iterable[Mapping[str, object]], *, size: int = 8) -> None:
        self.size = size
        counts: Counter[int] = Counter()
        total = 0
        for item in items:
            total += 1
            counts.update({run for text in _texts(item) for run in self._runs(words_of(text))})
        limit = max(_COMMON_ITEMS, _COMMON_SHARE * total)
        self._known = frozenset(run for run, count in counts.items() if count <= limit)

    def copied(self, text: str, allowed: Iterable[str] = ()) -> str | None:
        """Return the first run of words that a text has copied, as long as it is, or ``None``.

        Args:
            text: The text, such as that of a candidate.
            allowed: Texts whose own runs may be repeated, such as those of its parents.
        """
        known = self._known
        if not known:
            return None
        words = words_of(text)
        free = {run for other in allowed for run in self._runs(words_of(other))}
        start = None
        for place, run in enumerate(self._runs(words)):
            if run in known and run not in free:
                start = place if start is None else start
            elif start is not None:
                return " ".join(words[start : place - 1 + self.size])
        return None if start is None else " ".join(words[start:])

    def _runs(self, words: Sequence[str]) -> Iterator[int]:
        # Hashes take a tenth of the memory of the words; at 64 bits they do not collide.
        for start in range(len(words) - self.size + 1):
            yield hash(tuple(words[start : start + self.size]))


def words_of(text: str) -> list[str]:
    """Return the words of a text, case folded, without punctuation."""
    return _WORD.findall(text.casefold())


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)


__all__ = ["VerbatimIndex", "words_of"]
