"""Checkpoints of an SQLite file, which move its write-ahead log into it, beside the writers.

SQLite makes one at the end of a commit, and that writer, with all who wait behind it, stands still
for as long as copying and two flushes of the disk take. Here a thread copies while others write
on, and holds them up only for the rest: what they wrote meanwhile, and one flush.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress

from opik_eval.errors import StorageError

CHECKPOINT_PAGES = 4_096
"""Length of the log at which SQLite makes one itself: 32 MiB, in pages of 8 KiB. Pages that change
all the time go back once for that."""
_CHANGES = 10_000
"""Changes of rows after which the thread does: 10 to 20 MiB where records are small."""
_COMMIT = 30
"""So many changes more take up as much of the log as a commit does by itself."""
_CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"

Borrow = Callable[[Callable[[sqlite3.Connection], object]], object]
"""Calls a function with a connection that nobody else uses."""


class Checkpointer:
    """Makes checkpoints of one file when enough is in its log, each in a thread of its own.

    Args:
        write_lock: Held by whoever writes.

    Attributes:
        lock: Held during a checkpoint; taken before the write lock.
    """

    def __init__(self, write_lock: threading.Lock) -> None:
        self.lock = threading.Lock()
        self._write_lock = write_lock
        self._changes = 0

    def note(self, changes: int, borrow: Borrow) -> None:
        """Note that a transaction has ended; call it under the write lock.

        Args:
            changes: Number of rows that it has changed.
            borrow: Where connections come from.
        """
        self._changes += changes + _COMMIT
        if self._changes >= _CHANGES and not self.lock.locked():
            self._changes = 0
            with suppress(RuntimeError):  # Python ends and starts no more threads
                threading.Thread(
                    target=self._run, args=[borrow], name="opik-eval-checkpoint", daemon=True
                ).start()

    def _run(self, borrow: Borrow) -> None:
        # The file was closed meanwhile; or what fails here SQLite tries again in a commit, whose
        # caller hears of it.
        with self.lock, suppress(sqlite3.Error, StorageError):
            borrow(self._checkpoint)

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        connection.execute(_CHECKPOINT).fetchone()
        with self._write_lock:  # only a log that is moved to its end begins anew
            connection.execute(_CHECKPOINT).fetchone()
