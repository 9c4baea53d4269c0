"""Workspaces in memory."""

from __future__ import annotations

import threading
from pathlib import Path

from typing_extensions import override

from opik_eval.errors import ConfigError
from opik_eval.storage.base import DocumentStore
from opik_eval.storage.memory import MemoryStorage
from opik_eval.storage.workspace_base import (
    DEFAULT_WORKSPACE,
    Workspaces,
    WorkspaceStorage,
    check_deletable,
    check_name,
    taken_workspace,
    unknown_workspace,
)


class MemoryWorkspaces(Workspaces):
    """A memory storage for each workspace."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control = MemoryStorage()
        self._storages = {DEFAULT_WORKSPACE: MemoryStorage()}

    @property
    @override
    def location(self) -> str:
        return "memory:"

    @property
    @override
    def control(self) -> DocumentStore:
        return self._control

    @override
    def names(self) -> list[str]:
        with self._lock:
            return sorted(self._storages)

    @override
    def storage(self, name: str) -> WorkspaceStorage:
        with self._lock:
            found = self._storages.get(name)
        if found is None:
            raise unknown_workspace(name)
        return found

    @override
    def create(self, name: str) -> None:
        check_name(name)
        with self._lock:
            if name in self._storages:
                raise taken_workspace(name)
            self._storages[name] = MemoryStorage()

    @override
    def delete(self, name: str) -> None:
        check_deletable(name)
        with self._lock:
            storage = self._storages.pop(name, None)
        if storage is None:
            raise unknown_workspace(name)
        storage.close()

    @override
    def backup(self, folder: Path) -> list[Path]:
        raise ConfigError(
            "workspaces in memory cannot be backed up", remedy="run the server on a file"
        )

    @override
    def close(self) -> None:
        with self._lock:
            for storage in (*self._storages.values(), self._control):
                storage.close()
