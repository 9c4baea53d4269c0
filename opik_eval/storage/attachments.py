"""Content-addressed blobs in a folder: attachments, and payloads too large for a row.

A blob's name is the SHA-256 of its bytes (``ab/abcdef...``), so equal content is stored once and a
damaged file shows. A blob is complete and on disk before its name appears; whoever refers to it
commits afterwards. A crash in between leaves a blob nobody refers to, which does no harm.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from opik_eval.errors import ConflictError, StorageError, UnavailableError

_CHUNK_BYTES = 1 << 20


class Blobs(Protocol):
    """Where the bytes of attachments are, by content."""

    def put_expected(self, content: bytes | Path, *, sha256: str, size_bytes: int) -> None:
        """Store bytes, or a copy of a file, whose hash and size are known.

        Raises:
            ConflictError: The content has another hash or size; nothing is stored.
            UnavailableError: The source cannot be read, or the place cannot be written.
        """
        ...

    def read(self, sha256: str) -> bytes:
        """Return the bytes of that hash.

        Raises:
            StorageError: The blob is missing or damaged.
        """
        ...


class BlobStore(Blobs):
    """Blobs in one folder. May be used from many threads and processes at once.

    Args:
        folder: Where the blobs are; created with the first one.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     blobs = BlobStore(Path(folder))
        ...     sha256 = blobs.put(b"picture")
        ...     blobs.read(sha256)
        b'picture'
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, content: bytes) -> str:
        """Store ``content`` durably and return its SHA-256.

        Raises:
            UnavailableError: The folder cannot be written or the disk is full.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        try:
            os.utime(self._path(sha256))  # who collects garbage sees that it is wanted again
        except FileNotFoundError:
            self._write(iter((content,)))
        except OSError as error:
            raise os_failure(error, self.folder) from error
        return sha256

    def put_expected(self, content: bytes | Path, *, sha256: str, size_bytes: int) -> None:
        """Store bytes, or a copy of a file, whose hash and size are known.

        Raises:
            ConflictError: The content has another hash or size; nothing is stored.
            UnavailableError: The source cannot be read, or the folder cannot be written.
        """
        chunks = chunks_of(content) if isinstance(content, Path) else iter((content,))
        self._write(chunks, expected=(sha256, size_bytes))

    def read(self, sha256: str) -> bytes:
        """Return the bytes of that hash.

        Raises:
            StorageError: The blob is missing or damaged.
            UnavailableError: It cannot be read.
        """
        path = self._path(sha256)
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise StorageError(
                f"{path} is missing: the store refers to it, but the file is gone",
                remedy="restore the folder from a backup; it belongs to the store's file",
            ) from error
        except OSError as error:
            raise os_failure(error, path) from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise StorageError(
                f"{path} is damaged: its content does not have the hash in its name",
                remedy="restore it from a backup, or store the content again",
            )
        return content

    def older_than(self, moment: float) -> Iterator[str]:
        """Yield the hashes of blobs not asked to be stored since a time, in seconds since 1970."""
        for path in self.folder.glob("??/*"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < moment:
                    yield path.name

    def discard(self, sha256: str, *, unused_since: float) -> bool:
        """Delete a blob unless somebody asked to store it again since a time.

        Returns:
            Whether it is gone.
        """
        path = self._path(sha256)
        aside = self.folder / f".discarded-{sha256}"
        # Out of the way first: from then on who wants it stores it anew.
        try:
            path.rename(aside)
            if aside.stat().st_mtime >= unused_since:
                aside.rename(path)
                return False
            aside.unlink()
        except OSError as error:
            raise os_failure(error, path) from error
        return True

    def copy_to(self, folder: Path) -> None:
        """Copy all blobs to another folder."""
        try:
            for path in self.folder.glob("??/*"):
                (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, folder / path.parent.name / path.name)
        except OSError as error:
            raise os_failure(error, folder) from error

    def size_bytes(self) -> int:
        """Return the size of all blobs."""
        return sum(path.stat().st_size for path in self.folder.glob("??/*"))

    def _path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256

    def _write(self, chunks: Iterator[bytes], expected: tuple[str, int] | None = None) -> None:
        """Write to a temporary file, then give it the name that its content demands."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=".incoming-", dir=self.folder)
        except OSError as error:
            raise os_failure(error, self.folder) from error
        incoming = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                found = _copy(chunks, file)
                file.flush()
                os.fsync(file.fileno())
            if expected not in (None, found):
                raise ConflictError(
                    f"the content has SHA-256 {found[0]} and {found[1]} bytes, the attachment "
                    f"says {expected}",
                    remedy="compute sha256 and size_bytes from the content that is handed over",
                )
            self._publish(incoming, self._path(found[0]))
        except OSError as error:
            raise os_failure(error, self.folder) from error
        finally:
            incoming.unlink(missing_ok=True)

    def _publish(self, incoming: Path, path: Path) -> None:
        fresh = not path.parent.exists()
        path.parent.mkdir(exist_ok=True)
        incoming.replace(path)
        sync_folder(path.parent)
        if fresh:
            sync_folder(self.folder)


def os_failure(error: OSError, path: Path) -> UnavailableError:
    """Return the error of this package for a failed operation on files.

    Args:
        error: What the operating system said.
        path: Where, if the error does not say so.
    """
    where = error.filename if isinstance(error.filename, str) else path
    return UnavailableError(
        f"cannot use {where}: {error.strerror or error}",
        remedy="check that the path exists, that you may write there and that the disk has space",
    )


def sync_folder(folder: Path) -> None:
    """Make the names inside ``folder`` durable, where the platform lets folders be synced."""
    if os.name == "nt":  # pragma: no cover - Windows has no handle on folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _copy(chunks: Iterator[bytes], file: BinaryIO) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        size += file.write(chunk)
    return digest.hexdigest(), size


def chunks_of(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file, a piece at a time."""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
