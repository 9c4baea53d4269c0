"""Workspaces in PostgreSQL: one schema each."""

from __future__ import annotations

import threading
from pathlib import Path

from psycopg import errors
from typing_extensions import override

from opik_eval.errors import ConfigError
from opik_eval.storage.base import DocumentStore
from opik_eval.storage.opening import files_elsewhere
from opik_eval.storage.postgres import PostgresStorage
from opik_eval.storage.postgres_errors import explained
from opik_eval.storage.postgres_pool import Pool, quoted
from opik_eval.storage.workspace_base import (
    DEFAULT_WORKSPACE,
    Workspaces,
    WorkspaceStorage,
    check_deletable,
    check_name,
    taken_workspace,
    unknown_workspace,
)

_PREFIX = "opik_workspace_"
_CONTROL = "opik_control"
_BEGINS = "SELECT nspname, oid FROM pg_namespace WHERE starts_with(nspname, %s)"


class PostgresWorkspaces(Workspaces):
    """A schema for each workspace, and one for control; all share one pool of connections.

    Args:
        url: URL of the database.

    Raises:
        StorageError: It cannot be opened.
    """

    def __init__(self, url: str) -> None:
        self._pool = Pool(url)
        self._lock = threading.RLock()
        self._opened: dict[str, tuple[PostgresStorage, int]] = {}
        try:
            self._control = PostgresStorage(self._pool, _CONTROL)
            self._default = self._open(DEFAULT_WORKSPACE)
        except BaseException:
            self._pool.close()
            raise

    @property
    @override
    def location(self) -> str:
        return self._pool.location

    @property
    @override
    def control(self) -> DocumentStore:
        return self._control

    @override
    def names(self) -> list[str]:
        return sorted(self._schemas())

    @override
    def storage(self, name: str) -> WorkspaceStorage:
        check_name(name)
        if name == DEFAULT_WORKSPACE:
            return self._default
        with self._lock:
            identity = self._schemas(name).get(name)
            known = self._opened.get(name)
            if known is not None and known[1] == identity:
                return known[0]
            self._drop(name)  # another process deleted it, and may have made a new one
            if identity is None:
                raise unknown_workspace(name)
            self._opened[name] = self._open(name), identity
            return self._opened[name][0]

    @override
    def create(self, name: str) -> None:
        check_name(name)
        with explained(self.location), self._pool.lease("public") as connection:
            try:
                connection.execute(f"CREATE SCHEMA {quoted(_PREFIX + name)}")
            except (errors.DuplicateSchema, errors.UniqueViolation):
                raise taken_workspace(name) from None
        self.storage(name)

    @override
    def delete(self, name: str) -> None:
        check_name(name)
        check_deletable(name)
        with self._lock:
            self._drop(name)
            with explained(self.location), self._pool.lease("public") as connection:
                try:
                    connection.execute(f"DROP SCHEMA {quoted(_PREFIX + name)} CASCADE")
                except errors.InvalidSchemaName:
                    raise unknown_workspace(name) from None

    @override
    def backup(self, folder: Path) -> list[Path]:
        raise ConfigError(
            "PostgreSQL is backed up with its own programs",
            remedy="run: pg_dump --format=custom --schema='opik_*' --file=FILE URL "
            "(and pg_restore to bring it back)",
        )

    @override
    def close(self) -> None:
        with self._lock:
            for storage, _ in (*self._opened.values(), (self._default, 0), (self._control, 0)):
                storage.close()
            self._pool.close()

    def _open(self, name: str) -> PostgresStorage:
        return PostgresStorage(self._pool, _PREFIX + name, bucket=files_elsewhere(name))

    def _drop(self, name: str) -> None:
        known = self._opened.pop(name, None)
        if known is not None:
            known[0].close()

    def _schemas(self, name: str = "") -> dict[str, int]:
        """Return the schemas of workspaces whose names begin like this, with their identities."""
        with explained(self.location), self._pool.lease("public") as connection:
            rows = connection.execute(_BEGINS, [_PREFIX + name]).fetchall()
        return {str(row[0]).removeprefix(_PREFIX): int(str(row[1])) for row in rows}
