"""The seam between the SQL that all databases share and what each says in its own way.

The stores' SQL is written once, with ``?`` for parameters and the words that SQLite and PostgreSQL
have in common. What they do not have in common is here: a ``Dialect`` for values and expressions, a
``Transaction`` and a ``Database`` for how statements run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from opik_eval.storage.query import Condition, FieldKind

T = TypeVar("T")
Row = tuple[Any, ...]
"""What a database gives and takes; the type of each place is that of its column."""
Column = Sequence[Any]
MOST_ROWS = 256
"""Greatest number of new rows that are inserted by one statement; a power of two."""


@dataclass(frozen=True)
class Test:
    """A condition as SQL.

    Attributes:
        sql: An expression that is true of all rows that satisfy the condition, and never NULL.
        parameters: Its values.
        is_exact: It is true of no other rows; else what it lets pass must be looked at again.
    """

    sql: str
    parameters: list[object] = field(default_factory=list)
    is_exact: bool = True


class Dialect(Protocol):
    """How a database writes values and says what SQL has no common words for."""

    stores_payloads: bool
    """JSON of any length belongs into the row; otherwise long ones lie beside the database."""

    def texts(self, column: Column) -> Column:
        """Return the cells of a column of texts."""
        ...

    def reals(self, column: Column) -> Column:
        """Return the cells of a column of floats; NaN is one of them."""
        ...

    def terms(self, terms: Sequence[int] | None) -> object:
        """Return the cell that holds the terms of a record's metadata."""
        ...

    def row(self, row: Row) -> Row:
        """Return a row whose texts are all fit to be written."""
        ...

    @property
    def read_text(self) -> Callable[[object], object] | None:
        """What turns every cell of a column of texts into the text; ``None`` if they are it."""
        ...

    usage_of_trace: str
    """The SQL of a trace's usage: the sums over its spans, or where conditions on it are looked at
    again in Python, the usages of its spans."""

    def text(self, cell: object) -> object:
        """Return the text that a cell of a column of texts holds; other values as they are."""
        ...

    def within(self, column: str) -> str:
        """Return the SQL that a column's text is among those of one parameter, an ``array``."""
        ...

    def array(self, values: Iterable[str]) -> object:
        """Return texts as the one parameter that ``within`` takes."""
        ...

    def is_nan(self, column: str) -> str:
        """Return the SQL that a column of floats holds NaN."""
        ...

    def total(self, column: str) -> str:
        """Return the SQL of the sum of a column of floats; NaN if one is among them."""
        ...

    def moment_of(self, column: str, comparison: str) -> Test:
        """Return the test of the time inside the ids of a column.

        Args:
            column: The column of ids.
            comparison: What the time in microseconds must satisfy, such as ``> ?``.
        """
        ...

    def value_holds(self, kind: FieldKind, column: str, condition: Condition) -> Test:
        """Return the test that a column's value satisfies a condition that is no negation.

        Args:
            kind: Kind of the field; columns of numbers, times and scores do not come here.
            column: The column.
            condition: The condition on it.
        """
        ...

    def has_terms(self, table: str, terms: Sequence[int]) -> Test:
        """Return the test that a row's metadata have one of some terms."""
        ...


class TableShape(Protocol):
    """What a transaction asks of a table's codec."""

    @property
    def name(self) -> str:
        """The table."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns, in the order of a row."""
        ...

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that identify a row."""
        ...

    @property
    def statements(self) -> Statements:
        """The statements that write its rows."""
        ...

    @property
    def key_of(self) -> Callable[[Row], object]:
        """Returns the key in a row; a tuple if it has several columns."""
        ...


class Transaction(Protocol):
    """Statements that happen together or not at all.

    Parameters are any values of records; rows of ``insert``, ``insert_new`` and ``replace`` are
    cells as a codec made them.
    """

    def lock(self, name: str) -> None:
        """Wait until no other transaction holds the lock of that name, and hold it to the end."""
        ...

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Return all rows of a query."""
        ...

    def run(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """Run a statement."""
        ...

    def run_many(self, sql: str, parameters: Iterable[Sequence[object]]) -> None:
        """Run a statement for each of many parameters."""
        ...

    def insert(self, table: TableShape, rows: Sequence[Row]) -> None:
        """Insert rows of new keys."""
        ...

    def insert_new(self, table: TableShape, rows: Mapping[Any, Row]) -> dict[Any, Row]:
        """Insert the rows whose keys are new.

        Returns:
            The stored rows of the others by key, held against change; rows that are equal to the
            given ones may be among them.
        """
        ...

    def replace(self, table: TableShape, rows: Sequence[Row]) -> None:
        """Insert rows, or put them in the place of those with the same key."""
        ...


class Database(Protocol):
    """Where the tables are. May be used from many threads at once."""

    dialect: Dialect
    gives_room_back: bool
    """What is deleted makes ``size_bytes`` smaller at once."""

    @property
    def state_lock(self) -> threading.Lock:
        """A lock for counters and clocks."""
        ...

    def check_open(self) -> None:
        """Check that the storage was not closed.

        Raises:
            UnavailableError: It was.
        """
        ...

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Return all rows of a short query."""
        ...

    def stream(
        self, sql: str, parameters: Sequence[object], decode: Callable[[Sequence[Row]], Iterable[T]]
    ) -> Iterator[T]:
        """Return what ``decode`` makes of the rows of a query, as they are at this call."""
        ...

    def transact(self, work: Callable[[Transaction], T]) -> T:
        """Do some work in one transaction, which is durable on return.

        The work must be repeatable: it starts anew where another transaction stood in its way.
        """
        ...

    def size_bytes(self) -> int:
        """Return how much room the records take."""
        ...

    def are_rare(self, table: str, terms: Sequence[int]) -> bool:
        """Return whether few enough rows have the terms that looking them up is worth it."""
        ...


class Statements:
    """The statements that write rows of one table.

    Args:
        table: The table.
        place: What stands for a parameter.

    Attributes:
        insert: Inserts a row.
        replace: Inserts a row or replaces the one of its key.
        select: Selects the rows of a table; a condition must follow.
        by_key: The condition that a row has a key.
    """

    def __init__(self, table: TableShape, place: str = "?") -> None:
        columns = [f'"{column}"' for column in table.columns]
        key = ", ".join(table.key)
        changes = ", ".join(f"{column} = excluded.{column}" for column in columns)
        values = f"({', '.join([place] * len(columns))})"
        self.insert = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES {values}"
        self.replace = f"{self.insert} ON CONFLICT ({key}) DO UPDATE SET {changes}"
        self.select = f"SELECT {', '.join(columns)} FROM {table.name}"
        self.by_key = " AND ".join(f"{column} = {place}" for column in table.key)
