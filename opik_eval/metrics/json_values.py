"""JSON values: when two of them are the same, and how parts of one are named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from typing import Final, cast

from opik_eval.metrics.structure import parse_json
from opik_eval.serialization import dumps, to_jsonable

_STEP = re.compile(r'\.?([^.\[\]]+)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]')
_PLAIN_KEY = re.compile(r"[^.\[\]]+")


class Missing:
    """The type of ``MISSING``, which stands for what is not there (``None`` is JSON's null)."""

    def __repr__(self) -> str:
        return "nothing"


MISSING: Final = Missing()


def json_value(value: object) -> object:
    """Return plain JSON types in which equal numbers are written alike (1.0 becomes 1).

    Args:
        value: A JSON text, or any value, which is turned into what JSON has for it.

    Raises:
        ValueError: A text is not JSON, or nested too deeply to be compared.

    Example:
        >>> json_value('{"n": 1.0}'), json_value((1, True))
        ({'n': 1}, [1, True])
    """
    try:
        # Texts are not shortened where they are deep, because equal stumps are no equal values.
        plain = parse_json(value) if isinstance(value, str | bytes) else to_jsonable(value)
        return _with_plain_numbers(plain)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def same_json(one: object, other: object) -> bool:
    """Tell whether two values say the same in JSON: 1 is 1.0 but not ``true``; order of keys apart.

    Example:
        >>> same_json({"a": 1, "b": 2.0}, {"b": 2, "a": 1}), same_json(1, True)
        (True, False)
    """
    left, right = (_with_plain_numbers(to_jsonable(value)) for value in (one, other))
    return same_plain(left, right)


def same_plain(one: object, other: object) -> bool:
    """Do the same for values as ``json_value`` returns them, which is faster."""
    if type(one) is not type(other):
        return False
    return dumps(one) == dumps(other) if isinstance(one, dict | list) else one == other


def find_path(value: object, path: str) -> object:
    """Return the part of a value at a path, or ``MISSING``.

    Args:
        value: Plain JSON types.
        path: Keys and indices: ``customer.name``, ``items[0].price``, ``["a key.with dots"].x``.
            A key of the whole path's spelling goes first.

    Example:
        >>> find_path({"items": [{"price": 3}]}, "items[0].price")
        3
        >>> find_path({"items": []}, "items[0].price")
        nothing
    """
    if isinstance(value, dict) and path in value:
        return cast("object", value[path])
    for step in _steps(path):
        if isinstance(step, int):
            is_there = isinstance(value, list) and step < len(value)
            value = cast("list[object]", value)[step] if is_there else MISSING
        else:
            value = value.get(step, MISSING) if isinstance(value, dict) else MISSING
    return value


def leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield the parts without parts of their own, with their paths.

    Example:
        >>> list(leaves({"a": [1, {}], "b.c": None}))
        [('a[0]', 1), ('a[1]', {}), ('["b.c"]', None)]
    """
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from leaves(part, path_of_key(path, key))
    elif isinstance(value, list) and value:
        for index, part in enumerate(cast("list[object]", value)):
            yield from leaves(part, f"{path}[{index}]")
    else:
        yield path, value


def path_of_key(path: str, key: str) -> str:
    """Return the path of what an object at a path has under a key."""
    if _PLAIN_KEY.fullmatch(key):
        return f"{path}.{key}" if path else key
    return f"{path}[{json.dumps(key)}]"


def shown(value: object) -> str:
    """Return a value as JSON text, short enough for a reason."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


@lru_cache(maxsize=4096)
def _steps(path: str) -> tuple[str | int | Missing, ...]:
    """Return the keys and indices of a path; what is no path leads to what is not there."""
    steps: list[str | int | Missing] = []
    position = 0
    while position < len(path):
        step = _STEP.match(path, position)
        if step is None:
            return (MISSING,)
        key, index, quoted = step.groups()
        steps.append(int(index) if index is not None else key or json.loads(quoted))
        position = step.end()
    return tuple(steps)


def _with_plain_numbers(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Decimal):  # an integer of thousands of digits
        return str(value)
    if isinstance(value, dict):
        return {key: _with_plain_numbers(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_with_plain_numbers(part) for part in cast("list[object]", value)]
    return value


__all__ = [
    "MISSING",
    "Missing",
    "find_path",
    "json_value",
    "leaves",
    "path_of_key",
    "same_json",
    "same_plain",
    "shown",
]
