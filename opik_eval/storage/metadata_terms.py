"""Terms: numbers by which databases find the rows whose metadata hold a value at a key.

A term stands for one path and one value, spelled so that values which a filter takes for equal have
equal terms. Terms are hashes, so a row that has one need not hold the value: what is found by them
is looked at again.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import cast

from opik_eval.serialization import dumps, loads
from opik_eval.storage.query import Condition, parse_number, split_key, text_of

_MOST_TERMS = 64
_MOST_LEVELS = 32
_TEXT = frozenset({str})
_NUMBERS = frozenset({int, float})
_TOO_MANY = zlib.crc32(b"\x00")
"""The term of metadata that have more values than are indexed."""


def terms_of(metadata: Mapping[str, object] | None) -> list[int] | None:
    """Return the terms of some metadata; ``None`` if they hold no value.

    Example:
        >>> len(terms_of({"model": "gpt", "tries": {"count": 2}}))
        2
    """
    if not metadata:
        return None
    found = list(islice(_terms(metadata, ""), _MOST_TERMS + 1))
    return [*found[:_MOST_TERMS], _TOO_MANY] if len(found) > _MOST_TERMS else found or None


def terms_for(condition: Condition) -> list[int] | None:
    """Return the terms one of which all metadata have that satisfy a condition.

    ``None`` if there are no such terms: for other operators than ``=`` and ``in``, and for values
    that a whole object or list could be equal to.
    """
    if condition.operator not in ("=", "in") or not condition.key:
        return None
    texts = (condition.value,) if isinstance(condition.value, str) else condition.value
    segments = split_key(condition.key)
    if not isinstance(texts, tuple) or any(_is_padded(s) for s in segments):
        return None
    if any(text[:1] in ("{", "[") for text in texts):
        return None
    path = "".join(f"{segment}\x1f" for segment in segments)
    terms = [_TOO_MANY]
    for text in texts:
        terms.append(_term(path, text.casefold()))
        number = parse_number(text)
        if number is not None:
            terms.append(_term(path, _number_text(number)))
    return sorted(set(terms))


def signed(terms: Sequence[int]) -> list[int]:
    """Return terms as signed numbers of 32 bits."""
    return [term - (1 << 32) if term >= 1 << 31 else term for term in terms]


def _terms(value: object, path: str, depth: int = 0) -> Iterator[int]:
    if depth > _MOST_LEVELS:
        yield _TOO_MANY
    elif isinstance(value, dict) and {*map(type, value)} <= _TEXT:
        for key, inner in value.items():
            yield from _terms(inner, f"{path}{key}\x1f", depth + 1)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _terms(inner, f"{path}{index}\x1f", depth + 1)
    elif value is None:
        return
    elif type(value) is str:
        yield _term(path, value.casefold())
    elif type(value) in _NUMBERS:
        text = _number_text(cast("float", value))
        yield _term(path, text or text_of(_as_stored(value)).casefold())
    elif type(value) is bool:
        yield _term(path, text_of(value))
    else:
        yield from _terms(_as_stored(value), path, depth + 1)


def _is_padded(segment: str) -> bool:
    """Return whether a segment of a path is an index spelled in another way than terms do."""
    return segment.isdecimal() and segment != str(int(segment))


def _as_stored(value: object) -> object:
    return loads(dumps(value))


def _number_text(number: float) -> str:
    """Return the text of what compares as a number; ``""`` if it is not finite as a double."""
    try:
        double = float(number)
    except OverflowError:
        return ""
    return f"\x00{double + 0.0!r}" if math.isfinite(double) else ""  # -0.0 equals 0.0


def _term(path: str, text: str) -> int:
    return zlib.crc32(f"{path}\x1e{text}".encode("utf-8", "surrogatepass"))
