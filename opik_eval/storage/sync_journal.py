"""What a sync has done so far, in a file, so that it can go on later."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path

from opik_eval.ids import new_id
from opik_eval.storage.file_errors import explained

_SCHEMA = """
CREATE TABLE IF NOT EXISTS ids (kind TEXT, old TEXT, new TEXT NOT NULL, PRIMARY KEY (kind, old));
CREATE TABLE IF NOT EXISTS done (key TEXT PRIMARY KEY, hash TEXT NOT NULL) WITHOUT ROWID;
"""


class Journal:
    """The new ids of records, and which contents have arrived. For one thread.

    Args:
        path: The file; created if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with explained(path):
            self._connection = sqlite3.connect(path, isolation_level=None)
            self._connection.executescript(_SCHEMA)

    def new_id_of(self, kind: str, old: str) -> str:
        """Return the new id of a record, minted and kept when first asked for."""
        found = self.find_new_id(kind, old)
        if found is None:
            found = new_id()
            self.set_new_id(kind, old, found)
        return found

    def find_new_id(self, kind: str, old: str) -> str | None:
        """Return the new id of a record, if it has one."""
        with explained(self.path):
            row = self._connection.execute(
                "SELECT new FROM ids WHERE kind = ? AND old = ?", (kind, old)
            ).fetchone()
        return None if row is None else str(row[0])

    def set_new_id(self, kind: str, old: str, new: str) -> None:
        """Keep the id that a record has at its destination."""
        with explained(self.path):
            self._connection.execute(
                "INSERT OR REPLACE INTO ids VALUES (?, ?, ?)", (kind, old, new)
            )

    def undone(self, hashes: Mapping[str, str]) -> list[str]:
        """Return the keys whose content has not arrived as it is now."""
        with explained(self.path):
            find = self._connection.execute
            known = {
                key: find("SELECT hash FROM done WHERE key = ?", (key,)).fetchone()
                for key in hashes
            }
        return [key for key, row in known.items() if row is None or row[0] != hashes[key]]

    def knows(self, key: str) -> bool:
        """Return whether a record has arrived, as it is now or as it was."""
        with explained(self.path):
            find = self._connection.execute("SELECT 1 FROM done WHERE key = ?", (key,))
            return find.fetchone() is not None

    def mark_done(self, hashes: Mapping[str, str]) -> None:
        """Keep that contents have arrived."""
        with explained(self.path):
            self._connection.execute("BEGIN")
            self._connection.executemany(
                "INSERT OR REPLACE INTO done VALUES (?, ?)", list(hashes.items())
            )
            self._connection.execute("COMMIT")

    def forget_done(self) -> None:
        """Forget what has arrived, so that all is sent again; new ids are kept."""
        with explained(self.path):
            self._connection.execute("DELETE FROM done")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def joined(parts: Iterable[str]) -> str:
    """Return the parts of a key as one text."""
    return "\x1f".join(parts)
