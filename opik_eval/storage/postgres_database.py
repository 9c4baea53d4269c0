"""One schema of a PostgreSQL database: short reads, streaming reads and transactions.

Transactions run at READ COMMITTED. Rows that are merged are locked first; what spans several rows
(names, versions of a dataset, totals of scores) is guarded by advisory locks, which several servers
on one database share. A transaction that another one stood in the way of starts anew.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Generic, TypeVar

import psycopg
from psycopg import errors
from typing_extensions import override

from opik_eval.errors import UnavailableError
from opik_eval.storage.postgres_dialect import PostgresDialect, escaped
from opik_eval.storage.postgres_errors import explain, explained
from opik_eval.storage.postgres_pool import Pool, SchemaConnection, quoted
from opik_eval.storage.sql_dialect import Database, Row, TableShape, Transaction

T = TypeVar("T")

_PAGE_ROWS = 500
_COPY_ROWS = 8
_ATTEMPTS = 12
_IN_THE_WAY = (errors.SerializationFailure, errors.DeadlockDetected, errors.UniqueViolation)


class PostgresDatabase(Database):
    """A schema that many threads, processes and machines may use at once.

    Args:
        pool: The connections.
        schema: The schema.
    """

    def __init__(self, pool: Pool, schema: str) -> None:
        self.pool = pool
        self.schema = schema
        self.dialect = PostgresDialect()
        self.is_closed = False
        self.gives_room_back = False  # autovacuum makes it free for new records later
        self._state_lock = threading.Lock()
        self._random = random.Random()

    @property
    @override
    def state_lock(self) -> threading.Lock:
        return self._state_lock

    @override
    def check_open(self) -> None:
        if self.is_closed or self.pool.is_closed:
            raise UnavailableError(
                f"the storage {self.pool.location} is closed", remedy="open it again"
            )

    @override
    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        self.check_open()
        with explained(self.pool.location), self.pool.lease(self.schema) as connection:
            return connection.execute(spelled(sql), bound(parameters)).fetchall()

    @override
    def stream(
        self, sql: str, parameters: Sequence[object], decode: Callable[[Sequence[Row]], Iterable[T]]
    ) -> Iterator[T]:
        self.check_open()
        return _Stream(self, spelled(sql), bound(parameters), decode)

    @override
    def transact(self, work: Callable[[Transaction], T]) -> T:
        for attempt in range(_ATTEMPTS):
            self.check_open()
            try:
                return self._attempt(work)
            except _IN_THE_WAY as error:
                if attempt == _ATTEMPTS - 1:
                    raise explain(error, self.pool.location) from error
                time.sleep(self._random.uniform(0, 0.002 * 2**attempt))
        raise AssertionError("unreachable")

    @override
    def size_bytes(self) -> int:
        ((size,),) = self.rows(
            "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c "
            "WHERE c.relnamespace = to_regnamespace(?) AND c.relkind = 'r'",
            [quoted(self.schema)],
        )
        return int(size)

    @override
    def are_rare(self, table: str, terms: Sequence[int]) -> bool:
        return True  # the planner knows how many rows have them

    def _attempt(self, work: Callable[[Transaction], T]) -> T:
        try:
            with self.pool.lease(self.schema) as connection, connection.transaction():
                return work(PostgresTransaction(connection, self.schema))
        except _IN_THE_WAY:
            raise
        except psycopg.Error as error:
            raise explain(error, self.pool.location) from error


class PostgresTransaction(Transaction):
    """Statements on one connection, inside its transaction."""

    def __init__(self, connection: SchemaConnection, schema: str) -> None:
        self._connection = connection
        self._schema = schema

    @override
    def lock(self, name: str) -> None:
        self._connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            [escaped(f"{self._schema} {name}")],
        )

    @override
    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        return self._connection.execute(spelled(sql), bound(parameters)).fetchall()

    @override
    def run(self, sql: str, parameters: Sequence[object] = ()) -> None:
        self._connection.execute(spelled(sql), bound(parameters))

    @override
    def run_many(self, sql: str, parameters: Iterable[Sequence[object]]) -> None:
        values = [bound(found) for found in parameters]
        if values:
            with self._connection.cursor() as cursor:
                cursor.executemany(spelled(sql), values)

    @override
    def insert(self, table: TableShape, rows: Sequence[Row]) -> None:
        columns = ", ".join(f'"{column}"' for column in table.columns)
        with (
            self._connection.cursor() as cursor,
            cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)

    @override
    def insert_new(self, table: TableShape, rows: Mapping[Any, Row]) -> dict[Any, Row]:
        # One order of keys in all transactions, so that they do not wait for each other in a ring.
        keys = sorted(rows)
        known = {table.key_of(row): row for row in self._held(table, keys)}
        new = [rows[key] for key in keys if key not in known]
        if len(new) < _COPY_ROWS:
            self._run_rows(table.statements.insert, new)
        else:
            self.insert(table, new)
        return known

    @override
    def replace(self, table: TableShape, rows: Sequence[Row]) -> None:
        self._run_rows(table.statements.replace, rows)

    def _run_rows(self, sql: str, rows: Sequence[Row]) -> None:
        if rows:
            with self._connection.cursor() as cursor:
                cursor.executemany(spelled(sql), rows)

    def _held(self, table: TableShape, keys: Sequence[Any]) -> list[Row]:
        """Return the stored rows of some keys, locked."""
        columns: list[list[str]] = [list(keys)]
        condition = f"{table.key[0]} = ANY (%s)"
        if len(table.key) > 1:
            columns = [*map(list, zip(*keys, strict=True))]
            lists = ", ".join(["%s::text[]"] * len(columns))
            condition = f"({', '.join(table.key)}) IN (SELECT * FROM unnest({lists}))"
        order = ", ".join(table.key)
        return self._connection.execute(
            f"{spelled(table.statements.select)} WHERE {condition} ORDER BY {order} FOR UPDATE",
            columns,
        ).fetchall()


class _Stream(Iterator[T], Generic[T]):
    """The rows of a query; a connection is held only while more than one page is left."""

    _names = itertools.count()

    def __init__(
        self,
        database: PostgresDatabase,
        query: str,
        parameters: Sequence[object],
        decode: Callable[[Sequence[Row]], Iterable[T]],
    ) -> None:
        self._database = database
        self._decode = decode
        self._page: Iterator[T] = iter(())
        self._cursor: psycopg.ServerCursor[Row] | None = None
        self._connection: SchemaConnection | None = None
        with explained(database.pool.location):
            self._connection = database.pool.take(database.schema)
            try:
                self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                self._cursor = self._connection.cursor(f"list_{next(self._names)}")
                self._cursor.execute(query, parameters)
                self._turn_page()
            except BaseException:
                self.close()
                raise

    def __next__(self) -> T:
        for record in self._page:
            return record
        if self._cursor is None:
            raise StopIteration
        if self._database.is_closed or self._database.pool.is_closed:
            self.close()
        self._database.check_open()
        with explained(self._database.pool.location):
            self._turn_page()
        return next(self)

    def close(self) -> None:
        """End the read and hand the connection back."""
        connection, self._connection = self._connection, None
        cursor, self._cursor = self._cursor, None
        self._page = iter(())
        if connection is None:
            return
        with suppress(psycopg.Error):  # the pool replaces a connection that is lost
            if cursor is not None:
                cursor.close()
            connection.rollback()
        self._database.pool.give_back(connection)

    def __del__(self) -> None:
        self.close()

    def _turn_page(self) -> None:
        assert self._cursor is not None
        rows = self._cursor.fetchmany(_PAGE_ROWS)
        if len(rows) < _PAGE_ROWS:
            self.close()
        self._page = iter(self._decode(rows))


@lru_cache(maxsize=512)
def spelled(sql: str) -> str:
    """Return shared SQL in the words of the driver, which writes ``%s`` for ``?``."""
    return sql.replace("%", "%%").replace("?", "%s")


def bound(parameters: Sequence[object]) -> list[object]:
    """Return parameters with all texts in a form that PostgreSQL can hold."""
    return [
        [*map(escaped, value)] if isinstance(value, list) else escaped(value)
        for value in parameters
    ]
