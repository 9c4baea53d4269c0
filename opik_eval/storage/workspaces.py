"""Workspaces: storages of one server that share nothing.

Each workspace is a store of its own, so that no query can reach across; ``control`` is one more,
for what belongs to the server as a whole: keys, roles, the audit trail.

- ``memory:`` each workspace is a memory storage.
- ``file:PATH`` the workspace ``default`` is the file itself; the others are the files
  ``PATH.workspaces/NAME.db``, control is ``PATH.workspaces/.control.db``.
- ``postgresql://...`` each workspace is a schema of the database, ``opik_workspace_NAME``; control
  is the schema ``opik_control``.
"""

from __future__ import annotations

from pathlib import Path

from opik_eval.errors import ConfigError
from opik_eval.storage.opening import needs_driver, parse_target
from opik_eval.storage.workspace_base import (
    DEFAULT_WORKSPACE,
    Workspaces,
    WorkspaceStorage,
    check_name,
)

__all__ = ["DEFAULT_WORKSPACE", "WorkspaceStorage", "Workspaces", "check_name", "open_workspaces"]


def open_workspaces(target: str | None = None) -> Workspaces:
    """Open the workspaces of a server.

    Args:
        target: As for ``open_storage``; the store it names is the default workspace.

    Raises:
        ConfigError: The target names no store that can hold workspaces.
        StorageError: It cannot be opened.

    Example:
        >>> workspaces = open_workspaces("memory:")
        >>> workspaces.create("team-a")
        >>> workspaces.names()
        ['default', 'team-a']
        >>> workspaces.close()
    """
    scheme, place = parse_target(target)
    if scheme == "memory":
        from opik_eval.storage.memory_workspaces import MemoryWorkspaces

        return MemoryWorkspaces()
    if scheme == "file":
        from opik_eval.storage.file_workspaces import FileWorkspaces

        return FileWorkspaces(Path(place).expanduser().absolute())
    if scheme == "postgresql":
        with needs_driver():
            from opik_eval.storage.postgres_workspaces import PostgresWorkspaces

        return PostgresWorkspaces(place)
    raise ConfigError(
        "a server needs a store of its own, not that of another server",
        remedy="give file:PATH, postgresql://HOST/DATABASE or memory:",
    )
