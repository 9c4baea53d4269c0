"""Retention in memory."""

from __future__ import annotations

from datetime import UTC, datetime

from typing_extensions import override

from opik_eval.storage.memory_traces import MemoryTraces
from opik_eval.storage.upkeep import UpkeepStore

_BATCH = 100
_NEVER = datetime.max.replace(tzinfo=UTC)


class MemoryUpkeep(MemoryTraces, UpkeepStore):
    """The ``UpkeepStore`` part of the memory backend."""

    @override
    def delete_traces_before(self, moment: datetime) -> int:
        with self._state.locked():
            table = self._state.traces
            written = {key: row.written_at for key, row in table.items()}
            starts = {trace.id: trace.start_time for trace in table.records()}
        old = [key for (key,), at in written.items() if (starts[key] or at or _NEVER) < moment]
        self.delete_traces(old)
        return len(old)

    @override
    def shrink_to(self, size_bytes: int) -> int:
        deleted = 0
        while self.size_bytes() > size_bytes:
            with self._state.locked():
                oldest = [key for (key,) in self._state.traces.keys()[:_BATCH]]
            if not oldest:
                break
            self.delete_traces(oldest)
            deleted += len(oldest)
        return deleted

    @override
    def collect_garbage(self) -> int:
        return 0  # attachments go with what they belong to

    @override
    def size_bytes(self) -> int:
        state = self._state
        with state.locked():
            tables = (state.traces, state.spans, state.scores, state.experiment_items)
            rows = sum(len(row.text) for table in tables for _, row in table.items())
            return rows + sum(len(content) for _, content in state.attachments.values())
