"""What the parts of the file backend share: the database, the blobs, the codecs, the writer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar, cast

from opik_eval.records import Record
from opik_eval.storage import file_tables as tables
from opik_eval.storage.attachments import BlobStore
from opik_eval.storage.file_connections import Connections
from opik_eval.storage.file_database import Database
from opik_eval.storage.file_tables import RowCodec, Table, json_array
from opik_eval.storage.file_writing import RecordWriter

R = TypeVar("R", bound=Record)

_WRITABLE = (
    tables.PROJECTS,
    tables.TRACES,
    tables.SPANS,
    tables.FEEDBACK_SCORES,
    tables.DATASETS,
    tables.EXPERIMENTS,
    tables.EXPERIMENT_ITEMS,
    tables.PROMPTS,
    tables.PROMPT_VERSIONS,
    tables.OPTIMIZATIONS,
)
_OTHERS = (tables.ATTACHMENTS, tables.DATASET_ITEMS, tables.DATASET_VERSIONS)


class FileStore:
    """One open file with everything that reads and writes it.

    Args:
        path: The SQLite file; large payloads and attachments are in ``PATH.blobs``.
        busy_timeout_seconds: How long to wait for a lock that another process holds.
        payload_limit_bytes: Longer JSON is stored beside the file.
        write_ahead: Use write-ahead logging where the file system can.
    """

    def __init__(
        self,
        path: Path,
        *,
        busy_timeout_seconds: float,
        payload_limit_bytes: int,
        write_ahead: bool,
    ) -> None:
        self.blobs = BlobStore(path.with_name(path.name + ".blobs"))
        self.database = Database(
            Connections(
                path,
                self.blobs,
                busy_timeout_seconds=busy_timeout_seconds,
                write_ahead=write_ahead,
            )
        )
        self._codecs: dict[type[Record], RowCodec[Record]] = {
            table.kind: RowCodec(cast("Table[Record]", table), self.blobs, payload_limit_bytes)
            for table in (*_WRITABLE, *_OTHERS)
        }
        writable: dict[type[Record], RowCodec[Record]] = {
            table.kind: self._codecs[table.kind] for table in _WRITABLE
        }
        self.writer = RecordWriter(self.database, writable)

    def codec(self, table: Table[R]) -> RowCodec[R]:
        """Return the codec of a table."""
        return cast("RowCodec[R]", self._codecs[table.kind])

    def find(self, table: Table[R], condition: str, *parameters: object) -> R | None:
        """Return the first record that satisfies an SQL condition."""
        return next(self.select(table, condition, parameters, limit=1), None)

    def select(
        self,
        table: Table[R],
        condition: str = "TRUE",
        parameters: Sequence[object] = (),
        *,
        order: str = "id",
        limit: int | None = None,
    ) -> Iterator[R]:
        """Return the records that satisfy an SQL condition, as they are at this call.

        Args:
            table: Where to look.
            condition: An SQL expression; values only as ``?``.
            parameters: The values.
            order: SQL of the ordering.
            limit: Greatest number of records; ``None`` = all.
        """
        codec = self.codec(table)
        sql = f"SELECT {codec.selection} FROM {table.name} WHERE {condition} ORDER BY {order}"
        if limit is not None:
            sql, parameters = f"{sql} LIMIT ?", (*parameters, max(limit, 0))
        return self.database.stream(sql, parameters, codec.decode)

    def delete(self, *statements: str, ids: Sequence[str]) -> None:
        """Run statements that delete, in one transaction.

        Args:
            *statements: SQL; each ``:ids`` is the JSON array of ``ids``, for ``json_each``.
            ids: What to delete.
        """
        with self.database.transaction() as connection:
            for statement in statements:
                connection.execute(statement, {"ids": json_array(ids)})
