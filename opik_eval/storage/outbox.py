"""The outbox: what was acknowledged and has not reached its server yet, in one SQLite file.

A write is committed here before it is acknowledged, so it survives the process. Rows leave in the
order in which they came; whoever holds the lease sends them, in any process. The lease is a lock on
a file beside, which the operating system drops with its holder, however that ends.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from opik_eval.errors import SchemaVersionError, UnavailableError
from opik_eval.records import utc_now
from opik_eval.storage.file_errors import explained

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS waiting (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, kind TEXT NOT NULL,
    key TEXT NOT NULL, payload BLOB NOT NULL, content BLOB);
CREATE INDEX IF NOT EXISTS waiting_by_owner ON waiting (owner, seq);
CREATE TABLE IF NOT EXISTS rejected (
    seq INTEGER PRIMARY KEY, owner TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
    payload BLOB NOT NULL, content BLOB, reason TEXT NOT NULL, rejected_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS cached (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
"""
_BUSY_MILLISECONDS = 30_000


class Entry(NamedTuple):
    """One record on its way.

    Attributes:
        kind: Type of the record, as ``wire.record_to_wire`` names it.
        key: What identifies the record; entries of one key must arrive in order.
        payload: The record as ``wire.record_to_wire`` gives it, in JSON.
        content: Bytes of an attachment.
        seq: Place in the line, once it is in the outbox.
    """

    kind: str
    key: str
    payload: bytes
    content: bytes | None = None
    seq: int = 0

    @property
    def size(self) -> int:
        """Bytes of payload and content."""
        return len(self.payload) + len(self.content or b"")


class Outbox:
    """A durable queue. May be used from many threads and processes at once.

    Args:
        path: The file; its folder is created. ``PATH.lease`` is made beside it.
        owner: Whoever hands entries in, to tell its own from those of others.
    """

    def __init__(self, path: Path, *, owner: str) -> None:
        self.path = path
        self.owner = owner
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._process = 0
        self._closed = False
        with self._open():
            pass

    def put(self, entries: Iterable[Entry]) -> int:
        """Commit entries, all or none, and return the place of the last one."""
        rows = [(self.owner, e.kind, e.key, e.payload, e.content) for e in entries]
        with self._open() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO waiting (owner, kind, key, payload, content) VALUES (?, ?, ?, ?, ?)",
                rows,
            )
            found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'waiting'")
            row = found.fetchone()
        return int(row[0]) if row else 0

    def head(self, limit: int, max_bytes: int) -> list[Entry]:
        """Return the first entries in line, up to ``limit`` and, but for one, ``max_bytes``."""
        entries, size = list[Entry](), 0
        with self._open() as connection:
            for row in connection.execute(
                "SELECT kind, key, payload, content, seq FROM waiting ORDER BY seq LIMIT ?",
                (limit,),
            ):
                entry = Entry(*row)
                size += entry.size
                if entries and size > max_bytes:
                    break
                entries.append(entry)
        return entries

    def delivered(self, entries: Sequence[Entry]) -> None:
        """Take entries out that have arrived and that follow one another in line."""
        with self._open() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "DELETE FROM waiting WHERE seq BETWEEN ? AND ?", (entries[0].seq, entries[-1].seq)
            )

    def rejected(self, entry: Entry, reason: str) -> None:
        """Set an entry aside that the server refuses for good. It is kept for inspection."""
        with self._open() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "INSERT OR REPLACE INTO rejected "
                "SELECT seq, owner, kind, key, payload, content, ?, ? FROM waiting WHERE seq = ?",
                (reason, utc_now().isoformat(), entry.seq),
            )
            connection.execute("DELETE FROM waiting WHERE seq = ?", (entry.seq,))

    def count_waiting(self, *, up_to: int | None = None, own: bool = False) -> int:
        """Return the number of entries in line, up to a place or of this owner only."""
        with self._open() as connection:
            found = connection.execute(
                "SELECT count(*) FROM waiting WHERE seq <= ? AND (owner = ? OR NOT ?)",
                (2**63 - 1 if up_to is None else up_to, self.owner, own),
            )
            return int(found.fetchone()[0])

    def rejections(self, *, own: bool = False) -> list[tuple[str, str, str]]:
        """Return kind, key and reason of the entries that were set aside, oldest first."""
        with self._open() as connection:
            found = connection.execute(
                "SELECT kind, key, reason FROM rejected WHERE owner = ? OR NOT ? ORDER BY seq",
                (self.owner, own),
            )
            return [(kind, key, reason) for kind, key, reason in found]

    def read_cached(self, key: str) -> bytes | None:
        """Return a cached value, which has nothing to do with the line but shares its file."""
        with self._open() as connection:
            row = connection.execute("SELECT value FROM cached WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def write_cached(self, key: str, value: bytes) -> None:
        """Store a cached value."""
        with self._open() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT OR REPLACE INTO cached VALUES (?, ?)", (key, value))

    @contextmanager
    def lease(self) -> Iterator[bool]:
        """Hold the right to send while inside the block; yields False if another process does."""
        holder = sqlite3.connect(
            f"{self.path}.lease", timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            try:
                holder.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError:
                yield False
            else:
                yield True
        finally:
            holder.close()

    def close(self) -> None:
        """Close the file. Entries stay in line for whoever opens it next."""
        with self._lock:
            self._closed = True
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with self._lock, explained(self.path):
            if self._closed:
                raise UnavailableError("the storage is closed", remedy="open it again")
            if self._connection is None or self._process != os.getpid():
                self._connection = _connect(self.path)
                self._process = os.getpid()
            yield self._connection


def _connect(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(f"cannot make {path.parent}: {error.strerror}") from error
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > _VERSION:
        connection.close()
        raise SchemaVersionError(
            f"{path} was written by a newer version of this package",
            remedy="update opik-eval to send what is in it",
        )
    if version < _VERSION:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = 1; COMMIT;")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection
