"""The short way from the wire into a table: many traces or spans, column by column.

What our own client and Opik's send is nearly always of one form: texts, numbers, objects, times in
UTC. A column of nothing else becomes cells in a third of the time that it takes to make a record of
each payload and cells of the records. Whatever a column holds beyond that, right or wrong, is left
to the long way; tests hold that both ways give equal rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from types import NoneType

from opik_eval.records import Record, Span, SpanType, Trace
from opik_eval.storage.microseconds import to_microseconds, write_times
from opik_eval.storage.sql_dialect import Column
from opik_eval.storage.wire_codec import EXTRAS, Payload
from opik_eval.storage.wire_groups import TIMES
from opik_eval.storage.wire_tables import CODECS

_TIMES = re.compile(
    r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3}(?:[0-9]{3})?)?Z\n)*"
)
_FIRST = to_microseconds(datetime.min.replace(tzinfo=UTC))
_LAST = to_microseconds(datetime.max.replace(tzinfo=UTC))
_SPAN_TYPES: Mapping[object, object] = {str(member): member for member in SpanType}


class NotPlain(Exception):  # noqa: N818 - no error: the long way is taken
    """A column holds a value that must go the long way."""


def plain_columns(kind: type[Record], payloads: Sequence[Payload]) -> list[Column | None]:
    """Return the values of the fields of many payloads, as the records would have them.

    Args:
        kind: ``Trace`` or ``Span``.
        payloads: Parsed JSON.

    Returns:
        A column for each field, ``None`` if no payload names it; times in microseconds since 1970.

    Raises:
        NotPlain: A value must be validated.
    """
    names: set[str] = set().union(*payloads)
    if EXTRAS in names:
        raise NotPlain
    found: dict[str, Column] = {}
    for wire_name, (field, _) in CODECS[kind].incoming.items():
        if wire_name in names:
            column = [payload.get(wire_name) for payload in payloads]
            found[field] = _FROM_WIRE[field](column) if field in _FROM_WIRE else column
    return _checked(kind, found)


def plain_group(kind: type[Record], columns: Mapping[str, Column]) -> list[Column | None]:
    """Return the same of the columns of a group.

    Raises:
        NotPlain: A value must be validated.
    """
    return _checked(kind, columns)


def _checked(kind: type[Record], found: Mapping[str, Column]) -> list[Column | None]:
    missing = [name for name in ("id", "trace_id") if name in kind.model_fields]
    if any(name not in found for name in missing):
        raise NotPlain
    return [_CHECKED[name](found[name]) if name in found else None for name in kind.model_fields]


def _same(column: Column) -> Column:
    return column


def _only(*kinds: type) -> Callable[[Column], Column]:
    """Return what passes columns whose values are of these types, or absent."""
    allowed = {NoneType, *kinds}

    def passed(column: Column) -> Column:
        if not {*map(type, column)} <= allowed:
            raise NotPlain
        return column

    return passed


_texts, _objects, _floats, _lists, _integers = map(_only, (str, dict, float, list, int))


def _ids(column: Column) -> Column:
    if {*map(type, column)} != {str}:
        raise NotPlain
    return column


def _times(column: Column) -> Column:
    times = [time for time in _integers(column) if time is not None]
    if times and not _FIRST <= min(times) <= max(times) <= _LAST:
        raise NotPlain
    return column


def _tags(column: Column) -> Column:
    for tags in _lists(column):
        if tags and {*map(type, tags)} != {str}:
            raise NotPlain
    return column


def _usages(column: Column) -> Column:
    usages = map(dict.values, filter(None, _objects(column)))
    if not {*map(type, chain.from_iterable(usages))} <= {int}:
        raise NotPlain
    return column


def _types(column: Column) -> Column:
    if not {*_texts(column)} <= _SPAN_TYPES.keys() | {None}:
        raise NotPlain
    return column


def _errors(column: Column) -> Column:
    if any(error is not None for error in column):
        raise NotPlain
    return column


def _microseconds(column: Column) -> Column:
    texts = [text for text in _texts(column) if text is not None]
    if _TIMES.fullmatch("\n".join([*texts, ""])) is None:
        raise NotPlain
    try:
        times = [None if text is None else datetime.fromisoformat(text) for text in column]
    except ValueError:
        raise NotPlain from None
    return write_times(times)


def _seconds(column: Column) -> Column:
    return [None if value is None else value / 1000 for value in _floats(column)]


_FROM_WIRE: Mapping[str, Callable[[Column], Column]] = {
    **dict.fromkeys(TIMES, _microseconds),
    "ttft_seconds": _seconds,
}
"""How the columns of payloads become those of a group, where they differ."""

_CHECKED: Mapping[str, Callable[[Column], Column]] = {
    **dict.fromkeys({*Trace.model_fields, *Span.model_fields}, _texts),
    **dict.fromkeys(("id", "trace_id"), _ids),
    **dict.fromkeys(TIMES, _times),
    **dict.fromkeys(("input", "output"), _same),
    "metadata": _objects,
    "tags": _tags,
    "usage": _usages,
    "type": _types,
    "error_info": _errors,
    "cost_usd": _floats,
    "ttft_seconds": _floats,
}
