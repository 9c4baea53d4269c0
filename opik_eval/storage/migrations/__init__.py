"""From older tables to the current ones, step by step, with Alembic.

Imported only when a database has tables of an older version. Each module in ``versions`` is one
step and is frozen once it is released.
"""

from __future__ import annotations

import sqlite3
from typing import cast

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, StaticPool

_NOTED = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"


def upgrade_file(connection: sqlite3.Connection, version: int) -> None:
    """Bring the tables of an SQLite file up to date, as part of the transaction under way.

    Args:
        connection: The file; the caller begins and ends the transaction.
        version: Version of its tables. The file's header keeps it; Alembic's own note of it is
            there only meanwhile.
    """
    connection.execute(_NOTED)
    connection.execute("INSERT INTO alembic_version (version_num) VALUES (?)", (f"{version:04}",))
    engine = create_engine("sqlite://", creator=lambda: _Held(connection), poolclass=StaticPool)
    with engine.connect() as bound:
        _upgrade(bound)
    connection.execute("DROP TABLE alembic_version")


def upgrade_schema(url: str, schema: str) -> None:
    """Bring the tables of a schema of PostgreSQL up to date, in a transaction.

    Several processes may do so at once: one does it, the others wait and find it done.
    """
    import psycopg

    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool
    )
    with engine.begin() as bound:
        bound.exec_driver_sql(f'SET search_path TO "{schema}"')
        bound.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (schema,))
        _upgrade(bound)


def _upgrade(connection: Connection) -> None:
    """Run the missing steps; errors are those of the database's driver."""
    config = Config()
    config.set_main_option("script_location", "opik_eval.storage:migrations")
    scripts = ScriptDirectory.from_config(config)

    def missing(revision: object, _: object) -> object:
        return scripts._upgrade_revs("head", cast("str", revision))

    with EnvironmentContext(config, scripts, fn=missing) as environment:
        environment.configure(connection=connection, transactional_ddl=False)
        try:
            environment.run_migrations()
        except DBAPIError as error:
            raise (error.orig or error) from error


class _Held:
    """A connection whose transaction belongs to somebody else."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> object:
        return cast("object", getattr(self._connection, name))

    def commit(self) -> None:
        """Leave the end of the transaction to its owner."""

    rollback = close = commit
