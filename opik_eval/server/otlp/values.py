"""Values of OpenTelemetry's attributes, as plain Python values."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from opik_eval.serialization import loads


def attributes_of(pairs: Iterable[KeyValue]) -> dict[str, object]:
    """Return attributes by name; of two of one name the later one."""
    return {pair.key: value_of(pair.value) for pair in pairs}


def value_of(value: AnyValue) -> object:
    """Return a value; texts that hold JSON are parsed, bytes become base64."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    given = getattr(value, kind)
    read = _READERS.get(kind)
    return given if read is None else read(given)


def parsed(text: str) -> object:
    """Return the JSON value that a text holds, and the text itself if it holds none.

    A text inside a text is parsed once more: some instrumentations encode twice.

    Example:
        >>> parsed('{"a": 1}'), parsed('"[1, 2]"'), parsed("{not JSON")
        ({'a': 1}, [1, 2], '{not JSON')
    """
    value: object = text
    for _ in range(2):
        if not isinstance(value, str) or not value.lstrip().startswith(("{", "[", '"')):
            break
        try:
            value = loads(value)
        except (ValueError, RecursionError):
            break
    return value


_READERS: Mapping[str, Callable[..., object]] = MappingProxyType(
    {
        "string_value": parsed,
        "bytes_value": lambda given: base64.b64encode(given).decode(),
        "array_value": lambda given: [value_of(element) for element in given.values],
        "kvlist_value": lambda given: attributes_of(given.values),
    }
)
"""How to read the kinds of values that are no plain Python values."""
