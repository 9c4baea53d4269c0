"""Opening a storage: the only place that names backends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opik_eval.config import settings
from opik_eval.errors import ConfigError, NotFoundError
from opik_eval.serialization import content_hash
from opik_eval.storage.attachment_files import FilesElsewhere
from opik_eval.storage.base import Storage

_FOLDER = ".opik"
_FILE = "opik.db"
_FORMS = (
    "use memory:, file:PATH (or a path that ends in .db), postgresql://HOST/DATABASE, "
    "http(s)://HOST/..., or leave it out"
)
_POSTGRES = ("postgresql", "postgres")


def open_storage(target: str | Storage | None = None, *, create: bool = True) -> Storage:
    """Open a storage, or hand on one that is open.

    Every call with a text opens anew: whoever opens a storage closes it. Several objects may have
    the same file open at once; two ``memory:`` storages share nothing.

    Args:
        target: ``memory:``; ``file:PATH`` or a bare path that ends in ``.db``; the URL of a
            PostgreSQL database (``postgresql://user:password@host/database``); the base URL of a
            tracing server, such as ``http://localhost:5173/api``, whose key and workspace the
            settings say; an open storage, which is returned as it is. ``None`` takes, in this
            order, the setting ``OPIK_EVAL_STORAGE``, the setting ``OPIK_URL_OVERRIDE``, the
            ``.opik/opik.db`` in this folder or the nearest one above it, and else makes
            ``.opik/opik.db`` in this folder.

        create: Make a file that is not there; else that is an error.

    Raises:
        ConfigError: The target has none of these forms.
        NotFoundError: There is no such file, and none is to be made.
        StorageError: It cannot be opened.

    Example:
        >>> open_storage("memory:").location
        'memory:'
    """
    if target is None or isinstance(target, str):
        return _open(target, create=create)
    return target


def nearest_file(folder: Path) -> Path:
    """Return the default file for a folder: its ``.opik/opik.db`` or the nearest one above it.

    Where there is none, that of ``folder`` itself. A folder counts if it holds ``.opik/opik.db``,
    so that a ``.opik`` of another tool is passed by.
    """
    candidates = (place / _FOLDER / _FILE for place in (folder, *folder.parents))
    return next((path for path in candidates if path.is_file()), folder / _FOLDER / _FILE)


def _default_target() -> str:
    configured = settings().storage or settings().url_override
    return configured or f"file:{nearest_file(Path.cwd())}"


def parse_target(target: str | None = None) -> tuple[str, str]:
    """Return the kind of store that a target names, and where it is.

    Args:
        target: As for ``open_storage``.

    Returns:
        ``("memory", "")``, ``("file", PATH)``, ``("postgresql", URL)`` or ``("http", URL)``.

    Raises:
        ConfigError: The target has none of the known forms.
    """
    target = _default_target() if target is None else target
    scheme, _, rest = target.partition(":")
    if target == "memory:":
        return "memory", ""
    if scheme == "file" and rest:
        return "file", rest.removeprefix("//") if rest.startswith("///") else rest
    if scheme in ("http", "https") and rest.startswith("//"):
        return "http", target
    if scheme in _POSTGRES and rest.startswith("//"):
        return "postgresql", target
    if target.endswith(".db"):
        return "file", target
    raise ConfigError(f"{target!r} does not name a storage", remedy=_FORMS)


def _open(target: str | None, *, create: bool) -> Storage:
    kind, place = parse_target(target)
    if kind == "memory":
        from opik_eval.storage.memory import MemoryStorage

        return MemoryStorage()
    if kind == "file":
        return _open_file(Path(place).expanduser().absolute(), create=create)
    return _open_postgres(place) if kind == "postgresql" else open_server(place)


def _open_file(path: Path, *, create: bool) -> Storage:
    from opik_eval.storage.file import FileStorage

    if not create and not path.exists():
        raise NotFoundError(
            f"there is no store {path}",
            remedy="evaluate something first (opik-eval demo), or say where the store is with "
            "--storage or OPIK_EVAL_STORAGE",
        )
    return FileStorage(path, bucket=files_elsewhere())


def _open_postgres(url: str) -> Storage:
    with needs_driver():
        from opik_eval.storage.postgres import PostgresStorage

    return PostgresStorage(url, bucket=files_elsewhere())


def files_elsewhere(workspace: str = "default") -> FilesElsewhere | None:
    """Return where the attachments of a workspace go if the settings name a bucket.

    Raises:
        ConfigError: The settings of the bucket cannot be used.
    """
    if not settings().s3_bucket:
        return None
    from opik_eval.storage.s3_files import files_in_bucket

    return files_in_bucket(settings(), workspace)


@contextmanager
def needs_driver() -> Iterator[None]:
    """Say how to install the driver of PostgreSQL if an import in the block does not find it.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            f"the driver of PostgreSQL cannot be used: {error}",
            remedy='install it with: pip install "opik-eval[postgres]"',
        ) from error


def open_server(url: str, *, workspace: str | None = None, api_key: str | None = None) -> Storage:
    """Open a storage on a tracing server. Its outbox is beside the default file of this folder.

    Args:
        url: Base URL.
        workspace: Workspace there; else what the settings say.
        api_key: Key; else what the settings say.

    Raises:
        ConfigError: The URL is wrong.
        UnavailableError: The outbox cannot be written.
    """
    from opik_eval.storage.http import HttpStorage
    from opik_eval.storage.http_connection import Connection

    known = settings()
    workspace = workspace or known.workspace
    connection = Connection(url, workspace=workspace, api_key=api_key or known.api_key)
    return HttpStorage(connection, outbox_path(connection.url, workspace, Path.cwd()))


def outbox_path(url: str, workspace: str, folder: Path) -> Path:
    """Return the file of the outbox for a workspace of a server, beside a folder's default file.

    Args:
        url: Base URL, as ``http_connection.normalised_url`` gives it.
        workspace: Name of the workspace.
        folder: Folder that the program runs in.
    """
    name = content_hash([url, workspace])[:16]
    return nearest_file(folder).parent / "outbox" / f"{name}.db"
