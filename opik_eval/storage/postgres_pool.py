"""Connections to one PostgreSQL database, shared by all its workspaces."""

from __future__ import annotations

import re
import selectors
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool

from opik_eval.errors import ConfigError
from opik_eval.storage.postgres_errors import explained

_MOST_CONNECTIONS = 16
_WAIT_SECONDS = 30.0
_MOST_ASIDE = 4
_SCHEMA = re.compile(r"[a-z0-9_-]+")


class SchemaConnection(psycopg.Connection[tuple[object, ...]]):
    """A connection that remembers which schema its statements are about."""

    schema: str = ""


class Pool:
    """The connections of one process to one database.

    Args:
        url: ``postgresql://user:password@host:port/database?option=value``.

    Raises:
        ConfigError: The URL cannot be read.
        UnavailableError: The server cannot be reached.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.location = without_secrets(url)
        self._aside: deque[SchemaConnection] = deque()
        self._pool = ConnectionPool(
            url,
            connection_class=SchemaConnection,
            min_size=1,
            max_size=_MOST_CONNECTIONS,
            timeout=_WAIT_SECONDS,
            kwargs={"autocommit": True, "application_name": "opik-eval"},
            open=False,
        )
        with explained(self.location):
            # A pool would try for long to reach a server that is not there, and say little.
            psycopg.connect(url, connect_timeout=10).close()
        self._pool.open()

    @property
    def is_closed(self) -> bool:
        """True once the pool was closed."""
        return self._pool.closed

    @contextmanager
    def lease(self, schema: str) -> Iterator[SchemaConnection]:
        """Lend a connection whose statements are about a schema."""
        connection = self.take(schema)
        try:
            yield connection
        finally:
            self.give_back(connection)

    def take(self, schema: str) -> SchemaConnection:
        """Return a connection that nobody else uses; hand it back with ``give_back``."""
        connection = self._pool.getconn()
        while _was_hung_up(connection):
            connection.close()
            self._pool.putconn(connection)
            connection = self._pool.getconn()
        try:
            if connection.schema != schema:
                connection.execute(f"SET search_path TO {quoted(schema)}")
                connection.schema = schema
        except BaseException:
            self._pool.putconn(connection)
            raise
        return connection

    def give_back(self, connection: SchemaConnection) -> None:
        """Return a connection to the pool."""
        self._pool.putconn(connection)

    def extra(self) -> SchemaConnection:
        """Return a connection besides those of the pool; hand it back with ``put_aside``.

        Its statements wait for locks no longer than anybody waits for a connection.
        """
        while (kept := self._kept_aside()) is not None:
            if not _was_hung_up(kept):
                return kept
            kept.close()
        connection = SchemaConnection.connect(
            self.url, autocommit=True, application_name="opik-eval", connect_timeout=10
        )
        connection.execute(f"SET lock_timeout = '{_WAIT_SECONDS:.0f}s'")
        return connection

    def put_aside(self, connection: SchemaConnection) -> None:
        """Keep an extra connection for the next who needs one, unless it is lost."""
        if self.is_closed or connection.closed or len(self._aside) >= _MOST_ASIDE:
            connection.close()
        else:
            self._aside.append(connection)

    def close(self) -> None:
        """Close all connections; those in use follow when they are handed back."""
        self._pool.close()
        while (kept := self._kept_aside()) is not None:
            kept.close()

    def _kept_aside(self) -> SchemaConnection | None:
        with suppress(IndexError):
            return self._aside.pop()
        return None


def _was_hung_up(connection: SchemaConnection) -> bool:
    """Return whether the server ended an idle connection: then there is something to read on it.

    That costs a few microseconds, where asking the server would cost a round trip each time.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(connection.fileno(), selectors.EVENT_READ)
        return bool(selector.select(0))


def quoted(schema: str) -> str:
    """Return the name of a schema as SQL."""
    if not _SCHEMA.fullmatch(schema):
        raise ValueError(f"{schema!r} is no name of a schema")
    return f'"{schema}"'


def without_secrets(url: str) -> str:
    """Return the URL of a database without user name, password and options.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise ConfigError(
            "the URL of the PostgreSQL database cannot be read",
            remedy="write postgresql://user:password@host:port/database",
        ) from error
    host = quote(str(parts.get("host") or "localhost"), safe="[]:,.")
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"postgresql://{host}{port}/{parts.get('dbname') or ''}"
