"""The memory backend: dictionaries and one lock, for tests and throw-away runs."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import cast

from typing_extensions import override

from opik_eval.storage.base import FlushReport, Storage, Writable
from opik_eval.storage.memory_datasets import MemoryDatasets
from opik_eval.storage.memory_documents import MemoryDocuments
from opik_eval.storage.memory_pages import MemoryPages
from opik_eval.storage.memory_runs import MemoryExperiments, MemoryOptimizations, MemoryPrompts
from opik_eval.storage.memory_state import MemoryState
from opik_eval.storage.memory_upkeep import MemoryUpkeep
from opik_eval.storage.payload_store import PayloadStore
from opik_eval.storage.wire import Payload
from opik_eval.storage.wire_groups import payload_records


class MemoryStorage(
    MemoryPages,
    MemoryDatasets,
    MemoryExperiments,
    MemoryPrompts,
    MemoryOptimizations,
    MemoryDocuments,
    MemoryUpkeep,
    PayloadStore,
    Storage,
):
    """A storage that lives and dies with its process. Every object is a store of its own.

    Example:
        >>> from opik_eval.records import Trace
        >>> storage = MemoryStorage()
        >>> storage.write([Trace(id="1", name="ask", project_name="demo")])
        >>> [trace.name for trace in storage.list_traces(project_name="Demo")]
        ['ask']
    """

    def __init__(self) -> None:
        self._state = MemoryState()
        self._exclusive = threading.RLock()

    @property
    @override
    def location(self) -> str:
        return "memory:"

    @property
    def exclusive(self) -> AbstractContextManager[object]:
        """Held while something is read, changed and written back; see ``ExclusiveStore``."""
        return self._exclusive

    @override
    def write(self, records: Iterable[Writable]) -> None:
        self._state.write(records)

    @override
    def write_payloads(self, payloads: Sequence[Payload]) -> None:
        self.write(cast("list[Writable]", payload_records(payloads)))

    @override
    def flush(self, timeout_seconds: float | None = None) -> FlushReport:
        with self._state.locked():
            return FlushReport(delivered=self._state.written)

    @override
    def close(self) -> None:
        self._state.close()

    @override
    def read_cached(self, key: str) -> bytes | None:
        with self._state.locked():
            return self._state.cache.get(key)

    @override
    def write_cached(self, key: str, value: bytes) -> None:
        with self._state.locked():
            self._state.cache[key] = value
