"""One SQLite file: short reads, streaming reads and transactions.

Durability: ``synchronous=FULL``. In WAL mode NORMAL would already survive the death of the process;
FULL also survives a power cut, and costs a write about a millisecond of waiting and no CPU.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from opik_eval.errors import UnavailableError
from opik_eval.storage.file_connections import Connections
from opik_eval.storage.file_errors import closed, explained
from opik_eval.storage.file_tables import Row, bindable

T = TypeVar("T")

_PAGE_ROWS = 500


class Database:
    """An SQLite file that many threads and several processes may use at once.

    Writes run one after the other; each read has a connection of its own for as long as it lasts.

    Args:
        connections: The connections to the file.
    """

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    @property
    def path(self) -> Path:
        """The file."""
        return self.connections.path

    @property
    def state_lock(self) -> threading.Lock:
        """A lock for counters and clocks; a forked child has a new one."""
        return self.connections.state_lock

    def check_open(self) -> None:
        """Check that the storage was not closed.

        Raises:
            UnavailableError: It was.
        """
        if self.connections.is_closed:
            raise closed(self.path)

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Return all rows of a short query."""
        connection, generation = self.connections.lease(), self.connections.generation
        try:
            with explained(self.path):
                return connection.execute(sql, [*map(bindable, parameters)]).fetchall()
        finally:
            self.connections.give_back(connection, generation)

    def stream(
        self, sql: str, parameters: Sequence[object], decode: Callable[[Row], T]
    ) -> Iterator[T]:
        """Return what ``decode`` makes of the rows of a query, as they are at this call.

        A result of less than 500 rows is read at once. A longer one holds a snapshot until it is
        exhausted, closed or dropped: with write-ahead logging that is an open read transaction,
        which delays nobody but lets the log grow; otherwise a temporary copy, because there an open
        read would block every writer, the consumer of this iterator among them.
        """
        return _Stream(self.connections, sql, [*map(bindable, parameters)], decode)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the write lock of the file; commit at the end, roll back on any exception."""
        with self.connections.write_lock, explained(self.path):
            connection = self.connections.writer()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # a full disk makes SQLite roll back by itself
                    connection.execute("ROLLBACK")
                raise


class _Stream(Iterator[T], Generic[T]):
    def __init__(
        self,
        connections: Connections,
        sql: str,
        parameters: Sequence[object],
        decode: Callable[[Row], T],
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
        for row in self._page:
            return self._decode(row)
        if self._connection is None:
            raise StopIteration
        with explained(self._connections.path):
            self._check()
            self._turn_page()
        return next(self)

    def close(self) -> None:
        """End the read and hand the connection back."""
        connection, self._connection = self._connection, None
        self._page: Iterator[Row] = iter(())
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
        self._page = iter(rows)

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
