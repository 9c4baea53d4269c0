"""Tables in a schema of PostgreSQL: made if missing, brought up to date if old."""

from __future__ import annotations

from opik_eval.errors import SchemaVersionError
from opik_eval.storage.postgres_errors import explained
from opik_eval.storage.postgres_pool import Pool, SchemaConnection, quoted
from opik_eval.storage.schema import SCHEMA_VERSION, postgres_statements

_HAS_VERSION = """SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relname = 'alembic_version'"""


def prepare(pool: Pool, schema: str) -> None:
    """Bring a schema to the current version: all steps or none.

    Several processes may do so at once: one does it, the others wait and find it done.

    Raises:
        SchemaVersionError: A newer version of this package made the tables.
        UnavailableError: The server refuses.
    """
    with explained(pool.location), pool.lease(schema) as connection:
        if version_of(connection, schema) == SCHEMA_VERSION:
            return
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [schema])
            version = version_of(connection, schema)
            if version > SCHEMA_VERSION:
                raise SchemaVersionError(
                    f"{pool.location} has tables of version {version}, this package knows versions "
                    f"up to {SCHEMA_VERSION}",
                    remedy="upgrade with: pip install --upgrade opik-eval (or use another "
                    "database); this one was left as it is",
                )
            if version == 0:
                _create(connection, schema)
        if 0 < version < SCHEMA_VERSION:
            from opik_eval.storage.migrations import upgrade_schema

            upgrade_schema(pool.url, schema)


def version_of(connection: SchemaConnection, schema: str) -> int:
    """Return the version of a schema's tables; 0 without tables."""
    # A look into the catalog, not to_regclass: that remembers within a transaction what it did not
    # find before, so who waited for another process to make the tables would make them again.
    if connection.execute(_HAS_VERSION, [schema]).fetchone() is None:
        return 0
    row = connection.execute(f"SELECT version_num FROM {quoted(schema)}.alembic_version").fetchone()
    return int(str(row[0])) if row else 0


def _create(connection: SchemaConnection, schema: str) -> None:
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
    for statement in postgres_statements():
        connection.execute(statement)
    connection.execute(
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"
    )
    connection.execute(
        "INSERT INTO alembic_version (version_num) VALUES (%s)", [f"{SCHEMA_VERSION:04}"]
    )
