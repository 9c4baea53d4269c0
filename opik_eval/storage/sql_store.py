"""What the parts of a database backend share: the database, the files, the codecs, the writers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TypeVar, cast

from opik_eval.records import Record
from opik_eval.storage import sql_tables as tables
from opik_eval.storage.attachment_files import AttachmentFiles
from opik_eval.storage.sql_dialect import Database, Dialect, Transaction
from opik_eval.storage.sql_filter import CompiledFilter
from opik_eval.storage.sql_payloads import Payloads
from opik_eval.storage.sql_tables import RowCodec, Table
from opik_eval.storage.sql_writing import RecordWriter

R = TypeVar("R", bound=Record)
_SHORT_ROWS = 500

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
_OTHERS = (tables.ATTACHMENTS, tables.DATASET_ITEMS, tables.DATASET_VERSIONS, tables.DOCUMENTS)


class SqlStore:
    """One open database with everything that reads and writes it.

    Args:
        database: The database.
        files: Where the bytes of attachments are.
        payloads: Where long JSON goes; ``None`` = into the rows.
    """

    def __init__(
        self, database: Database, files: AttachmentFiles, payloads: Payloads | None = None
    ) -> None:
        self.database = database
        self.files = files
        self._codecs: dict[type[Record], RowCodec[Record]] = {
            table.kind: RowCodec(cast("Table[Record]", table), database.dialect, payloads)
            for table in (*_WRITABLE, *_OTHERS)
        }
        writable: dict[type[Record], RowCodec[Record]] = {
            table.kind: self._codecs[table.kind] for table in _WRITABLE
        }
        self.writer = RecordWriter(database, writable)
        documents = cast("RowCodec[Record]", self.codec(tables.DOCUMENTS))
        self.document_writer = RecordWriter(database, {tables.DOCUMENTS.kind: documents})

    @property
    def dialect(self) -> Dialect:
        """How the database says what SQL has no common words for."""
        return self.database.dialect

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
        skip: int = 0,
    ) -> Iterator[R]:
        """Return the records that satisfy an SQL condition, as they are at this call.

        Args:
            table: Where to look.
            condition: An SQL expression; values only as ``?``.
            parameters: The values.
            order: SQL of the ordering.
            limit: Greatest number of records; ``None`` = all.
            skip: How many records to pass over first; with a limit only.
        """
        codec = self.codec(table)
        sql = f"SELECT {codec.selection} FROM {table.name} WHERE {condition} ORDER BY {order}"
        if limit is not None:
            sql, parameters = f"{sql} LIMIT ? OFFSET ?", (*parameters, max(limit, 0), skip)
            if limit <= _SHORT_ROWS:
                return map(codec.decode, self.database.rows(sql, parameters))
        return self.database.stream(sql, parameters, codec.decode_many)

    def select_where(
        self,
        table: Table[R],
        where: CompiledFilter,
        *,
        newest_first: bool = False,
        limit: int | None = None,
        skip: int = 0,
    ) -> Iterator[R]:
        """Return the records that satisfy a compiled filter, by id."""
        order = "id DESC" if newest_first else "id"
        holds = where.holds
        if holds is None:
            return self.select(
                table, where.sql, where.parameters, order=order, limit=limit, skip=skip
            )
        codec = self.codec(table)
        columns, width = ", ".join([codec.selection, *where.columns]), len(codec.columns)
        found = self.database.stream(
            f"SELECT {columns} FROM {table.name} WHERE {where.sql} ORDER BY {order}",
            [*where.column_parameters, *where.parameters],
            lambda rows: zip(codec.decode_many(rows), [row[width:] for row in rows], strict=True),
        )
        kept = (record for record, tail in found if holds(record, tail))
        return islice(kept, skip, None if limit is None else skip + limit)

    def count_where(self, table: Table[R], where: CompiledFilter) -> int:
        """Return the number of records that satisfy a compiled filter."""
        if where.holds is not None:
            return sum(1 for _ in self.select_where(table, where))
        rows = self.database.rows(
            f"SELECT count(*) FROM {table.name} WHERE {where.sql}", where.parameters
        )
        return int(rows[0][0])

    def delete(self, *places: tuple[str, str], values: Sequence[str]) -> None:
        """Delete rows in one transaction.

        Args:
            *places: Tables, each with the column that decides.
            values: Rows go whose column is among these.
        """
        given = self.dialect.array(values)

        def delete(transaction: Transaction) -> None:
            for table, column in places:
                sql = f"DELETE FROM {table} WHERE {self.dialect.within(column)}"
                transaction.run(sql, [given])

        self.database.transact(delete)
