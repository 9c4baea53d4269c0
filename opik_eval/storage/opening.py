"""Opening a storage: the only place that names backends."""

from __future__ import annotations

from pathlib import Path

from opik_eval.config import settings
from opik_eval.errors import ConfigError
from opik_eval.storage.base import Storage

_FOLDER = ".opik"
_FILE = "opik.db"
_FORMS = "use memory:, file:PATH (or a path that ends in .db), or leave the target out"


def open_storage(target: str | Storage | None = None) -> Storage:
    """Open a storage, or hand on one that is open.

    Every call with a text opens anew: whoever opens a storage closes it. Several objects may have
    the same file open at once; two ``memory:`` storages share nothing.

    Args:
        target: ``memory:``; ``file:PATH`` or a bare path that ends in ``.db``; an open storage,
            which is returned as it is. ``None`` takes, in this order, the setting
            ``OPIK_EVAL_STORAGE``, the setting ``OPIK_URL_OVERRIDE``, the ``.opik/opik.db`` in this
            folder or the nearest one above it, and else makes ``.opik/opik.db`` in this folder.

    Raises:
        ConfigError: The target has none of these forms.
        StorageError: The file cannot be opened.

    Example:
        >>> open_storage("memory:").location
        'memory:'
    """
    if target is None:
        return _open(_default_target())
    return _open(target) if isinstance(target, str) else target


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


def _open(target: str) -> Storage:
    scheme, _, rest = target.partition(":")
    if target == "memory:":
        return _open_memory()
    if scheme == "file" and rest:
        return _open_file(rest.removeprefix("//") if rest.startswith("///") else rest)
    if scheme in ("http", "https") and rest.startswith("//"):
        return _open_http(target)
    if target.endswith(".db"):
        return _open_file(target)
    raise ConfigError(f"{target!r} does not name a storage", remedy=_FORMS)


def _open_memory() -> Storage:
    from opik_eval.storage.memory import MemoryStorage

    return MemoryStorage()


def _open_file(path: str) -> Storage:
    from opik_eval.storage.file import FileStorage

    return FileStorage(Path(path).expanduser().absolute())


def _open_http(url: str) -> Storage:
    raise ConfigError(
        f"{_without_secrets(url)!r} names a tracing server, but the HTTP backend is not part of "
        "this version, which stores in memory and in files",
        remedy="give file:PATH (as argument or OPIK_EVAL_STORAGE), or unset OPIK_URL_OVERRIDE",
    )


def _without_secrets(url: str) -> str:
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path.partition('?')[0]}"
