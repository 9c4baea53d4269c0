"""The outbox: what was acknowledged and has not reached its server yet, in one SQLite file.

A write is committed here before it is acknowledged, so it survives the process. Entries leave in
the order in which they came; whoever holds the lease sends them, in any process. The lease is a
lock on a file beside, which the operating system drops with its holder, however that ends.

Records that are put in together share a row as long as nothing parts them, because a row for each
would cost more than all the rest. The row holds them in the form in which they are sent. Each has a
place in line; the row has that of its last one. What leaves a row before the others leaves ``null``
behind.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import accumulate, chain
from pathlib import Path
from typing import NamedTuple, cast

from opik_eval.errors import SchemaVersionError, UnavailableError
from opik_eval.records import Span, Trace, utc_now
from opik_eval.serialization import dumps, loads
from opik_eval.storage.file_errors import explained
from opik_eval.storage.wire import Payload, record_to_wire
from opik_eval.storage.wire_groups import group_records, group_to_json

_VERSION = 3
_STEPS = {
    1: """
CREATE TABLE waiting (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, kind TEXT NOT NULL,
    key TEXT NOT NULL, payload BLOB NOT NULL, content BLOB);
CREATE INDEX waiting_by_owner ON waiting (owner, seq);
CREATE TABLE rejected (
    seq INTEGER PRIMARY KEY, owner TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
    payload BLOB NOT NULL, content BLOB, reason TEXT NOT NULL, rejected_at TEXT NOT NULL);
CREATE TABLE cached (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
""",
    2: """
ALTER TABLE waiting ADD COLUMN first INTEGER NOT NULL DEFAULT 0;
ALTER TABLE waiting ADD COLUMN records INTEGER NOT NULL DEFAULT 1;
UPDATE waiting SET first = seq;
""",
    # What is counted comes first: SQLite walks through a long payload to what is behind it.
    3: """
ALTER TABLE waiting RENAME TO old;
DROP INDEX waiting_by_owner;
CREATE TABLE waiting (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, first INTEGER NOT NULL, records INTEGER NOT NULL,
    owner TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, payload BLOB NOT NULL,
    content BLOB);
INSERT INTO waiting SELECT seq, first, records, owner, kind, key, payload, content FROM old;
DELETE FROM sqlite_sequence WHERE name = 'waiting';
INSERT INTO sqlite_sequence (name, seq) SELECT 'waiting', seq FROM sqlite_sequence
    WHERE name = 'old';
DROP TABLE old;
CREATE INDEX waiting_by_owner ON waiting (owner, seq);
""",
}
"""The statements that bring the tables to a version from the one before it."""
_MANY = ""
"""The kind of an entry that holds several records of any types."""
_GROUPS = {"trace[]": "trace", "span[]": "span"}
"""Kinds of entries that hold a group, and those of its records."""
_BUSY_MILLISECONDS = 30_000


class Entry(NamedTuple):
    """One record on its way, or several.

    Attributes:
        kind: Type of the record, as ``wire.record_to_wire`` names it; ``""`` for several; that of a
            group ends in ``[]``.
        key: What identifies the record; entries of one key must arrive in order. For several
            records a JSON list of their kinds and keys, in turn; for a group one of their keys.
        payload: The record as ``wire.record_to_wire`` gives it, in JSON; several with commas
            between them; a group as ``wire_groups.group_to_json`` gives it.
        content: Bytes of an attachment.
        seq: Place in the line, that of the last record, once it is in the outbox.
        records: Number of records.
    """

    kind: str
    key: str
    payload: bytes
    content: bytes | None = None
    seq: int = 0
    records: int = 1

    @classmethod
    def of_many(cls, names: Sequence[tuple[str, str]], payloads: Sequence[object]) -> Entry:
        """Return an entry for several records.

        Args:
            names: Kind and key of each.
            payloads: The records as ``wire.record_to_wire`` gives them; ``None`` for one that is
                gone.
        """
        text = dumps([*chain.from_iterable(names)]).decode()
        return cls(_MANY, text, dumps(payloads, sort_keys=False)[1:-1], records=len(payloads))

    @classmethod
    def of_group(cls, records: Sequence[Trace | Span]) -> Entry:
        """Return an entry for records of one type, at least one."""
        kind = "trace[]" if isinstance(records[0], Trace) else "span[]"
        keys = dumps([record.id for record in records]).decode()
        return cls(kind, keys, group_to_json(records), records=len(records))

    @property
    def size(self) -> int:
        """Bytes of payload and content."""
        return len(self.payload) + len(self.content or b"")

    @property
    def first(self) -> int:
        """Place of the first record."""
        return self.seq - self.records + 1

    def keys(self) -> Sequence[str]:
        """Return the keys of the records."""
        if self.kind in _GROUPS:
            return cast("list[str]", loads(self.key))
        return [self.key] if self.kind != _MANY else cast("list[str]", loads(self.key))[1::2]

    def payloads(self) -> list[Payload | None]:
        """Return the payload of each record; ``None`` for one that is gone."""
        if self.kind in _GROUPS:
            return [*map(record_to_wire, group_records(cast("Payload", loads(self.payload))))]
        return cast("list[Payload | None]", loads(b"[%b]" % self.payload))

    def parts(self) -> list[Entry]:
        """Return an entry for each record."""
        if self.kind != _MANY and self.kind not in _GROUPS:
            return [self]
        return [
            Entry(kind, key, dumps(payload, sort_keys=False), None, seq)
            for (kind, key), payload, seq in zip(
                self._names(), self.payloads(), range(self.first, self.seq + 1), strict=True
            )
            if payload is not None
        ]

    def ungrouped(self) -> Entry:
        """Return the same records, not as a group."""
        if self.kind not in _GROUPS:
            return self
        return Entry.of_many(self._names(), self.payloads())._replace(seq=self.seq)

    def without(self, first: int, last: int) -> Entry:
        """Return what is left when the records of some places are gone."""
        payloads = self.payloads()
        payloads[first - self.first : last + 1 - self.first] = [None] * (last + 1 - first)
        return Entry.of_many(self._names(), payloads)._replace(seq=self.seq)

    def _names(self) -> Sequence[tuple[str, str]]:
        """Return kind and key of each record."""
        if self.kind != _MANY:
            return [(_GROUPS.get(self.kind, self.kind), key) for key in self.keys()]
        found = cast("list[str]", loads(self.key))
        return [*zip(found[::2], found[1::2], strict=True)]


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
        given = list(entries)
        with self._open() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'waiting'")
            (before,) = found.fetchone() or (0,)
            places = [*accumulate((entry.records for entry in given), initial=before)]
            connection.executemany(
                "INSERT INTO waiting (owner, kind, key, payload, content, first, seq, records) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (self.owner, *entry[:4], last + 1, last + entry.records, entry.records)
                    for entry, last in zip(given, places, strict=False)
                ],
            )
        return int(places[-1])

    def head(self, limit: int, max_bytes: int, *, after: int = 0) -> list[Entry]:
        """Return the first entries in line.

        Args:
            limit: Greatest number of records, but for one entry.
            max_bytes: Greatest size, but for one entry.
            after: A place; the entries behind it only.
        """
        entries, records, size = list[Entry](), 0, 0
        with self._open() as connection:
            for *fields, left in connection.execute(
                "SELECT kind, key, payload, content, seq, seq - first + 1, records FROM waiting "
                "WHERE seq > ? ORDER BY seq LIMIT ?",
                (after, limit),
            ):
                entry = Entry(*fields)
                size += entry.size
                records += left
                if entries and (size > max_bytes or records > limit):
                    break
                entries += [entry] if left == entry.records else entry.parts()
        return entries

    def delivered(self, entries: Sequence[Entry]) -> None:
        """Take entries out that have arrived and that follow one another in line."""
        with self._open() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            _take_out(connection, entries[0].first, entries[-1].seq)

    def rejected(self, entry: Entry, reason: str) -> None:
        """Set an entry aside that the server refuses for good. It is kept for inspection."""
        with self._open() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "INSERT OR REPLACE INTO rejected SELECT ?, owner, ?, ?, ?, ?, ?, ? FROM waiting "
                "WHERE seq >= ? ORDER BY seq LIMIT 1",
                (
                    *(entry.seq, entry.kind, entry.key, entry.payload, entry.content),
                    *(reason, utc_now().isoformat(), entry.seq),
                ),
            )
            _take_out(connection, entry.seq, entry.seq)

    def is_waiting(self, up_to: int) -> bool:
        """Return whether an entry up to a place that ``put`` has returned is still in line."""
        with self._open() as connection:
            return bool(
                connection.execute(
                    "SELECT EXISTS (SELECT 1 FROM waiting WHERE seq <= ?)", (up_to,)
                ).fetchone()[0]
            )

    def count_waiting(self, *, up_to: int | None = None, own: bool = False) -> int:
        """Return the number of entries in line, of this owner only or up to a place.

        Args:
            up_to: A place that ``put`` has returned.
            own: Count the entries of this owner only.
        """
        with self._open() as connection:
            found = connection.execute(
                "SELECT coalesce(sum(records), 0) FROM waiting "
                "WHERE seq <= ? AND (owner = ? OR NOT ?)",
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
            self._let_go()

    def __del__(self) -> None:
        # Who leaves it unclosed loses nothing; from Python 3.13 on, it would warn of that.
        with suppress(AttributeError):  # it was never made
            self._let_go()

    def _let_go(self) -> None:
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


def _take_out(connection: sqlite3.Connection, first: int, last: int) -> None:
    """Take the records of some places out of the line."""
    connection.execute(
        "DELETE FROM waiting WHERE seq BETWEEN ? AND ? AND first >= ?", (first, last, first)
    )
    # Of the rows that are left only the next two can hold such places.
    for row in connection.execute(
        "SELECT kind, key, payload, content, seq, seq - first + 1 FROM waiting WHERE first <= ? "
        "AND seq IN (SELECT seq FROM waiting WHERE seq >= ? ORDER BY seq LIMIT 2)",
        (last, first),
    ).fetchall():
        entry = Entry(*row)
        _keep(connection, entry.without(max(first, entry.first), min(last, entry.seq)))


def _keep(connection: sqlite3.Connection, entry: Entry) -> None:
    """Leave in a row what is not gone."""
    records = sum(payload is not None for payload in entry.payloads())
    if records:
        connection.execute(
            "UPDATE waiting SET kind = ?, key = ?, payload = ?, records = ? WHERE seq = ?",
            (entry.kind, entry.key, entry.payload, records, entry.seq),
        )
    else:
        connection.execute("DELETE FROM waiting WHERE seq = ?", (entry.seq,))


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
        _migrate(connection)
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to the current version, unless another process does it meanwhile."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for step in range(version + 1, _VERSION + 1):
            for statement in _STEPS[step].strip().split(";\n"):
                connection.execute(statement.rstrip(";"))
        connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
