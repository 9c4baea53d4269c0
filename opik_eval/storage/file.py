"""The file backend: one SQLite file, with large payloads and attachments in a folder beside it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from typing_extensions import override

from opik_eval.storage.base import FlushReport, Storage, Writable
from opik_eval.storage.file_datasets import FileDatasets
from opik_eval.storage.file_runs import FileCache, FileExperiments, FileOptimizations, FilePrompts
from opik_eval.storage.file_store import FileStore
from opik_eval.storage.file_traces import FileTraces


class FileStorage(
    FileTraces,
    FileDatasets,
    FileExperiments,
    FilePrompts,
    FileOptimizations,
    FileCache,
    Storage,
):
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
    ) -> None:
        self._store = FileStore(
            path.absolute(),
            busy_timeout_seconds=busy_timeout_seconds,
            payload_limit_bytes=payload_limit_bytes,
            write_ahead=write_ahead,
        )
        self._location = f"file:{path}"

    @property
    @override
    def location(self) -> str:
        return self._location

    @override
    def write(self, records: Iterable[Writable]) -> None:
        self._store.writer.write(records)

    @override
    def flush(self, timeout_seconds: float | None = None) -> FlushReport:
        self._store.database.check_open()
        return FlushReport(delivered=self._store.writer.written)

    @override
    def close(self) -> None:
        self._store.database.connections.close()
