"""Random numbers that are functions of a key, so that results depend on no order of calls."""

from __future__ import annotations

import random
from collections import Counter
from hashlib import blake2b
from threading import Lock

_RANGE = float(1 << 64)
_LETTERS = "bcdfghjklmnpqrstvwxz"


def _number(key: tuple[object, ...]) -> int:
    return int.from_bytes(blake2b(repr(key).encode(), digest_size=8).digest(), "big")


def uniform(*key: object) -> float:
    """Return a number from [0, 1) that belongs to a key of texts and numbers.

    Example:
        >>> uniform("seed", 1) == uniform("seed", 1) != uniform("seed", 2)
        True
    """
    return _number(key) / _RANGE


def word(*key: object) -> str:
    """Return a word of nine consonants that belongs to a key."""
    number, letters = _number(key), []
    for _ in range(9):
        number, place = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[place])
    return "".join(letters)


def generator(*key: object) -> random.Random:
    """Return a generator that belongs to a key."""
    return random.Random(_number(key))


class Occurrences:
    """Counts how often each key came before; safe in threads."""

    def __init__(self) -> None:
        self._seen: Counter[object] = Counter()
        self._lock = Lock()

    def next(self, key: object) -> int:
        """Return 0 for a key's first occurrence, 1 for the second ..."""
        with self._lock:
            self._seen[key] += 1
            return self._seen[key] - 1
