"""What is the same in all storages whose records are in an SQL database."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager

from typing_extensions import override

from opik_eval.storage.base import FlushReport, Storage, Writable
from opik_eval.storage.payload_store import PayloadStore
from opik_eval.storage.sql_datasets import SqlDatasets
from opik_eval.storage.sql_documents import SqlDocuments
from opik_eval.storage.sql_pages import SqlPages
from opik_eval.storage.sql_runs import SqlCache, SqlExperiments, SqlOptimizations, SqlPrompts
from opik_eval.storage.sql_store import SqlStore
from opik_eval.storage.sql_traces import SqlTraces
from opik_eval.storage.sql_upkeep import SqlUpkeep
from opik_eval.storage.wire_codec import Payload


class SqlStorage(
    SqlTraces,
    SqlPages,
    SqlDatasets,
    SqlExperiments,
    SqlPrompts,
    SqlOptimizations,
    SqlCache,
    SqlDocuments,
    SqlUpkeep,
    PayloadStore,
    Storage,
):
    """A storage in an SQL database; the subclass opens and closes it.

    Args:
        store: The open database.
        location: Where it is, in the form ``open_storage`` takes, without secrets.
        exclusive: See ``ExclusiveStore``; a lock of this process if absent.
    """

    def __init__(
        self,
        store: SqlStore,
        location: str,
        *,
        exclusive: AbstractContextManager[object] | None = None,
    ) -> None:
        self._store = store
        self._location = location
        self._exclusive = exclusive or threading.RLock()

    @property
    @override
    def location(self) -> str:
        return self._location

    @property
    def exclusive(self) -> AbstractContextManager[object]:
        """Held while something is read, changed and written back; see ``ExclusiveStore``."""
        return self._exclusive

    @override
    def write(self, records: Iterable[Writable]) -> None:
        self._store.writer.write(records)

    @override
    def write_payloads(self, payloads: Sequence[Payload]) -> None:
        self._store.writer.write_payloads(payloads)

    @override
    def flush(self, timeout_seconds: float | None = None) -> FlushReport:
        self._store.database.check_open()
        return FlushReport(delivered=self._store.writer.written)
