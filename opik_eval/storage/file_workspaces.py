"""Workspaces in files: one SQLite file each."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from typing_extensions import override

from opik_eval.errors import ConfigError, UnavailableError
from opik_eval.storage.attachment_files import FilesElsewhere
from opik_eval.storage.attachments import os_failure
from opik_eval.storage.base import DocumentStore
from opik_eval.storage.file import FileStorage
from opik_eval.storage.opening import files_elsewhere
from opik_eval.storage.workspace_base import (
    DEFAULT_WORKSPACE,
    Workspaces,
    WorkspaceStorage,
    check_deletable,
    check_name,
    taken_workspace,
    unknown_workspace,
)

_CONTROL = ".control"
_SIDE_FILES = ("-wal", "-shm", "-journal")


@dataclass(frozen=True)
class _Opened:
    storage: FileStorage
    inode: int


class FileWorkspaces(Workspaces):
    """A file for each workspace: ``PATH`` for the default one, the others in ``PATH.workspaces``.

    Args:
        path: The file of the default workspace; created if missing.
        elsewhere: Says for a workspace where its attachments go if not beside its file.

    Raises:
        StorageError: It cannot be opened.
    """

    def __init__(
        self, path: Path, elsewhere: Callable[[str], FilesElsewhere | None] = files_elsewhere
    ) -> None:
        self._path = path
        self._elsewhere = elsewhere
        self._folder = path.with_name(path.name + ".workspaces")
        self._lock = threading.RLock()
        self._is_closed = False
        self._opened: dict[str, _Opened] = {}
        self._open(DEFAULT_WORKSPACE)

    @property
    @override
    def location(self) -> str:
        return f"file:{self._path}"

    @property
    @override
    def control(self) -> DocumentStore:
        with self._lock:
            known = self._opened.get(_CONTROL)
            return (known or self._open(_CONTROL)).storage

    @override
    def names(self) -> list[str]:
        found = {path.stem for path in self._folder.glob("[!.]*.db")}
        return sorted({DEFAULT_WORKSPACE, *found})

    @override
    def storage(self, name: str) -> WorkspaceStorage:
        check_name(name)
        with self._lock:
            known, inode = self._opened.get(name), self._inode(name)
            if known is not None and (inode == known.inode or name == DEFAULT_WORKSPACE):
                return known.storage
            self._drop(name)  # another process deleted it, and may have made a new one
            if inode is None:
                raise unknown_workspace(name)
            return self._open(name).storage

    @override
    def create(self, name: str) -> None:
        check_name(name)
        path = self._path_of(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(exist_ok=False)
        except FileExistsError:
            raise taken_workspace(name) from None
        except OSError as error:
            raise os_failure(error, path) from error
        self.storage(name)

    @override
    def delete(self, name: str) -> None:
        check_name(name)
        check_deletable(name)
        with self._lock:
            self._drop(name)
            path = self._path_of(name)
            try:
                path.unlink()
                for suffix in _SIDE_FILES:
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
                shutil.rmtree(path.with_name(path.name + ".blobs"), ignore_errors=True)
            except FileNotFoundError:
                raise unknown_workspace(name) from None
            except OSError as error:
                raise os_failure(error, path) from error

    @override
    def backup(self, folder: Path) -> list[Path]:
        if folder.exists() and any(folder.iterdir()):
            raise ConfigError(f"{folder} is not empty", remedy="name a new folder for each backup")
        copies = []
        for name in (*self.names(), _CONTROL):
            storage = self.control if name == _CONTROL else self.storage(name)
            copy = folder / self._path_of(name).relative_to(self._path.parent)
            cast("FileStorage", storage).copy_to(copy)
            copies.append(copy)
        return sorted(copies, key=lambda copy: copy.parent != folder)

    @override
    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            for opened in self._opened.values():
                opened.storage.close()

    def _open(self, name: str) -> _Opened:
        if self._is_closed:
            raise UnavailableError(f"the workspaces of {self._path} are closed")
        bucket = None if name == _CONTROL else self._elsewhere(name)
        storage = FileStorage(self._path_of(name), bucket=bucket)
        self._opened[name] = _Opened(storage, self._inode(name) or 0)
        return self._opened[name]

    def _drop(self, name: str) -> None:
        known = self._opened.pop(name, None)
        if known is not None:
            known.storage.close()

    def _path_of(self, name: str) -> Path:
        return self._path if name == DEFAULT_WORKSPACE else self._folder / f"{name}.db"

    def _inode(self, name: str) -> int | None:
        try:
            return self._path_of(name).stat().st_ino
        except OSError:
            return None
