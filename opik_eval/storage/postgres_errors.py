"""What PostgreSQL reports, said in the errors of this package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors
from psycopg_pool import PoolClosed, PoolTimeout

from opik_eval.errors import StorageError, UnavailableError

_EXPLANATIONS: tuple[tuple[type[Exception], type[StorageError], str, str], ...] = (
    (
        PoolClosed,
        UnavailableError,
        "is closed",
        "open the storage again",
    ),
    (
        PoolTimeout,
        UnavailableError,
        "did not give a connection in time",
        "check that the server runs and takes your name and password; if it does, fewer lists "
        "must be read at the same time",
    ),
    (
        errors.DiskFull,
        UnavailableError,
        "cannot grow: the disk is full",
        "make room and write again; what was stored before is intact",
    ),
    (
        errors.InsufficientPrivilege,
        UnavailableError,
        "does not permit this",
        "grant the role of the URL the right to create schemas and tables, and to write them",
    ),
    (
        errors.ReadOnlySqlTransaction,
        UnavailableError,
        "cannot be written",
        "name the primary server, not a standby",
    ),
    (
        psycopg.DataError,
        StorageError,
        "cannot hold a value",
        "use numbers of at most 64 bits and texts of at most 1 GB",
    ),
    (
        psycopg.OperationalError,
        UnavailableError,
        "could not be reached",
        "check that the server runs and that the URL is right; what was stored is still there",
    ),
)


@contextmanager
def explained(location: str) -> Iterator[None]:
    """Turn errors of PostgreSQL inside the block into errors of this package.

    Args:
        location: The database, without secrets, for the error's text.

    Raises:
        UnavailableError: The server cannot be reached, or refuses.
        StorageError: It cannot hold a value, or its tables were changed by another program.
    """
    try:
        yield
    except psycopg.Error as error:
        raise explain(error, location) from error


def explain(error: psycopg.Error, location: str) -> StorageError:
    """Return the error of this package that says what ``error`` means."""
    text = " ".join(str(error).split())
    for kind, ours, what, remedy in _EXPLANATIONS:
        if isinstance(error, kind):
            return ours(f"{location} {what} ({text})", remedy=remedy)
    return StorageError(
        f"{location} refused a statement ({text})",
        remedy="check that no other program changed its tables",
    )
