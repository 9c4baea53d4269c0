"""Canonical JSON and content hashes.

``dumps`` turns anything a user may put into an item, an input or an output into strict JSON, and
``loads`` reads it back. What is hashed or compared has its keys sorted; what is stored keeps the
order that its user gave it (``sort_keys=False``). What JSON knows survives unchanged. The rest is
mapped once, in one place:

- pydantic models, dataclasses, mappings → objects; keys become text, and where that makes two keys
  equal, those that are no text get their type added: ``{1: "a", "1": "b"}`` has ``1 (int)``
- tuples and other sequences, sets (sorted by their JSON), numpy arrays, pandas series → arrays;
  pandas frames → arrays of objects, one a row
- numpy scalars → what Python has for them; enums → their value
- dates and times, numpy's and pandas' too → ISO 8601; durations → seconds; bytes → base64
- paths, UUIDs, decimals, fractions, exceptions → text
- NaN and the infinities → the texts "NaN", "Infinity", "-Infinity" (JSON has no such numbers);
  integers of more than 640 digits → their hexadecimal text (beyond what every reader takes)
- what contains itself, and arrays and objects inside 254 others → texts that say so
- anything else → its ``repr`` without memory addresses, so that it is the same in every process;
  where ``repr`` or ``str`` raises, a text that says so
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import hashlib
import json
import math
import os
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from itertools import repeat
from typing import Protocol, cast

import orjson
from pydantic import BaseModel, RootModel

_PASSTHROUGH = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_SORTED = _PASSTHROUGH | orjson.OPT_SORT_KEYS
_ATOMS = frozenset({str, int, bool, type(None)})
_LEAVES = _ATOMS | {float}
_CONTAINERS = frozenset({dict, list, tuple})
_PLAIN = _LEAVES | _CONTAINERS
_TEXT = frozenset({str})
_NULL = b"null"
_LONG_NUMBER = b"0" * 19
_DIGITS_TO_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_BETWEEN = "\x1f"
_BETWEEN_TEXT = ',"\\u001f",'
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_MAX_DEPTH = 254  # orjson's own limit: what it takes is kept
_MAX_INTEGER = 10**640  # CPython never lets its limit on digits be set lower


class _Array(Protocol):
    """What is used of a numpy array or scalar."""

    @property
    def dtype(self) -> _DataType: ...

    def astype(self, kind: str) -> _Array: ...

    def tolist(self) -> object: ...

    def __truediv__(self, other: object) -> _Array: ...


class _DataType(Protocol):
    @property
    def type(self) -> Callable[[int, str], object]: ...


class _Frame(Protocol):
    """What is used of a pandas frame."""

    def to_dict(self, orient: str) -> object: ...


def dumps(value: object, *, sort_keys: bool = True) -> bytes:
    """Return ``value`` as canonical JSON: sorted keys, no spaces, UTF-8, no NaN.

    Equal content gives equal bytes, in every process and version.

    Args:
        value: Anything; see the top of this module.
        sort_keys: ``False`` keeps keys in their order, for texts that are read back and not
            compared.

    Example:
        >>> dumps({"b": 1, "a": (2, None)})
        b'{"a":[2,null],"b":1}'
    """
    try:
        text = orjson.dumps(value, default=_convert, option=_SORTED if sort_keys else _PASSTHROUGH)
    except (orjson.JSONEncodeError, RecursionError):
        return _dumps_carefully(value, sort_keys=sort_keys)
    # orjson writes NaN as null; only texts that hold a null can hide one.
    if _NULL not in text or _is_finite(value):
        return text
    return _dumps_carefully(value, sort_keys=sort_keys)


def dumps_each(values: Sequence[object]) -> list[str]:
    """Return the JSON of each value, keys in their order, at half the cost of one by one.

    Example:
        >>> dumps_each([{"b": 1, "a": 2}, "text"])
        ['{"b":1,"a":2}', '"text"']
    """
    between: list[object] = [_BETWEEN] * (2 * len(values) - 1)
    between[::2] = values
    try:
        text = orjson.dumps(between, default=_convert, option=_PASSTHROUGH).decode()
        found = text[1:-1].split(_BETWEEN_TEXT)
    except (orjson.JSONEncodeError, RecursionError):
        found = []
    # A value that holds what stands between them gives more parts. NaN has become null.
    if len(found) != len(values):
        return [dumps(value, sort_keys=False).decode() for value in values]
    return [
        text if "null" not in text else dumps(value, sort_keys=False).decode()
        for text, value in zip(found, values, strict=True)
    ]


def loads(text: bytes | str) -> object:
    """Return the value of a JSON text.

    Raises:
        ValueError: ``text`` is not JSON, or beyond what can be read: too deep, too long a number.
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    try:
        # orjson reads integers beyond 64 bits as floats; those have 19 digits or more.
        if _LONG_NUMBER not in raw.translate(_DIGITS_TO_ZEROS):
            return cast("object", orjson.loads(text))
    except orjson.JSONDecodeError:
        pass  # texts with lone surrogates are beyond orjson but not beyond the stdlib
    try:
        return cast("object", json.loads(text, parse_constant=_refuse_constant))
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def loads_each(texts: Sequence[str]) -> list[object]:
    """Return the value of each JSON text, at half the cost of one by one.

    Raises:
        ValueError: A text is not JSON, or beyond what can be read.

    Example:
        >>> loads_each(['{"b":1}', '"text"'])
        [{'b': 1}, 'text']
    """
    try:
        found = cast("list[object]", loads(f"[{_BETWEEN_TEXT.join(texts)}]"))
    except ValueError:
        found = []
    # Texts that are JSON only side by side would shift what stands between them.
    if len(found) == 2 * len(texts) - 1 and found[1::2] == [_BETWEEN] * (len(texts) - 1):
        return found[::2]
    return [*map(loads, texts)]


def to_jsonable(value: object) -> object:
    """Return ``value`` as plain JSON types, by the mapping at the top of this module."""
    return _plain(value, 0, set())


def content_hash(value: object) -> str:
    """Return the SHA-256 of the canonical JSON of ``value`` as 64 hex digits.

    Example:
        >>> content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(dumps(value)).hexdigest()


def _dumps_carefully(value: object, *, sort_keys: bool = True) -> bytes:
    plain = to_jsonable(value)
    try:
        return orjson.dumps(plain, option=orjson.OPT_SORT_KEYS if sort_keys else None)
    except orjson.JSONEncodeError:  # integers beyond 64 bits, lone surrogates
        text = json.dumps(plain, sort_keys=sort_keys, separators=(",", ":"), allow_nan=False)
        return text.encode("ascii")


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _is_finite(value: object) -> bool:
    """Tell whether no float in a value is NaN or infinite. Nothing in it contains itself."""
    kind = type(value)
    if kind in _ATOMS:
        return True
    if kind is dict:
        return all(map(_is_finite, cast("dict[object, object]", value).values()))
    if kind is list or kind is tuple:
        return all(map(_is_finite, cast("Sequence[object]", value)))
    return math.isfinite(cast("float", value)) if kind is float else _is_finite(_convert(value))


def _plain(value: object, depth: int, above: set[int]) -> object:
    """Return a value as plain JSON types. One stack frame a level, so that deep values fit.

    Args:
        value: The value.
        depth: Number of arrays and objects around it.
        above: Identities of what is around it, to find what contains itself.
    """
    kind = type(value)
    if kind in _LEAVES:
        return value if kind is str else _leaf(value)
    forms = (value,) if kind in _CONTAINERS else _forms_of(value)
    value = forms[-1]
    if type(value) in _LEAVES:
        return _leaf(value)
    identities = [*map(id, forms)]
    if not above.isdisjoint(identities):
        return f"<{kind.__name__} that contains itself>"
    if depth == _MAX_DEPTH:
        return f"<{kind.__name__} inside {_MAX_DEPTH} others>"
    above.update(identities)
    try:
        if isinstance(value, dict):
            items = map(_plain, value.values(), repeat(depth + 1), repeat(above))
            return dict(zip(_texts_of(value), items, strict=True))
        return [*map(_plain, cast("Iterable[object]", value), repeat(depth + 1), repeat(above))]
    finally:
        above.difference_update(identities)


def _forms_of(value: object) -> Sequence[object]:
    """Return a value and what it is converted to, step by step; the last is plain."""
    forms = [value]
    while type(forms[-1]) not in _PLAIN:
        forms.append(_convert(forms[-1]))
    return forms


def _leaf(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if type(value) is int and not -_MAX_INTEGER < value < _MAX_INTEGER:
        return hex(value)
    return value


def _texts_of(keys: Iterable[object]) -> Iterable[str]:
    """Return the texts of the keys of an object, all different."""
    if {*map(type, keys)} <= _TEXT:
        return cast("Iterable[str]", keys)
    texts = [(key, _key(key)) for key in keys]
    counts = Counter(text for _, text in texts)
    return [
        text if isinstance(key, str) or counts[text] == 1 else f"{text} ({type(key).__name__})"
        for key, text in texts
    ]


def _key(key: object) -> str:
    if type(key) is str:
        return key
    plain = to_jsonable(key)
    return plain if isinstance(plain, str) else dumps(plain).decode()


def _convert(value: object) -> object:
    """Convert what JSON does not know, one level deep."""
    for kind, convert in _CONVERSIONS:
        if isinstance(value, kind):
            return convert(value)
    if isinstance(value, type):
        return _text_of(value)
    if dataclasses.is_dataclass(value):
        fields = [field.name for field in dataclasses.fields(value)]
        return {name: getattr(value, name) for name in fields if hasattr(value, name)}
    if hasattr(value, "iloc") and hasattr(value, "columns"):
        return cast("_Frame", value).to_dict("records")
    if hasattr(value, "tolist"):
        converted = _list_of(cast("_Array", value))
        return converted if type(converted) in _PLAIN else _text_of(value)
    return _text_of(value)


def _list_of(array: _Array) -> object:
    kind = getattr(getattr(array, "dtype", None), "kind", "")
    if kind == "M":
        return array.astype("U").tolist()
    return (array / array.dtype.type(1, "s")).tolist() if kind == "m" else array.tolist()


def _text_of(value: object) -> str:
    return _ADDRESS.sub("", _said_by(repr, value))


def _exception_text(error: BaseException) -> str:
    return f"{type(error).__name__}: {_said_by(str, error)}"


def _said_by(say: Callable[[object], str], value: object) -> str:
    try:
        return say(value)
    except Exception as error:  # noqa: BLE001 - the user's code; a value must not end a run
        return f"<{type(value).__name__} whose text raises {type(error).__name__}>"


def _sorted_members(members: Set[object]) -> list[object]:
    return sorted(members, key=dumps)


def _base64(data: bytes | bytearray | memoryview) -> str:
    return base64.b64encode(bytes(data)).decode("ascii")


def _enum_value(member: enum.Enum) -> object:
    return member.value


def _iso(moment: dt.date | dt.time) -> str:
    return moment.isoformat()


def _root(model: RootModel[object]) -> object:
    return model.root


_CONVERSIONS = cast(
    "Sequence[tuple[type | tuple[type, ...], Callable[[object], object]]]",
    (
        (dt.datetime, _iso),  # first, for every record holds some
        (RootModel, _root),
        ((BaseModel, Mapping), dict),
        (enum.Enum, _enum_value),
        (str, str.__str__),
        (int, int),
        (float, float),
        (Set, _sorted_members),
        ((bytes, bytearray, memoryview), _base64),
        (range, repr),  # a sequence whose length costs nothing, and whose items might
        (Sequence, list),
        ((dt.date, dt.time), _iso),
        (dt.timedelta, dt.timedelta.total_seconds),
        ((uuid.UUID, decimal.Decimal, fractions.Fraction, os.PathLike), str),
        (BaseException, _exception_text),
    ),
)
