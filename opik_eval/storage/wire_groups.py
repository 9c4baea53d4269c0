"""Many traces or spans as one payload, column by column, for our own client and server.

A record of its own for each would repeat every name in every record, on the wire and in memory, and
cost either side twice as much. A group is

    {"kind": "span", "columns": {"id": ["a", "b"], "start_time": [1767225600000000, null], ...}}

Columns are named like the record's fields and equally long; ``null``, and a column that is missing,
name nothing. Times are microseconds since 1970, durations seconds; all else is as in a payload.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from operator import itemgetter
from types import NoneType
from typing import cast

from pydantic import ValidationError

from opik_eval.errors import PayloadError
from opik_eval.records import Record, Span, Trace
from opik_eval.serialization import dumps
from opik_eval.storage.wire import record_from_wire
from opik_eval.storage.wire_codec import Payload
from opik_eval.storage.wire_tables import CODECS

KINDS: Mapping[str, type[Record]] = {"trace": Trace, "span": Span}
"""The types of records that come in groups, by their names on the wire."""

COLUMNS = "columns"
"""The key that tells a group from a payload."""

TIMES = frozenset({"start_time", "end_time", "last_updated_at"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NOTHING = {NoneType}


def group_to_json(records: Sequence[Trace | Span]) -> bytes:
    """Return the JSON of a group: at least one record, all of one type."""
    kind = type(records[0])
    fields, values_of = _shape(kind)
    columns = zip(fields, zip(*map(values_of, map(vars, records)), strict=True), strict=True)
    named = [
        b'"%b":%b' % (name.encode(), _written(name, column))
        for name, column in columns
        if {*map(type, column)} != _NOTHING
    ]
    return b'{"kind":"%b","columns":{%b}}' % (CODECS[kind].kind.encode(), b",".join(named))


def group_of(kind: type[Record], columns: Sequence[Sequence[object] | None]) -> Payload:
    """Return a group of columns in the order of a type's fields; ``None`` = nothing is named."""
    named = zip(kind.model_fields, columns, strict=True)
    return {
        "kind": CODECS[kind].kind,
        COLUMNS: {name: column for name, column in named if column is not None},
    }


def is_group(payload: object) -> bool:
    """Return whether a payload is that of a group."""
    return type(payload) is dict and COLUMNS in payload


def columns_of(payload: Payload) -> tuple[type[Record], Mapping[str, list[object]], int]:
    """Return the type, the columns and the number of records of a group.

    Raises:
        PayloadError: It is no group.
    """
    kind, columns = payload.get("kind"), payload.get(COLUMNS)
    if not isinstance(kind, str) or kind not in KINDS:
        raise PayloadError("group", [("kind", f"{kind!r} is none of {', '.join(KINDS)}")])
    if not isinstance(columns, dict) or {*map(type, columns.values())} != {list}:
        raise PayloadError("group", [(COLUMNS, "must be an object of lists")])
    lengths = {*map(len, columns.values())}
    if len(lengths) > 1:
        raise PayloadError("group", [(COLUMNS, "must be equally long")])
    return KINDS[kind], columns, lengths.pop()


def group_records(payload: Payload) -> list[Record]:
    """Return the records of a group.

    Raises:
        PayloadError: It is no group, or one of its records is none.
    """
    kind, columns, count = columns_of(payload)
    codec, records = CODECS[kind], list[Record]()
    known = [name for name in kind.model_fields if name in columns]
    for row in zip(*(columns[name] for name in known), strict=True) if known else [()] * count:
        values = {name: value for name, value in zip(known, row, strict=True) if value is not None}
        for name, value in values.items():
            if name in TIMES:
                values[name] = _moment(codec.kind, name, value)
            elif name in codec.decode:
                values[name] = codec.decode[name](value)
        try:
            records.append(kind.model_validate(values))
        except ValidationError as error:
            raise PayloadError(codec.kind, [*codec.problems(error)]) from error
    return records


def payload_records(payloads: Sequence[Payload]) -> list[Record]:
    """Return the records of payloads, groups among them. Raises ``PayloadError``."""
    found: list[Record] = []
    for payload in payloads:
        found += group_records(payload) if is_group(payload) else [record_from_wire(payload)]
    return found


def count_records(payloads: Sequence[object]) -> int:
    """Return how many records some payloads stand for, right or wrong."""
    groups = [cast("Payload", payload)[COLUMNS] for payload in payloads if is_group(payload)]
    return len(payloads) - len(groups) + sum(map(_length, groups))


def _length(columns: object) -> int:
    found = columns.values() if isinstance(columns, dict) else ()
    return max((len(column) for column in found if isinstance(column, list)), default=0)


@cache
def _shape(kind: type[Record]) -> tuple[tuple[str, ...], Callable[[object], tuple[object, ...]]]:
    """Return the fields of a type and what takes their values."""
    fields = tuple(kind.model_fields)
    return fields, cast("Callable[[object], tuple[object, ...]]", itemgetter(*fields))


def _written(name: str, column: Sequence[object]) -> bytes:
    if name in TIMES:
        times = cast("Sequence[datetime | None]", column)
        column = [None if time is None else (time - _EPOCH) // _MICROSECOND for time in times]
    elif name == "error_info":
        encode = CODECS[Trace].encode[name]
        column = [None if error is None else encode(error) for error in column]
    return dumps(column, sort_keys=False)


def _moment(kind: str, name: str, value: object) -> datetime:
    """Return the time of so many microseconds."""
    if type(value) is int:
        with suppress(OverflowError):
            return _EPOCH + timedelta(microseconds=value)
    raise PayloadError(kind, [(name, f"{value!r} is no number of microseconds since 1970")])
