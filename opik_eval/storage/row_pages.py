"""Rows into records, many at once.

A page is read column by column: one JSON text of all objects, one check by pydantic of all values
of a field. That costs half of what row by row does. Where a column does not pass, or holds what
lies outside the row, the page is left to those who look at each row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import compress
from types import GenericAlias
from typing import TypeVar, cast, get_type_hints

from pydantic import TypeAdapter

from opik_eval.records import Record

R = TypeVar("R", bound=Record)
_MANY = 20
"""So many rows are worth it."""
ReadColumn = Callable[[Sequence[object]], Sequence[object]]
"""Turns the cells of a column, none of them NULL, into values; may raise ``ValueError``."""


def records_of_rows(
    kind: type[R], rows: Sequence[Sequence[object]], readers: Mapping[str, ReadColumn]
) -> list[R] | None:
    """Return the records in rows, or ``None`` if they are to be looked at one by one.

    Args:
        kind: What the rows hold.
        rows: Their columns begin with the fields of ``kind``.
        readers: How cells become values, by field, where they are not the values.
    """
    if len(rows) < _MANY:
        return None
    columns = dict(zip(kind.model_fields, zip(*rows, strict=True), strict=False))
    if any(None in columns[name] for name in _required(kind)):
        return None
    named = {name: cells for name, cells in columns.items() if cells.count(None) < len(rows)}
    try:
        values = [_values(kind, name, cells, readers.get(name)) for name, cells in named.items()]
    except ValueError:
        return None
    table = [tuple(zip(named, row, strict=True)) for row in zip(*values, strict=True)]
    if any(None in cells for cells in named.values()):
        is_there = zip(*([cell is not None for cell in c] for c in named.values()), strict=True)
        table = [tuple(compress(row, there)) for row, there in zip(table, is_there, strict=True)]
    return [kind.unchecked(**dict(row)) for row in table]


def _values(
    kind: type[Record], name: str, cells: Sequence[object], read: ReadColumn | None
) -> Sequence[object]:
    """Return the values of a field; ``None`` where its cell is NULL. Raises ``ValueError``."""
    given = [cell for cell in cells if cell is not None]
    values = _column_of(kind, name).validate_python(given if read is None else read(given))
    if len(values) == len(cells):
        return values
    rest = iter(values)
    return [None if cell is None else next(rest) for cell in cells]


@cache
def _required(kind: type[Record]) -> list[str]:
    return [name for name, field in kind.model_fields.items() if field.is_required()]


@cache
def _column_of(kind: type[Record], name: str) -> TypeAdapter[list[object]]:
    value = get_type_hints(kind, include_extras=True)[name]
    return TypeAdapter(cast("type[list[object]]", GenericAlias(list, (value,))))
