"""The file backend: one SQLite file, with large payloads and attachments in a folder beside it."""

from __future__ import annotations

from pathlib import Path

from typing_extensions import override

from opik_eval.storage.attachment_files import BlobFiles, FilesElsewhere
from opik_eval.storage.attachments import BlobStore
from opik_eval.storage.file_connections import Connections
from opik_eval.storage.file_database import SqliteDatabase
from opik_eval.storage.file_garbage import collect_garbage
from opik_eval.storage.sql_payloads import Payloads
from opik_eval.storage.sql_storage import SqlStorage
from opik_eval.storage.sql_store import SqlStore


class FileStorage(SqlStorage):
    """A storage in one SQLite file, safe for many threads and several processes.

    A list is a snapshot taken when it is called: what is written while it is read neither shows in
    it nor waits for it. What a writing method returned for survives the death of the process and,
    on disks that keep their word, a power cut. After a fork parent and child may both go on; only
    an iteration that was under way belongs to the parent alone.

    Args:
        path: The file; it and its folders are created if missing. ``PATH.blobs`` beside it holds
            attachments and large payloads and belongs to it.
        busy_timeout_seconds: How long to wait for a lock that another process holds.
        payload_limit_bytes: JSON values longer than this go to ``PATH.blobs``.
        write_ahead: Use write-ahead logging where the file system can. Say ``False`` where several
            machines share the file over a network: SQLite then uses a rollback journal.
        bucket: Where attachments go instead of ``PATH.blobs``.

    Raises:
        UnavailableError: The file cannot be opened or created, or is locked.
        SchemaVersionError: A newer version of this package wrote it.
        StorageError: It is damaged, or not a file of this package.

    Example:
        >>> import tempfile
        >>> from opik_eval.records import Trace
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     storage = FileStorage(Path(folder) / "opik.db")
        ...     storage.write([Trace(id="1", name="ask", project_name="demo")])
        ...     print([trace.name for trace in storage.list_traces(project_name="Demo")])
        ...     storage.close()
        ['ask']
    """

    def __init__(
        self,
        path: Path,
        *,
        busy_timeout_seconds: float = 30.0,
        payload_limit_bytes: int = 65_536,
        write_ahead: bool = True,
        bucket: FilesElsewhere | None = None,
    ) -> None:
        whole = path.absolute()
        blobs = BlobStore(whole.with_name(whole.name + ".blobs"))
        self._connections = Connections(
            whole, blobs, busy_timeout_seconds=busy_timeout_seconds, write_ahead=write_ahead
        )
        database = SqliteDatabase(self._connections)
        beside = BlobFiles(blobs)
        files = beside if bucket is None else bucket(beside)
        super().__init__(
            SqlStore(database, files, Payloads(blobs, payload_limit_bytes)), f"file:{path}"
        )

    @override
    def collect_garbage(self) -> int:
        return collect_garbage(self._store.database, self._connections.blobs)

    def copy_to(self, path: Path) -> None:
        """Copy the file and what lies beside it while others read and write it.

        Args:
            path: The copy; the file must not exist.

        Raises:
            UnavailableError: It cannot be written.
        """
        self._connections.copy_to(path)
        self._connections.blobs.copy_to(path.with_name(path.name + ".blobs"))

    @override
    def close(self) -> None:
        self._connections.close()
