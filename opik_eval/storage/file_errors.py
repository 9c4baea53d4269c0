"""What SQLite reports, said in the errors of this package."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opik_eval.errors import StorageError, UnavailableError

_LOCKED = (
    UnavailableError,
    "is locked by another process",
    "wait for the other process to finish its write, or stop it; then try again",
)
_READ_ONLY = (
    UnavailableError,
    "cannot be written",
    "check the permissions of the file and of its folder, or use another path",
)
_CORRUPT = (
    StorageError,
    "is damaged",
    "restore it from a backup, or save what can be read with: sqlite3 FILE .recover; the file was "
    "left as it is",
)
_FAILED = (
    UnavailableError,
    "could not be read or written",
    "check the disk and the permissions of the file and its folder; what was stored is still there",
)
_EXPLANATIONS: dict[int, tuple[type[StorageError], str, str]] = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_PROTOCOL: _LOCKED,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: (
        UnavailableError,
        "cannot be opened",
        "check that the path is right and that you may read and write the file and its folder",
    ),
    sqlite3.SQLITE_FULL: (
        UnavailableError,
        "cannot grow: the disk is full",
        "make room and write again; what was stored before is intact",
    ),
    sqlite3.SQLITE_CORRUPT: _CORRUPT,
    sqlite3.SQLITE_NOTADB: (
        StorageError,
        "is not a database",
        "choose another path; this file was left as it is",
    ),
    sqlite3.SQLITE_TOOBIG: (
        StorageError,
        "cannot hold a value this large",
        "store the value as an attachment",
    ),
}


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of SQLite inside the block into errors of this package.

    Args:
        path: The database file, for the error's text.

    Raises:
        UnavailableError: The file is locked, read-only, full or cannot be reached.
        StorageError: The file is damaged, not a database, or cannot hold a value.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise explain(error, path) from error
    except OverflowError as error:
        raise StorageError(
            f"{path} cannot hold a value: {error}", remedy="use numbers of at most 64 bits"
        ) from error


def explain(error: sqlite3.Error, path: Path) -> StorageError:
    """Return the error of this package that says what ``error`` means for ``path``."""
    code = getattr(error, "sqlite_errorcode", None)
    kind, what, remedy = _FAILED if code is None else _EXPLANATIONS.get(code & 0xFF, _FAILED)
    return kind(f"{path} {what} ({error})", remedy=remedy)


def closed(path: Path) -> UnavailableError:
    """Return the error for the use of a closed storage."""
    return UnavailableError(f"the storage {path} is closed", remedy="open it again")
