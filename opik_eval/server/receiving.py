"""Files on their way in: received into a temporary file, a piece at a time."""

from __future__ import annotations

import hashlib
import tempfile
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import anyio
import anyio.to_thread
from fastapi import Request

from opik_eval.server.bodies import check_announced_size, too_large
from opik_eval.server.failures import FrameworkError
from opik_eval.server.settings import ServerSettings

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class ReceivedFile:
    """A file that was received whole.

    Attributes:
        path: Where it is, until the request ends.
        sha256: Hash of its bytes.
        size_bytes: Their number.
    """

    path: Path
    sha256: str
    size_bytes: int

    async def in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function on a worker thread."""
        return await anyio.to_thread.run_sync(lambda: function(*args, **kwargs))


@asynccontextmanager
async def received_file(request: Request) -> AsyncIterator[ReceivedFile]:
    """Receive the body of a request as a file.

    Raises:
        FrameworkError: It is too large (413) or damaged (400).
    """
    settings: ServerSettings = request.app.state.settings
    limit = settings.max_attachment_bytes
    check_announced_size(request, limit)
    encoding = request.headers.get("content-encoding", "").strip().lower()
    reader = _Gzip() if encoding == "gzip" else _Plain()
    digest, size = hashlib.sha256(), 0
    with tempfile.TemporaryDirectory(prefix="opik-eval-") as folder:
        path = Path(folder) / "content"
        async with await anyio.open_file(path, "wb") as file:
            async for raw in request.stream():
                chunk = reader.take(raw)
                size += len(chunk)
                if size > limit:
                    raise too_large(limit)
                digest.update(chunk)
                await file.write(chunk)
        reader.check_end()
        yield ReceivedFile(path, digest.hexdigest(), size)


class _Plain:
    """Takes bytes as they are."""

    def take(self, chunk: bytes) -> bytes:
        return chunk

    def check_end(self) -> None:
        pass


class _Gzip(_Plain):
    """Decompresses bytes."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def take(self, chunk: bytes) -> bytes:
        try:
            return self._stream.decompress(chunk)
        except zlib.error as error:
            raise FrameworkError(400, "Unable to decompress the body", str(error)) from None

    def check_end(self) -> None:
        if not self._stream.eof:
            raise FrameworkError(400, "Unable to decompress the body", "it is cut off")
