"""The short way from the wire into a table: many payloads of traces or spans, column by column.

What our own client and Opik's send is nearly always of one form: texts, numbers, objects, times in
UTC. A column of nothing else becomes cells in a third of the time that it takes to make a record of
each payload and cells of the records. Whatever a column holds beyond that, right or wrong, is left
to the long way; tests hold that both ways give equal rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import NoneType

from opik_eval.records import Record, Span, SpanType, Trace
from opik_eval.storage.sql_dialect import Column
from opik_eval.storage.wire_codec import EXTRAS, Payload
from opik_eval.storage.wire_tables import CODECS

_TIMES = re.compile(
    r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3}(?:[0-9]{3})?)?Z\n)*"
)
_SPAN_TYPES: Mapping[object, object] = {str(member): member for member in SpanType}


class NotPlain(Exception):  # noqa: N818 - no error: the long way is taken
    """A column holds a value that must go the long way."""


def plain_columns(kind: type[Record], payloads: Sequence[Payload]) -> list[Column]:
    """Return the values of the fields of many payloads, as the records would have them.

    Args:
        kind: ``Trace`` or ``Span``.
        payloads: Parsed JSON.

    Raises:
        NotPlain: A value must be validated.
    """
    if any(EXTRAS in payload for payload in payloads):
        raise NotPlain
    codec = CODECS[kind]
    names = {name: wire_name for wire_name, (name, _) in codec.incoming.items()}
    return [
        _READERS[field]([payload.get(names[field]) for payload in payloads])
        for field in kind.model_fields
    ]


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


_texts, _objects, _floats, _lists = _only(str), _only(dict), _only(float), _only(list)


def _ids(column: Column) -> Column:
    if {*map(type, column)} != {str}:
        raise NotPlain
    return column


def _times(column: Column) -> Column:
    texts = [text for text in _texts(column) if text is not None]
    if _TIMES.fullmatch("".join([f"{text}\n" for text in texts])) is None:
        raise NotPlain
    try:
        return [None if text is None else datetime.fromisoformat(text) for text in column]
    except ValueError:
        raise NotPlain from None


def _tags(column: Column) -> Column:
    for tags in _lists(column):
        if tags and {*map(type, tags)} != {str}:
            raise NotPlain
    return column


def _usages(column: Column) -> Column:
    for usage in _objects(column):
        if usage and {*map(type, usage.values())} != {int}:
            raise NotPlain
    return column


def _types(column: Column) -> Column:
    if any(value is not None and value not in _SPAN_TYPES for value in _texts(column)):
        raise NotPlain
    return column


def _milliseconds(column: Column) -> Column:
    return [None if value is None else value / 1000 for value in _floats(column)]


def _errors(column: Column) -> Column:
    if any(error is not None for error in column):
        raise NotPlain
    return column


_READERS: Mapping[str, Callable[[Column], Column]] = {
    **dict.fromkeys({*Trace.model_fields, *Span.model_fields}, _texts),
    **dict.fromkeys(("id", "trace_id"), _ids),
    **dict.fromkeys(("start_time", "end_time", "last_updated_at"), _times),
    **dict.fromkeys(("input", "output"), _same),
    "metadata": _objects,
    "tags": _tags,
    "usage": _usages,
    "type": _types,
    "error_info": _errors,
    "cost_usd": _floats,
    "ttft_seconds": _milliseconds,
}
