"""Bodies of requests: read with a limit, decompressed, parsed.

Reading happens on the event loop; decompression and parsing happen where a route asks for the
value, on a worker thread.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ParamSpec, TypeVar, cast

import anyio.to_thread
from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError

from opik_eval.serialization import loads
from opik_eval.server.context import RequestContext, charge
from opik_eval.server.failures import FrameworkError, RefusedError, validation_messages
from opik_eval.server.settings import ServerSettings
from opik_eval.server.turns import Turns
from opik_eval.storage.wire_groups import count_records

M = TypeVar("M", bound=BaseModel)
P = ParamSpec("P")
T = TypeVar("T")
_GZIP = 16 + zlib.MAX_WBITS
_LARGE_BYTES = 32_768
_USUAL_RATIO = 8
"""So much smaller is JSON usually when compressed."""


def _free(events: int) -> None:
    """Count nothing."""


@dataclass(frozen=True)
class RawBody:
    """The bytes of a request.

    Attributes:
        content: As they came.
        encoding: How they are compressed: ``gzip``, ``deflate`` or ``""``.
        limit: Largest size after decompression, in bytes.
        charge: Counts the records that a JSON object brings.
        turns: What large bodies wait for.
    """

    content: bytes
    encoding: str
    limit: int
    charge: Callable[[int], None] = _free
    turns: Turns | None = None

    async def in_turn(
        self,
        context: RequestContext,
        function: Callable[P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Call a function that deals with the body on a worker thread; large bodies take turns."""
        size = len(self.content) * (_USUAL_RATIO if self.encoding else 1)
        if self.turns is None or size < _LARGE_BYTES:
            return await anyio.to_thread.run_sync(lambda: function(*args, **kwargs))
        return await self.turns.call(context.workspace, function, *args, **kwargs)

    def data(self) -> bytes:
        """Return the decompressed bytes.

        Raises:
            FrameworkError: They are too many (413) or damaged (400).
        """
        if self.encoding not in ("gzip", "x-gzip", "deflate"):
            return self.content
        bits = zlib.MAX_WBITS if self.encoding == "deflate" else _GZIP
        return _inflate(self.content, bits, self.limit)

    def json(self) -> object:
        """Return the JSON value; NaN and the infinities are taken, as Opik's client sends them.

        Raises:
            FrameworkError: The body is no JSON.
        """
        data = self.data()
        if not data:
            raise FrameworkError(400, "Unable to process JSON", "the body is empty")
        return parse_json(data)

    def object(self) -> dict[str, object]:
        """Return the JSON object.

        Raises:
            FrameworkError: The body is no JSON object.
        """
        value = self.json()
        if not isinstance(value, dict):
            raise FrameworkError(400, "Unable to process JSON", "the body is not an object")
        found = cast("dict[str, object]", value)
        self.charge(_events_in(found))
        return found

    def parse(self, model: type[M]) -> M:
        """Return the body as a model of it.

        Raises:
            RefusedError: It does not fit (422).
        """
        try:
            return model.model_validate(self.object())
        except ValidationError as error:
            raise RefusedError(422, *validation_messages(error)) from None


def parse_json(data: bytes) -> object:
    """Return the value of a JSON text.

    Raises:
        FrameworkError: It is no JSON, no UTF-8, or nested too deep.
    """
    try:
        return loads(data)
    except ValueError:
        pass  # perhaps it has bare NaN; else the slower parser says what is wrong
    try:
        return cast("object", json.loads(data.decode()))
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 at byte {error.start}"
    except RecursionError:
        reason = "nested too deep"
    except ValueError as error:
        reason = str(error)
    raise FrameworkError(400, "Unable to process JSON", reason)


async def read_body(request: Request) -> RawBody:
    """Return the body of a request; what is too large is refused while it comes."""
    settings: ServerSettings = request.app.state.settings
    limit = settings.max_body_bytes
    check_announced_size(request, limit)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        chunks.append(chunk)
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
        raise FrameworkError(415, f"Unsupported content encoding {encoding!r}", "use gzip")
    charged = partial(charge, request)
    return RawBody(b"".join(chunks), encoding, limit, charged, request.app.state.turns)


def check_announced_size(request: Request, limit: int) -> None:
    """Refuse a body by its ``Content-Length`` before it is read."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise too_large(limit)


def too_large(limit: int) -> FrameworkError:
    """Return the error for a body beyond the limit."""
    return FrameworkError(
        413,
        f"The request size exceeds the maximum allowed size of {limit} bytes",
        "send fewer records per request",
    )


def _events_in(payload: dict[str, object]) -> int:
    """Return the number of records that a payload brings: the length of its longest list."""
    parts = [part for part in payload.values() if isinstance(part, list)]
    return max(map(count_records, parts), default=0) or 1


def _inflate(content: bytes, bits: int, limit: int) -> bytes:
    parts: list[bytes] = []
    room = limit + 1
    while content:
        stream = zlib.decompressobj(bits)
        try:
            part = stream.decompress(content, room)
        except zlib.error as error:
            raise FrameworkError(400, "Unable to decompress the body", str(error)) from None
        parts.append(part)
        room -= len(part)
        if room <= 0:
            raise too_large(limit)
        if not stream.eof:
            raise FrameworkError(400, "Unable to decompress the body", "it is cut off")
        content = stream.unused_data
    return b"".join(parts)


Body = Annotated[RawBody, Depends(read_body)]
