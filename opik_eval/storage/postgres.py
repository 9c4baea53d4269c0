"""The PostgreSQL backend: one schema of a database, for several servers at once."""

from __future__ import annotations

from typing_extensions import override

from opik_eval.storage.attachment_files import BlobFiles, FilesElsewhere
from opik_eval.storage.postgres_blobs import PostgresBlobs
from opik_eval.storage.postgres_database import PostgresDatabase
from opik_eval.storage.postgres_lock import SchemaLock
from opik_eval.storage.postgres_pool import Pool
from opik_eval.storage.postgres_schema import prepare
from opik_eval.storage.sql_storage import SqlStorage
from opik_eval.storage.sql_store import SqlStore

DEFAULT_SCHEMA = "opik_workspace_default"
"""Where the records are if nobody says otherwise."""


class PostgresStorage(SqlStorage):
    """A storage in one schema of a PostgreSQL database.

    Safe for many threads, processes and machines. A list is a snapshot taken when it is called; a
    long one holds a connection until it is exhausted, closed or dropped. Writes that are in each
    other's way are repeated. Not to be used on both sides of a fork.

    Args:
        target: URL of the database, or the pool of connections to it.
        schema: The schema; made if missing.
        bucket: Where attachments go instead of into the database.

    Raises:
        ConfigError: The URL cannot be read.
        UnavailableError: The server cannot be reached, or refuses.
        SchemaVersionError: A newer version of this package made the tables.
    """

    def __init__(
        self,
        target: str | Pool,
        schema: str = DEFAULT_SCHEMA,
        *,
        bucket: FilesElsewhere | None = None,
    ) -> None:
        self._owns_pool = isinstance(target, str)
        self._pool = Pool(target) if isinstance(target, str) else target
        try:
            prepare(self._pool, schema)
        except BaseException:
            self.close()
            raise
        self._database = PostgresDatabase(self._pool, schema)
        within = BlobFiles(PostgresBlobs(self._database))
        files = within if bucket is None else bucket(within)
        super().__init__(
            SqlStore(self._database, files),
            self._pool.location,
            exclusive=SchemaLock(self._pool, schema),
        )

    @override
    def close(self) -> None:
        if hasattr(self, "_database"):
            self._database.is_closed = True
        if self._owns_pool:
            self._pool.close()
