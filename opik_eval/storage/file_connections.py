"""Connections to one SQLite file: how they are opened, shared out and dropped at a fork."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from urllib.parse import quote

from opik_eval.errors import UnavailableError
from opik_eval.storage.attachments import BlobStore, os_failure
from opik_eval.storage.file_checkpoints import CHECKPOINT_PAGES, Checkpointer
from opik_eval.storage.file_errors import closed, explained
from opik_eval.storage.file_functions import register_functions
from opik_eval.storage.schema import is_current, migrate

_RETRY_SECONDS = 0.02
_PAGE_BYTES = 8_192
_WRITER_CACHE_KIB = 32_768
_READER_CACHE_KIB = 4_096
_IDLE_READERS = 8
_CACHED_STATEMENTS = 128  # the largest, which insert many rows, take 300 KB each
_LOG_LIMIT_BYTES = 64 << 20


class Connections:
    """The connections of one process to one file: a writer and a pool of readers.

    Around a fork the idle ones are closed, so that parent and child start from a clean state, as
    SQLite demands; a reader that is in use at that moment stays with the parent.

    Args:
        path: The file; it and its folders are created if missing.
        blobs: Where large payloads are, for the functions of filters.
        busy_timeout_seconds: How long to wait for a lock that another process holds.
        write_ahead: Use write-ahead logging if the file system can.

    Raises:
        UnavailableError: The file cannot be opened or created.
        SchemaVersionError: A newer version of this package wrote it.
        StorageError: It is damaged, or not a file of this package.
    """

    generation: object
    """Changes in a child process: what was leased before the fork belongs to the parent."""
    write_lock: threading.Lock
    """Held by whoever uses the writer."""
    state_lock: threading.Lock
    """Held for moments around counters and clocks."""
    checkpointer: Checkpointer
    """Moves the write-ahead log into the file from time to time."""
    _idle: deque[sqlite3.Connection]
    _writer: sqlite3.Connection | None

    def __init__(
        self, path: Path, blobs: BlobStore, *, busy_timeout_seconds: float, write_ahead: bool
    ) -> None:
        self.path = path
        self.blobs = blobs
        self.is_closed = False
        self._busy_timeout_seconds = busy_timeout_seconds
        self._mode = "mode=rwc"
        self._reset()
        _create_folder(path)
        with explained(path):
            self.write_ahead = self._prepare("wal" if write_ahead else "delete")
        self._identity = _identity(path)
        _all_connections.add(self)

    def lease(self) -> sqlite3.Connection:
        """Return a connection that nobody else uses; hand it back with ``give_back``."""
        if self.is_closed:
            raise closed(self.path)
        try:
            return self._idle.pop()
        except IndexError:
            with explained(self.path):
                return self._open(_READER_CACHE_KIB)

    def give_back(self, connection: sqlite3.Connection, generation: object) -> None:
        """Return a leased connection to the pool.

        Args:
            connection: The connection; nothing may be under way on it.
            generation: ``self.generation`` at the time of the lease.
        """
        if generation is not self.generation:
            _inherited.append(connection)
            return
        if len(self._idle) < _IDLE_READERS:
            self._idle.append(connection)
        else:
            connection.close()
        if self.is_closed:
            self._close_readers()

    def writer(self) -> sqlite3.Connection:
        """Return the writing connection; call it and use it only under ``write_lock``."""
        if self.is_closed:
            raise closed(self.path)
        if self._identity != _identity(self.path):
            raise UnavailableError(
                f"{self.path} was removed or replaced while it was open",
                remedy="put the file back or open the storage again; nothing was written",
            )
        if self._writer is None:
            self._writer = self._open(_WRITER_CACHE_KIB)
        return self._writer

    def copy_to(self, path: Path) -> None:
        """Copy the file as it is at some moment of this call; writers go on meanwhile."""
        _create_folder(path)
        with explained(path), closing(sqlite3.connect(path)) as copy:
            self.borrow(lambda connection: connection.backup(copy))

    def close(self) -> None:
        """Close all connections; those that are leased follow when they are handed back."""
        with self.checkpointer.lock, self.write_lock:
            self.is_closed = True
            self._close_idle()

    def __del__(self) -> None:
        # Who leaves a store unclosed loses nothing; from Python 3.13 on, it would warn of that.
        with suppress(AttributeError):  # it was never open
            self._close_idle()

    def before_fork(self) -> None:
        """Wait for the write under way and close what is idle."""
        self.checkpointer.lock.acquire()
        self.write_lock.acquire()
        self._close_idle()

    def after_fork(self, *, in_child: bool) -> None:
        """Go on with new connections."""
        if in_child:
            self._reset()
        else:
            self.write_lock.release()
            self.checkpointer.lock.release()

    def borrow(self, use: Callable[[sqlite3.Connection], object]) -> object:
        """Call a function with a connection that nobody else uses meanwhile."""
        connection, generation = self.lease(), self.generation
        try:
            return use(connection)
        finally:
            self.give_back(connection, generation)

    def _reset(self) -> None:
        self.generation = object()
        self.write_lock = threading.Lock()
        self.state_lock = threading.Lock()
        self.checkpointer = Checkpointer(self.write_lock)
        self._idle = deque()
        self._writer = None

    def _close_idle(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._close_readers()

    def _close_readers(self) -> None:
        with suppress(IndexError):  # other threads may take some of them meanwhile
            while True:
                self._idle.pop().close()

    def _open(self, cache_kib: int) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?{self._mode}",
            uri=True,
            timeout=self._busy_timeout_seconds,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=_CACHED_STATEMENTS,
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA cache_size = -{cache_kib}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit = {_LOG_LIMIT_BYTES}")
        except sqlite3.Error:
            connection.close()
            raise
        register_functions(connection, self.blobs)
        return connection

    def _prepare(self, journal: str) -> bool:
        """Check the file, choose its journal and bring its tables up to date.

        Returns:
            Whether the file uses write-ahead logging.
        """
        try:
            connection = self._open(_READER_CACHE_KIB)
        except sqlite3.OperationalError as error:
            if not self._is_frozen(error):
                raise
            self._mode = "immutable=1"
            connection = self._open(_READER_CACHE_KIB)
        with closing(connection):
            current = is_current(connection, self.path)
            if not current:
                connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")  # of a file without pages
            found = _choose_journal(connection, journal, self._busy_timeout_seconds)
            if not current:
                migrate(connection, self.path)
        if self._mode == "mode=rwc":
            self._mode = "mode=rw"  # if the file vanishes, it must not come back empty
        return found == "wal"

    def _is_frozen(self, error: sqlite3.OperationalError) -> bool:
        """Return whether the file can be read, but not its log, since the folder is read-only."""
        return (
            error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
            and self.path.is_file()
            and not os.access(self.path.parent, os.W_OK, effective_ids=_EFFECTIVE_IDS)
            and not self.path.with_name(self.path.name + "-wal").exists()
        )


def _create_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_folder = path.is_dir()
    except OSError as error:
        raise os_failure(error, path.parent) from error
    if is_folder:
        raise UnavailableError(
            f"{path} is a folder", remedy=f"name a file, such as {path / 'opik.db'}"
        )


def _choose_journal(connection: sqlite3.Connection, wanted: str, timeout_seconds: float) -> str:
    """Return the journal that the file has after asking for ``wanted``.

    SQLite refuses to wait for other connections here, so waiting is done by hand. Leaving the log
    needs the file for oneself; while others have it open, it stays.
    """
    deadline = time.monotonic() + timeout_seconds
    (found,) = connection.execute("PRAGMA journal_mode").fetchone()
    while found != wanted:
        try:
            (found,) = connection.execute(f"PRAGMA journal_mode = {wanted}").fetchone()
            break
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or wanted != "wal":
                break  # a read-only file, or a file system without shared memory
            if time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_SECONDS)
            (found,) = connection.execute("PRAGMA journal_mode").fetchone()
    return str(found)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


_EFFECTIVE_IDS = os.access in os.supports_effective_ids
_all_connections: weakref.WeakSet[Connections] = weakref.WeakSet()
_at_fork: list[Connections] = []
_fork_lock = threading.Lock()
_inherited: list[sqlite3.Connection] = []
"""Connections of a parent process: neither usable here nor safe to close, so they are kept."""


def _before_fork() -> None:
    _fork_lock.acquire()  # released below, in both processes
    _at_fork.extend(_all_connections)
    for connections in _at_fork:
        connections.before_fork()


def _after_fork(*, in_child: bool) -> None:
    while _at_fork:
        _at_fork.pop().after_fork(in_child=in_child)
    _fork_lock.release()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=partial(_after_fork, in_child=False),
    after_in_child=partial(_after_fork, in_child=True),
)
