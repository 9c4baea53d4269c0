"""What workspaces are, and the rules for their names."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, runtime_checkable

from opik_eval.errors import ConfigError, ConflictError, NotFoundError
from opik_eval.storage.attachment_files import UploadStore
from opik_eval.storage.base import DocumentStore, Storage
from opik_eval.storage.pages import PageStore
from opik_eval.storage.payload_store import PayloadStore
from opik_eval.storage.upkeep import UpkeepStore

DEFAULT_WORKSPACE = "default"
"""The workspace that always exists."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


class ExclusiveStore(Protocol):
    """A store whose users can wait for each other. Not part of ``Storage``."""

    @property
    def exclusive(self) -> AbstractContextManager[object]:
        """Held while something is read, changed and written back: one holder at a time.

        One thread may take it several times. Servers on one PostgreSQL database exclude each
        other; elsewhere it is the lock of this process. It never holds up who does not ask for it.
        """
        ...


@runtime_checkable
class WorkspaceStorage(
    Storage,
    DocumentStore,
    PageStore,
    PayloadStore,
    UpkeepStore,
    UploadStore,
    ExclusiveStore,
    Protocol,
):
    """What a workspace is: a complete storage that keeps documents and shows pages, too."""


class Workspaces(Protocol):
    """The workspaces of one server; may be used from many threads at once.

    Several processes may have the same workspaces open: what one creates or deletes the others see
    at their next call.
    """

    @property
    def location(self) -> str:
        """Where they are, in the form ``open_workspaces`` takes, without secrets."""
        ...

    @property
    def control(self) -> DocumentStore:
        """The documents that belong to no workspace."""
        ...

    def names(self) -> list[str]:
        """Return the names of all workspaces, sorted."""
        ...

    def storage(self, name: str) -> WorkspaceStorage:
        """Return the storage of a workspace: the same object at every call. Do not close it.

        Raises:
            NotFoundError: There is no such workspace.
        """
        ...

    def create(self, name: str) -> None:
        """Make an empty workspace.

        Raises:
            ConfigError: The name is not allowed; ``check_name`` is the rule.
            ConflictError: There is one of that name.
        """
        ...

    def delete(self, name: str) -> None:
        """Delete a workspace with all that is in it.

        Raises:
            NotFoundError: There is no such workspace.
            ConfigError: It is the default one, which cannot be deleted.
        """
        ...

    def backup(self, folder: Path) -> list[Path]:
        """Copy all workspaces and control, while they are in use, into an empty or new folder.

        Returns:
            The files of the copy, which are laid out like the original: a server started on the
            first one has everything.

        Raises:
            ConfigError: The folder is not empty, or this kind of store is backed up otherwise.
        """
        ...

    def close(self) -> None:
        """Close all storages that were handed out."""
        ...


def check_name(name: str) -> None:
    """Check that a text may name a workspace.

    Raises:
        ConfigError: It is not 1 to 40 lower-case letters, digits, ``-`` and ``_``, beginning with
            a letter or digit.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot name a workspace",
            remedy="use 1 to 40 lower-case letters, digits, - and _, beginning with a letter or "
            "digit",
        )


def check_deletable(name: str) -> None:
    """Check that a workspace is not the one that always exists.

    Raises:
        ConfigError: It is.
    """
    if name == DEFAULT_WORKSPACE:
        raise ConfigError(
            f"the workspace {name!r} cannot be deleted", remedy="delete what is in it instead"
        )


def unknown_workspace(name: str) -> NotFoundError:
    """Return the error for a workspace that is not there."""
    return NotFoundError(
        f"there is no workspace {name!r}",
        remedy=f"create it with: opik-eval workspaces create {name}",
    )


def taken_workspace(name: str) -> ConflictError:
    """Return the error for a name that another workspace has."""
    return ConflictError(
        f"there is a workspace {name!r} already", remedy="choose another name, or use that one"
    )
