"""Retention in a database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from typing_extensions import override

from opik_eval.storage.microseconds import to_microseconds
from opik_eval.storage.sql_deleting import delete_traces
from opik_eval.storage.sql_store import SqlStore
from opik_eval.storage.upkeep import UpkeepStore

_BATCH = 500


class SqlUpkeep(UpkeepStore):
    """The ``UpkeepStore`` part of a database."""

    _store: SqlStore

    @override
    def delete_traces_before(self, moment: datetime) -> int:
        old = "coalesce(start_time, written_at) < ?"
        return self._delete_batches(old, [to_microseconds(moment)])

    @override
    def shrink_to(self, size_bytes: int) -> int:
        database, deleted = self._store.database, 0
        while (size := database.size_bytes()) > size_bytes:
            ((count,),) = database.rows("SELECT count(*) FROM traces")
            surplus = int(count * (1 - size_bytes / size)) + 1
            gone = self._delete_batches("TRUE", [], most=surplus)
            deleted += gone
            if not gone or not database.gives_room_back:
                break
        self.collect_garbage()
        return deleted

    @override
    def size_bytes(self) -> int:
        return self._store.database.size_bytes()

    @override
    def collect_garbage(self) -> int:
        return 0  # where nothing lies beside the database

    def _delete_batches(
        self, condition: str, parameters: Sequence[object], most: int | None = None
    ) -> int:
        """Delete the traces that satisfy a condition, oldest first, up to ``most`` of them."""
        deleted = 0
        while most is None or deleted < most:
            size = _BATCH if most is None else min(_BATCH, most - deleted)
            rows = self._store.database.rows(
                f"SELECT id FROM traces WHERE {condition} ORDER BY id LIMIT ?",
                [*parameters, size],
            )
            ids = [str(self._store.dialect.text(trace_id)) for (trace_id,) in rows]
            delete_traces(self._store, ids)
            deleted += len(ids)
            if len(ids) < size:
                break
        if deleted and most is None:
            self.collect_garbage()
        return deleted
