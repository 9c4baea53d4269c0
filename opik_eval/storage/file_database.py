"""One SQLite file: short reads, streaming reads and transactions.

Durability: ``synchronous=FULL``. In WAL mode NORMAL would already survive the death of the process;
FULL also survives a power cut, and costs a write about a millisecond of waiting and no CPU.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, Generic, TypeVar

from typing_extensions import override

from opik_eval.errors import UnavailableError
from opik_eval.storage.file_connections import Connections
from opik_eval.storage.file_dialect import SqliteDialect, bindable, matching
from opik_eval.storage.file_errors import closed, explained
from opik_eval.storage.sql_dialect import (
    MOST_ROWS,
    Database,
    Row,
    TableShape,
    Transaction,
)

T = TypeVar("T")

_PAGE_ROWS = 500
_MANY_ROWS = 32
"""In so many rows it is worth looking for columns that hold nothing."""
_RARE_ROWS = 10_000
"""Up to so many rows are looked up by an index; where there are more, the newest come soon."""


class SqliteDatabase(Database):
    """An SQLite file that many threads and several processes may use at once.

    Writes run one after the other; each read has a connection of its own for as long as it lasts.

    Args:
        connections: The connections to the file.
    """

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self.dialect = SqliteDialect()
        self.gives_room_back = True

    @property
    def path(self) -> Path:
        """The file."""
        return self.connections.path

    @property
    @override
    def state_lock(self) -> threading.Lock:
        """A lock for counters and clocks; a forked child has a new one."""
        return self.connections.state_lock

    @override
    def check_open(self) -> None:
        if self.connections.is_closed:
            raise closed(self.path)

    @override
    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        connection, generation = self.connections.lease(), self.connections.generation
        try:
            with explained(self.path):
                return connection.execute(sql, [*map(bindable, parameters)]).fetchall()
        finally:
            self.connections.give_back(connection, generation)

    @override
    def stream(
        self, sql: str, parameters: Sequence[object], decode: Callable[[Sequence[Row]], Iterable[T]]
    ) -> Iterator[T]:
        """Return what ``decode`` makes of the rows of a query, as they are at this call.

        A result of less than 500 rows is read at once. A longer one holds a snapshot until it is
        exhausted, closed or dropped: with write-ahead logging that is an open read transaction,
        which delays nobody but lets the log grow; otherwise a temporary copy, because there an open
        read would block every writer, the consumer of this iterator among them.
        """
        return _Stream(self.connections, sql, [*map(bindable, parameters)], decode)

    @override
    def transact(self, work: Callable[[Transaction], T]) -> T:
        with self.transaction() as connection:
            return work(SqliteTransaction(connection))

    @override
    def are_rare(self, table: str, terms: Sequence[int]) -> bool:
        ((count,),) = self.rows(
            f"SELECT count(*) FROM (SELECT rowid FROM {table}_terms "
            f"WHERE {table}_terms MATCH ? LIMIT {_RARE_ROWS + 1})",
            [matching(terms)],
        )
        return bool(count <= _RARE_ROWS)

    @override
    def size_bytes(self) -> int:
        ((used, page),) = self.rows(
            "SELECT p.page_count - f.freelist_count, s.page_size FROM pragma_page_count p, "
            "pragma_freelist_count f, pragma_page_size s"
        )
        return int(used * page) + self.connections.blobs.size_bytes()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the write lock of the file; commit at the end, roll back on any exception."""
        with self.connections.write_lock, explained(self.path):
            connection = self.connections.writer()
            before = connection.total_changes
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # a full disk makes SQLite roll back by itself
                    connection.execute("ROLLBACK")
                raise
            if self.connections.write_ahead:
                changes = connection.total_changes - before
                self.connections.checkpointer.note(changes, self.connections.borrow)


class SqliteTransaction(Transaction):
    """Statements on the writing connection, inside its transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @override
    def lock(self, name: str) -> None:
        """Do nothing: there is one transaction at a time."""

    @override
    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        return self._connection.execute(sql, [*map(bindable, parameters)]).fetchall()

    @override
    def run(self, sql: str, parameters: Sequence[object] = ()) -> None:
        self._connection.execute(sql, [*map(bindable, parameters)])

    @override
    def run_many(self, sql: str, parameters: Iterable[Sequence[object]]) -> None:
        self._connection.executemany(sql, [[*map(bindable, values)] for values in parameters])

    @override
    def insert(self, table: TableShape, rows: Sequence[Row]) -> None:
        self._connection.executemany(table.statements.insert, rows)

    @override
    def insert_new(self, table: TableShape, rows: Mapping[Any, Row]) -> dict[Any, Row]:
        if "metadata_terms" in table.columns:
            inserted = self._insert_indexed(table, rows)
        else:
            inserted = self._insert_new(table, [*rows.values()])
        if inserted == len(rows):
            return {}
        select = f"{table.statements.select} WHERE {table.statements.by_key}"
        return {
            key: self._connection.execute(
                select, key if isinstance(key, tuple) else (key,)
            ).fetchone()
            for key in rows
        }

    def _insert_new(self, table: TableShape, rows: Sequence[Row]) -> int:
        """Insert the rows whose key is not there yet, and return their number.

        Many rows make one statement. While it runs, other threads have the interpreter; after every
        single row they would have to be asked to give it back. Numbers of rows are powers of two,
        so that few statements are prepared. Columns that hold nothing in all rows are left out,
        because a NULL costs what a value does.
        """
        most = self._connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        places = [*range(len(table.columns))]
        if len(rows) >= _MANY_ROWS:
            columns = enumerate(zip(*rows, strict=True))
            places = [place for place, cells in columns if cells.count(None) < len(rows)]
            rows = [*map(itemgetter(*places), rows)]
        names = tuple(table.columns[place] for place in places)
        start, count, at_once = 0, 0, MOST_ROWS
        while start < len(rows):
            while at_once > min(len(rows) - start, max(1, most // len(names))):
                at_once //= 2
            values = [*chain.from_iterable(rows[start : start + at_once])]
            statement = _insertion(table.name, tuple(table.key), names, at_once)
            count += self._connection.execute(statement, values).rowcount
            start += at_once
        return count

    @override
    def replace(self, table: TableShape, rows: Sequence[Row]) -> None:
        self._connection.executemany(table.statements.replace, rows)

    def _insert_indexed(self, table: TableShape, rows: Mapping[Any, Row]) -> int:
        """Insert the rows of new keys, and their terms into the index; return their number."""
        place = table.columns.index("metadata_terms")
        have_terms = any(row[place] is not None for row in rows.values())
        # New rows get greater numbers than all others.
        last = self._connection.execute(f"SELECT max(row_number) FROM {table.name}").fetchone()[0]
        inserted = self._insert_new(table, [*rows.values()])
        if have_terms:
            self._connection.execute(
                f"INSERT INTO {table.name}_terms (rowid, metadata_terms) "
                f"SELECT row_number, metadata_terms FROM {table.name} "
                "WHERE row_number > ? AND metadata_terms IS NOT NULL",
                (last or 0,),
            )
        return inserted


class _Stream(Iterator[T], Generic[T]):
    def __init__(
        self,
        connections: Connections,
        sql: str,
        parameters: Sequence[object],
        decode: Callable[[Sequence[Row]], Iterable[T]],
    ) -> None:
        self._connections = connections
        self._decode = decode
        self._generation = connections.generation
        self._has_copy = False
        self._connection: sqlite3.Connection | None = None
        self._connection = connections.lease()
        self._cursor = self._connection.cursor()
        try:
            with explained(connections.path):
                self._cursor.execute(sql, parameters)
                self._turn_page()
                if self._connection is not None and not connections.write_ahead:
                    self._copy(sql, parameters)
        except BaseException:
            self.close()
            raise

    def __next__(self) -> T:
        for record in self._page:
            return record
        if self._connection is None:
            raise StopIteration
        with explained(self._connections.path):
            self._check()
            self._turn_page()
        return next(self)

    def close(self) -> None:
        """End the read and hand the connection back."""
        connection, self._connection = self._connection, None
        self._page: Iterator[T] = iter(())
        if connection is not None:
            self._cursor.close()
            if self._has_copy and self._is_at_home():
                connection.execute("DROP TABLE temp.snapshot")
            self._connections.give_back(connection, self._generation)

    def __del__(self) -> None:
        self.close()

    def _turn_page(self) -> None:
        rows = self._cursor.fetchmany(_PAGE_ROWS)
        if len(rows) < _PAGE_ROWS:
            self.close()
        self._page = iter(self._decode(rows))

    def _copy(self, sql: str, parameters: Sequence[object]) -> None:
        self._cursor.execute(f"CREATE TEMP TABLE snapshot AS {sql}", parameters)
        self._has_copy = True
        self._cursor.execute("SELECT * FROM temp.snapshot ORDER BY rowid")
        self._turn_page()

    def _is_at_home(self) -> bool:
        """Return whether this is the process that began the read."""
        return self._generation is self._connections.generation

    def _check(self) -> None:
        if self._connections.is_closed:
            self.close()
            raise closed(self._connections.path)
        if not self._is_at_home():
            raise UnavailableError(
                "an iterator over stored records was carried into a forked process",
                remedy="start the iteration in the process that uses it",
            )


@lru_cache(maxsize=128)
def _insertion(table: str, key: Sequence[str], columns: Sequence[str], count: int) -> str:
    """Return the statement that inserts so many rows, but for those whose keys are there."""
    names = ", ".join(f'"{column}"' for column in columns)
    row = f"({', '.join('?' * len(columns))})"
    rows = ", ".join([row] * count)
    return f"INSERT INTO {table} ({names}) VALUES {rows} ON CONFLICT ({', '.join(key)}) DO NOTHING"
