"""One holder at a time, among all threads, processes and machines on a database."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, suppress

import psycopg
from typing_extensions import override

from opik_eval.storage.postgres_errors import explained
from opik_eval.storage.postgres_pool import Pool, SchemaConnection

_LOCK = "SELECT pg_advisory_lock(hashtextextended(%s, 0))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtextextended(%s, 0))"


class SchemaLock(AbstractContextManager[None]):
    """An advisory lock of a schema, which one thread may take several times.

    Threads of a process wait for each other before they ask the database, so that of each process
    one connection at most waits there. Who dies holding it loses it with the connection.

    Args:
        pool: The connections. The one that holds the lock is not among them: those that work while
            it is held must never wait for it.
        schema: The schema.
    """

    def __init__(self, pool: Pool, schema: str) -> None:
        self._pool = pool
        self._name = f"{schema} changes"
        self._threads = threading.RLock()
        self._depth = 0
        self._connection: SchemaConnection | None = None

    @override
    def __enter__(self) -> None:
        self._threads.acquire()
        try:
            if self._depth == 0:
                self._connection = self._locked()
        except BaseException:
            self._threads.release()
            raise
        self._depth += 1

    @override
    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        connection = self._connection
        try:
            if self._depth == 0 and connection is not None:
                self._connection = None
                with suppress(psycopg.OperationalError):  # a lost connection holds no lock
                    connection.execute(_UNLOCK, [self._name])
                self._pool.put_aside(connection)
        finally:
            self._threads.release()

    def _locked(self) -> SchemaConnection:
        with explained(self._pool.location):
            connection = self._pool.extra()
            try:
                connection.execute(_LOCK, [self._name])
            except BaseException:
                connection.close()
                raise
        return connection
