"""How SQLite keeps values and says what SQL has no common words for.

NaN, which SQLite would turn into NULL, is the text ``NaN``; a text with lone surrogates, which is
no UTF-8, is a BLOB. Texts and structured values compare by functions that call the same code as
``matches`` (``file_functions``), because SQL folds the case of ASCII only and cannot address every
key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from typing_extensions import override

from opik_eval.serialization import dumps
from opik_eval.storage.file_functions import encode_condition
from opik_eval.storage.query import Condition, FieldKind
from opik_eval.storage.sql_dialect import Column, Dialect, Row, Test
from opik_eval.storage.sql_tables import STRUCTURED


class SqliteDialect(Dialect):
    """What SQLite says in its own way."""

    stores_payloads = False
    usage_of_trace = "(SELECT usage_sum(s.usage) FROM spans s WHERE s.trace_id = traces.id)"
    read_text = None  # BLOBs among texts are so rare that codecs look for them only after a failure

    @override
    def texts(self, column: Column) -> Column:
        return column

    @override
    def reals(self, column: Column) -> Column:
        # Only NaN differs from itself.
        return ["NaN" if value != value else value for value in column]  # noqa: PLR0124

    @override
    def terms(self, terms: Sequence[int] | None) -> object:
        return None if terms is None else words(terms)

    @override
    def row(self, row: Row) -> Row:
        return tuple(map(bindable, row))

    @override
    def text(self, cell: object) -> object:
        return cell.decode("utf-8", "surrogatepass") if isinstance(cell, bytes) else cell

    @override
    def within(self, column: str) -> str:
        return f"{column} IN (SELECT {_GIVEN} FROM json_each(?))"

    @override
    def array(self, values: Iterable[str]) -> object:
        return dumps([value if _is_utf8(value) else [value] for value in values]).decode()

    @override
    def is_nan(self, column: str) -> str:
        return f"typeof({column}) = 'text'"

    @override
    def total(self, column: str) -> str:
        return f"CASE max(typeof({column})) WHEN 'text' THEN 'NaN' ELSE sum({column}) END"

    @override
    def moment_of(self, column: str, comparison: str) -> Test:
        return Test(f"coalesce(created_at({column}) {comparison}, FALSE)")

    @override
    def value_holds(self, kind: FieldKind, column: str, condition: Condition) -> Test:
        name = column.rpartition(".")[2].strip('"')
        if kind == "date":
            moment = f"created_at({column})" if name == "id" else column
            test = f"time_holds({moment}, ?)"
        elif kind == "number" or name in STRUCTURED:
            test = f"json_holds({column}, ?)"
        else:
            test = f"text_holds({column}, ?)"
        return Test(test, [encode_condition(kind, condition)])

    @override
    def has_terms(self, table: str, terms: Sequence[int]) -> Test:
        return Test(
            f"{table}.row_number IN (SELECT rowid FROM {table}_terms WHERE {table}_terms MATCH ?)",
            [matching(terms)],
            is_exact=False,
        )


_GIVEN = "CASE type WHEN 'array' THEN CAST(json_extract(value, '$[0]') AS BLOB) ELSE value END"


def bindable(value: object) -> object:
    """Return a value that SQLite takes for ``value``: itself but for text that is no UTF-8."""
    if not isinstance(value, str) or _is_utf8(value):
        return value
    return value.encode("utf-8", "surrogatepass")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def words(terms: Sequence[int]) -> str:
    """Return terms as the words of a full-text index."""
    return " ".join([f"{term:x}" for term in terms])


def matching(terms: Sequence[int]) -> str:
    """Return the query of a full-text index for rows that have one of some terms."""
    return " OR ".join(f'"{term:x}"' for term in terms)
