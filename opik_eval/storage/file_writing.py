"""The write path of the file backend: many records, one transaction.

Most records are new. They are inserted in bulk, and rows whose key is there already are passed
over. Only if some were, the batch is looked at again, and those are merged one by one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import repeat
from typing import Generic, TypeVar, cast

from opik_eval.errors import ConfigError, ConflictError
from opik_eval.records import Dataset, Project, Prompt, Record, Span, Trace
from opik_eval.serialization import dumps, loads
from opik_eval.storage.base import Writable
from opik_eval.storage.file_database import Database
from opik_eval.storage.file_tables import (
    Row,
    RowCodec,
    bindable,
    from_microseconds,
    to_microseconds,
)
from opik_eval.storage.merge import ArrivalClock, Merged, implied_project, merge, merged

R = TypeVar("R", bound=Record)
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


class RecordWriter:
    """Writes batches of records; may be used from many threads.

    Args:
        database: Where to.
        codecs: The codecs of the records that can be written, by type.

    Attributes:
        written: Number of records written so far.
    """

    def __init__(self, database: Database, codecs: Mapping[type[Record], RowCodec[Record]]) -> None:
        self.written = 0
        self._database = database
        self._mergers = {kind: RowMerger(codec) for kind, codec in codecs.items()}
        self._clock = ArrivalClock()
        self._known_projects: set[str] = set()

    def write(self, records: Iterable[Writable]) -> None:
        """Upsert records: all of them or none.

        Raises:
            ConfigError: A record is of a type that is not written this way.
            ConflictError: A name is taken.
            UnavailableError: The file is locked, read-only or full.
        """
        batches = self._batches(records)
        rows = {kind: self._encode(kind, batch) for kind, batch in batches.items()}
        projects = self._new_projects(batches)
        if projects:
            to_row = self._mergers[Project].to_row
            implied = (to_row(cast("Merged[Record]", implied_project(name))) for name in projects)
            rows.setdefault(Project, []).extend(implied)
        with self._database.transaction() as connection:
            for kind, batch_rows in rows.items():
                self._mergers[kind].write(connection, batch_rows)
            for kind in (Dataset, Prompt):
                if kind in batches:
                    _check_names(connection, self._mergers[kind], batches[kind])
        self._known_projects |= projects
        with self._database.state_lock:
            self.written += sum(map(len, batches.values()))

    def now(self) -> datetime:
        """Return the time of something that arrives now, later than all before."""
        with self._database.state_lock:
            return self._clock.next()

    def _batches(self, records: Iterable[Writable]) -> dict[type[Record], list[Record]]:
        batches: dict[type[Record], list[Record]] = {}
        for record in records:
            batches.setdefault(type(record), []).append(record)
        for kind in batches:
            if kind not in self._mergers:
                raise ConfigError(
                    f"write does not take records of type {kind.__name__}",
                    remedy="write items of datasets with change_items, files with put_attachment",
                )
        return batches

    def _encode(self, kind: type[Record], batch: Sequence[Record]) -> list[Row]:
        codec = self._mergers[kind].codec
        columns = codec.columns_of(batch)
        stamps = columns[codec.fields.index("last_updated_at")]
        written = [to_microseconds(self.now()) if stamp is None else stamp for stamp in stamps]
        return list(zip(*columns, written, repeat(None)))

    def _new_projects(self, batches: Mapping[type[Record], Sequence[Record]]) -> set[str]:
        named = {
            record.project_name
            for kind in (Trace, Span)
            for record in cast("Sequence[Trace | Span]", batches.get(kind, ()))
        }
        return {name for name in named if name} - self._known_projects


class RowMerger(Generic[R]):
    """Writes rows of one table, merging those that are there already.

    Args:
        codec: The codec of the table.
    """

    def __init__(self, codec: RowCodec[R]) -> None:
        self.codec = codec
        table, columns = codec.table, [f'"{column}"' for column in codec.columns]
        key = ", ".join(table.key)
        self._insert = (
            f"INSERT INTO {table.name} ({', '.join(columns)}) "
            f"VALUES ({', '.join('?' * len(columns))}) ON CONFLICT ({key}) DO "
        )
        self._update = ", ".join(f"{column} = excluded.{column}" for column in columns)
        self._select = (
            f"SELECT {codec.selection} FROM {table.name} "
            f"WHERE {' AND '.join(f'{column} = ?' for column in table.key)}"
        )

    def write(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
        """Insert rows, or merge them into those of the same key; call it in a transaction."""
        try:
            self._write(connection, rows)
        except UnicodeEncodeError:
            # What was inserted before the text that is no UTF-8 is found again and left as it is.
            self._write(connection, [tuple(map(bindable, row)) for row in rows])

    def to_row(self, state: Merged[R]) -> Row:
        """Return the row that holds a merged record."""
        older = {name: to_microseconds(time) for name, time in state.older.items()}
        (row,) = self.codec.encode(
            [state.record()],
            [to_microseconds(state.written_at)],
            [dumps(older).decode() if older else None],
        )
        return tuple(map(bindable, row))

    def _write(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
        unique = dict(zip(map(self.codec.key_of, rows), rows, strict=True))
        if len(unique) < len(rows):
            unique = self._merge_all(rows)
        done = connection.executemany(f"{self._insert}NOTHING", unique.values())
        if done.rowcount == len(unique):
            return
        for key, row in unique.items():
            parameters = key if isinstance(key, tuple) else (key,)
            stored = connection.execute(self._select, parameters).fetchone()
            result = self._merge(stored, row)
            if result != stored:
                connection.execute(f"{self._insert}UPDATE SET {self._update}", result)

    def _merge_all(self, rows: Sequence[Row]) -> dict[object, Row]:
        """Return rows by key after merging those of equal keys."""
        unique: dict[object, Row] = {}
        for row in rows:
            key = self.codec.key_of(row)
            unique[key] = self._merge(unique[key], row) if key in unique else row
        return unique

    def _merge(self, stored: Row, row: Row) -> Row:
        if stored == row:
            return stored
        if _is_newer(row, stored):
            return self._laid_over(row, stored)
        if _is_newer(stored, row):
            return self._laid_over(stored, row)
        return self.to_row(merge(self._state(stored), self._state(row)))

    def _laid_over(self, newer: Row, other: Row) -> Row:
        """Return what ``merge`` would, where every field of one row is newer than all of another.

        This is the usual update of a record that was written before, and worth a short cut.
        """
        codec = self.codec
        if codec.table.merges_whole:
            return newer
        fields = zip(codec.fields, newer, other, strict=False)
        kept = [name for name, a, b in fields if a is None and b is not None]
        if not kept:
            return newer
        *values, written_at, _ = newer
        for index, source in enumerate(codec.sources):
            if newer[source] is None:
                values[index] = other[index]
        times = _older_times(other)
        older = {name: times.get(name, other[-2]) for name in kept}
        return (*values, written_at, dumps(older).decode())

    def _state(self, row: Row) -> Merged[R]:
        return replace(
            merged(self.codec.decode(row), _NO_TIME),
            written_at=from_microseconds(row[-2]),
            older={name: from_microseconds(time) for name, time in _older_times(row).items()},
        )


def _older_times(row: Row) -> Mapping[str, int]:
    return cast("dict[str, int]", loads(row[-1])) if row[-1] else {}


def _is_newer(row: Row, other: Row) -> bool:
    """Return whether all fields of a row are newer than those of another."""
    return row[-1] is None and bool(row[-2] > other[-2])


def _check_names(
    connection: sqlite3.Connection, merger: RowMerger[Record], batch: Sequence[Record]
) -> None:
    """Check, once a batch is written, that none of its names belongs to two records."""
    records = cast("Sequence[Dataset | Prompt]", batch)
    taken = connection.execute(
        f"SELECT name, json_group_array(id) FROM {merger.codec.table.name} "
        "WHERE name IN (SELECT value FROM json_each(?)) GROUP BY name HAVING count(*) > 1",
        (dumps([record.name for record in records]).decode(),),
    ).fetchone()
    if taken is None:
        return
    name, ids = taken[0], cast("list[str]", loads(taken[1]))
    written = {record.id for record in records}
    holder, *others = sorted(ids, key=lambda identifier: (identifier in written, identifier))
    raise ConflictError(
        f"the {merger.codec.table.kind.__name__.lower()} name {name!r} is taken by {holder}, so "
        f"{others[0]} cannot have it",
        remedy="choose another name, or use the record that has it",
    )
