"""Times as databases keep them: microseconds since 1970, in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import NoneType
from typing import cast

from opik_eval.storage.sql_dialect import Column

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MICROSECONDS = frozenset({int, NoneType})


def to_microseconds(moment: datetime) -> int:
    """Return an aware time as microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(count: int) -> datetime:
    """Return the time of that many microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=count)


def write_times(column: Column) -> Column:
    """Return the cells of a column of times; some may be ``None``, or microseconds already."""
    if {*map(type, column)} <= _MICROSECONDS:
        return column
    return [None if time is None else (time - _EPOCH) // _MICROSECOND for time in column]


def read_times(cells: Sequence[object]) -> list[object]:
    """Return the times of cells, none of which is NULL."""
    counts = cast("Sequence[int]", cells)
    times = {count: from_microseconds(count) for count in {*counts}}  # many are written at once
    return [times[count] for count in counts]
