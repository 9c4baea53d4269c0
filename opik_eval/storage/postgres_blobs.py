"""The bytes of attachments in a PostgreSQL database, by content."""

from __future__ import annotations

import hashlib
from pathlib import Path

from typing_extensions import override

from opik_eval.errors import ConflictError, StorageError
from opik_eval.storage.attachments import Blobs, os_failure
from opik_eval.storage.sql_dialect import Database


class PostgresBlobs(Blobs):
    """Blobs in a table: all servers on a database must reach them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    def put_expected(self, content: bytes | Path, *, sha256: str, size_bytes: int) -> None:
        try:
            data = content.read_bytes() if isinstance(content, Path) else content
        except OSError as error:
            raise os_failure(error, Path(str(content))) from error
        found = hashlib.sha256(data).hexdigest(), len(data)
        if found != (sha256, size_bytes):
            raise ConflictError(
                f"the content has SHA-256 {found[0]} and {found[1]} bytes, the attachment says "
                f"{(sha256, size_bytes)}",
                remedy="compute sha256 and size_bytes from the content that is handed over",
            )
        sql = "INSERT INTO blobs (sha256, content) VALUES (?, ?) ON CONFLICT (sha256) DO NOTHING"
        self._database.transact(lambda transaction: transaction.run(sql, [sha256, data]))

    @override
    def read(self, sha256: str) -> bytes:
        rows = self._database.rows("SELECT content FROM blobs WHERE sha256 = ?", [sha256])
        if not rows:
            raise StorageError(
                f"the bytes with SHA-256 {sha256} are missing: the store refers to them, but they "
                "are gone",
                remedy="restore the database from a backup",
            )
        return bytes(rows[0][0])
