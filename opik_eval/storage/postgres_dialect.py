"""How PostgreSQL keeps values and says what SQL has no common words for.

A text that PostgreSQL cannot hold, because of NUL or lone surrogates in it, is kept as a mark and
its JSON. SQL decides on texts where both sides are ASCII; the other rows, and all conditions on
structured values, are looked at again in Python.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import cast

from typing_extensions import override

from opik_eval.storage.metadata_terms import signed
from opik_eval.storage.query import Condition, FieldKind, Operator
from opik_eval.storage.sql_dialect import Column, Dialect, Row, Test
from opik_eval.storage.sql_tables import STRUCTURED

_MARK = "\ufdd0json:"
_UUID7 = "'^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$'"


class PostgresDialect(Dialect):
    """What PostgreSQL says in its own way."""

    stores_payloads = True
    usage_of_trace = (
        "(SELECT json_agg(s.usage::json) FROM spans s "
        "WHERE s.trace_id = traces.id AND s.usage IS NOT NULL)"
    )

    @property
    def read_text(self) -> Callable[[object], object]:
        """What turns a cell into the text it holds."""
        return self.text

    @override
    def texts(self, column: Column) -> Column:
        given = [text for text in column if text is not None]
        return column if _are_plain("".join(given)) else [*map(escaped, column)]

    @override
    def reals(self, column: Column) -> Column:
        return column

    @override
    def terms(self, terms: Sequence[int] | None) -> object:
        return None if terms is None else signed(terms)

    @override
    def row(self, row: Row) -> Row:
        return row

    @override
    def text(self, cell: object) -> object:
        if isinstance(cell, str) and cell.startswith(_MARK):
            return json.loads(cell.removeprefix(_MARK))
        return cell

    @override
    def within(self, column: str) -> str:
        return f"{column} = ANY (?)"

    @override
    def array(self, values: Iterable[str]) -> object:
        return list(values)

    @override
    def is_nan(self, column: str) -> str:
        return f"{column} = 'NaN'"

    @override
    def total(self, column: str) -> str:
        return f"sum({column})"

    @override
    def moment_of(self, column: str, comparison: str) -> Test:
        moment = (
            f"('x' || substr({column}, 1, 8) || substr({column}, 10, 4))::bit(48)::bigint * 1000"
        )
        return Test(
            f"CASE WHEN {column} ~ {_UUID7} THEN {moment} {comparison} ELSE TRUE END",
            is_exact=False,
        )

    @override
    def value_holds(self, kind: FieldKind, column: str, condition: Condition) -> Test:
        name = column.rpartition(".")[2].strip('"')
        if kind not in ("string", "enum") or name in STRUCTURED:
            return Test("TRUE", is_exact=False)
        return _text_holds(column, condition)

    @override
    def has_terms(self, table: str, terms: Sequence[int]) -> Test:
        return Test(
            f"{table}.metadata_terms && ?::integer[]",  # inside a function no index would help
            [signed(terms)],
            is_exact=False,
        )


def escaped(value: object) -> object:
    """Return a value that PostgreSQL takes for ``value``: itself but for texts it cannot hold."""
    if not isinstance(value, str) or _are_plain(value):
        return value
    return _MARK + json.dumps(value)


def _are_plain(text: str) -> bool:
    """Return whether PostgreSQL can hold a text, and would not take it for an escaped one."""
    if text.isascii():
        return "\x00" not in text
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in text and _MARK not in text


def _text_holds(column: str, condition: Condition) -> Test:
    """Return a test that is exact where the column is ASCII, and true where it is not."""
    value = condition.value
    if condition.operator == "is_not_empty":
        return Test(f"coalesce({column} <> '', FALSE)")
    if isinstance(value, tuple):
        sql, given = "lower({}) = ANY (?)", cast("object", [text.casefold() for text in value])
    else:
        text = str(value).casefold()
        sql = _COMPARISONS.get(condition.operator, f"lower({{}}) {condition.operator} ?")
        given = text
        if condition.operator == "ends_with":
            sql = sql.replace("SIZE", str(len(text)))
        if not _are_plain(text):
            return Test("TRUE", is_exact=False)
    found = sql.format(column)
    return Test(
        f"coalesce({found} OR octet_length({column}) <> char_length({column}), FALSE)",
        [given],
        is_exact=False,
    )


_COMPARISONS: dict[Operator, str] = {
    "contains": "strpos(lower({}), ?) > 0",
    "starts_with": "starts_with(lower({}), ?)",
    "ends_with": "right(lower({}), SIZE) = ?",
}
