"""The two ways in which Opik's interface hands out lists: pages by number, streams by cursor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from opik_eval.serialization import dumps, loads
from opik_eval.storage.http_connection import Connection, Unreachable
from opik_eval.storage.wire_codec import Payload

PAGE_ROWS = 1000
STREAM_ROWS = 2000


def pages(connection: Connection, path: str, params: Mapping[str, str]) -> Iterator[Payload]:
    """Yield the rows of all pages of a list, in the server's order; none of what is not there.

    Raises:
        StorageError: As ``Connection.ask``.
    """
    number = 1
    while True:
        query = {**params, "page": str(number), "size": str(PAGE_ROWS)}
        reply = connection.ask("GET", path, params=query, missing=True)
        if reply.status == 404:
            return
        content = cast("Payload", reply.json())
        rows = cast("list[Payload]", content.get("content") or [])
        yield from rows
        if len(rows) < PAGE_ROWS:
            return
        number += 1


def stream(
    connection: Connection,
    path: str,
    body: Mapping[str, object],
    *,
    cursor: str = "last_retrieved_id",
    row_id: str = "id",
) -> Iterator[Payload]:
    """Yield the rows of a stream, newest first as the server gives them.

    Args:
        connection: The server.
        path: Path of the stream.
        body: What to look for.
        cursor: Field of the body that holds where to go on.
        row_id: Field of a row that the cursor takes.

    Raises:
        StorageError: As ``Connection.ask``.
    """
    asked: dict[str, object] = {**body, "limit": STREAM_ROWS}
    while True:
        with connection.download(path, asked) as lines:
            rows = [_row(line) for line in lines if line.strip()]
        yield from rows
        if len(rows) < STREAM_ROWS:
            return
        asked[cursor] = rows[-1][row_id]


def _row(line: bytes) -> Payload:
    try:
        row = loads(line)
    except ValueError as error:
        raise Unreachable(f"a line of the server's reply is not JSON: {error}") from error
    if not isinstance(row, Mapping) or "id" not in row:
        raise Unreachable(f"the server broke off: {dumps(row).decode()[:200]}")
    return row
