"""The HTTP backend: a tracing server, ours or a real Opik server, behind a durable outbox."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from typing_extensions import override

from opik_eval.storage.base import FlushReport, Storage, Writable
from opik_eval.storage.http_connection import Connection
from opik_eval.storage.http_datasets import HttpDatasets, ItemCache
from opik_eval.storage.http_dialect import Dialect
from opik_eval.storage.http_runs import HttpExperiments, HttpOptimizations, HttpPrompts
from opik_eval.storage.http_state import HttpState
from opik_eval.storage.http_traces import HttpAttachments, HttpTraces

PATIENCE_SECONDS = 30.0
"""How long reads and ``flush`` wait for a server that does not answer."""


class HttpStorage(
    HttpTraces,
    HttpAttachments,
    HttpDatasets,
    HttpExperiments,
    HttpPrompts,
    HttpOptimizations,
    Storage,
):
    """Data on a server.

    ``write`` and ``put_attachment`` commit to the outbox, a file, and return; a thread takes the
    records to the server, again and again until they have arrived, and whoever opens the same
    outbox later goes on where a process that died left off. A read first waits for the writes of
    this storage, so it sees them; it raises ``UnavailableError`` while they cannot be delivered.
    Datasets and prompts, whose names only the server can grant, and changes of items, whose effect
    only it knows, go to it at once; so do deletes.

    ``flush`` without a timeout waits as long as there is progress and gives up 30 seconds after the
    last; at once if the server refuses the key or workspace (401, 403) or asks to wait for longer
    (429 with ``Retry-After``). What is pending then stays in the outbox and is sent later, by this
    process or the next one; the report says why it waits. What the server refuses for good is
    reported there, and stays in the outbox's table ``rejected``. Cached values are kept beside the
    outbox, not on the server.

    Args:
        connection: The server.
        outbox: File of the outbox.
        dialect: How to speak to the server; found out by asking it if ``None``.
        patience_seconds: How long to wait for a server that does not answer.
    """

    def __init__(
        self,
        connection: Connection,
        outbox: Path,
        *,
        dialect: Dialect | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._state = HttpState(
            connection, outbox, dialect=dialect, patience_seconds=patience_seconds
        )
        self._items = ItemCache()

    @property
    @override
    def location(self) -> str:
        return self._state.connection.url

    @override
    def write(self, records: Iterable[Writable]) -> None:
        self._state.write(records)

    @override
    def flush(self, timeout_seconds: float | None = None) -> FlushReport:
        return self._state.flush(timeout_seconds)

    @override
    def close(self) -> None:
        self._state.close()

    @override
    def read_cached(self, key: str) -> bytes | None:
        self._state.check_open()
        return self._state.outbox.read_cached(key)

    @override
    def write_cached(self, key: str, value: bytes) -> None:
        self._state.check_open()
        self._state.outbox.write_cached(key, value)
