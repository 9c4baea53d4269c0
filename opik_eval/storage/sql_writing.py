"""The write path of the databases: many records, one transaction.

Most records are new and are inserted in bulk. Those whose keys are there already are merged one by
one with what is stored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import repeat
from operator import itemgetter
from typing import Generic, TypeVar, cast

from opik_eval.errors import ConfigError, ConflictError
from opik_eval.records import (
    Columns,
    Dataset,
    Document,
    ExperimentItem,
    FeedbackScore,
    Project,
    Prompt,
    Record,
    Span,
    Trace,
)
from opik_eval.serialization import dumps, loads
from opik_eval.storage.base import Writable
from opik_eval.storage.merge import ArrivalClock, Merged, implied_project, merge, merged
from opik_eval.storage.microseconds import from_microseconds, to_microseconds
from opik_eval.storage.sql_dialect import Column, Database, Dialect, Row, Transaction
from opik_eval.storage.sql_tables import RowCodec
from opik_eval.storage.sql_totals import contributions_of, totals_kept
from opik_eval.storage.wire import record_from_wire
from opik_eval.storage.wire_codec import Payload
from opik_eval.storage.wire_columns import NotPlain, plain_columns, plain_group
from opik_eval.storage.wire_groups import KINDS, columns_of, group_records, is_group

R = TypeVar("R", bound=Record)
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)
_NAMED = (Dataset, Prompt)
_IN_PROJECTS = (Trace, Span)
_OF_ITEM = ("id", "experiment_id", "trace_id", "failed_scores")
_OF_SCORE = ("entity_id", "name", "author_key", "value", "entity_type")
_Values = tuple[type[Record], Sequence[Column | None]]
"""The type of some records, and a column for each of its fields."""


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
        dialect = database.dialect
        self._mergers = {kind: RowMerger(codec, dialect) for kind, codec in codecs.items()}
        self._clock = ArrivalClock()
        self._known_projects: set[str] = set()

    def write(self, records: Iterable[Writable | Document]) -> None:
        """Upsert records, and columns of such: all of them or none.

        Raises:
            ConfigError: A record is of a type that is not written this way.
            ConflictError: A name is taken.
            UnavailableError: The file is locked, read-only or full.
        """
        ones, tables = list[Record](), list[_Values]()
        for given in records:
            if isinstance(given, Columns):
                self._check_kind(given.kind)
                tables.append((given.kind, [*map(given.values.get, given.kind.model_fields)]))
            else:
                ones.append(given)
        self._write_all(self._batches(ones), tables)

    def write_payloads(self, payloads: Sequence[Payload]) -> None:
        """Upsert the records of payloads: all of them or none. Raises ``PayloadError``, too."""
        short = _Short()
        rest = list[Payload]()
        alike: dict[type[Record], list[Payload]] = {kind: [] for kind in KINDS.values()}
        for payload in payloads:
            if is_group(payload):
                short.take_group(payload)
            else:
                kind = KINDS.get(str(payload.get("kind"))) if type(payload) is dict else None
                (rest if kind is None else alike[kind]).append(payload)
        for kind, found in alike.items():
            if not short.take(kind, found):
                rest += found
        batches = self._batches([*short.others, *map(record_from_wire, rest)])
        self._write_all(batches, short.columns)

    def _write_all(
        self,
        batches: Mapping[type[Record], Sequence[Record]],
        tables: Iterable[_Values] = (),
    ) -> None:
        """Write records, and others whose columns are what ``plain_columns`` returns."""
        rows = defaultdict[type[Record], list[Row]](list)
        named = _projects_of(batches)
        for kind, values in tables:
            codec = self._mergers[kind].codec
            count = max(len(column) for column in values if column is not None)
            rows[kind] += self._rows(codec, codec.columns_of_values(values, count))
            if kind in _IN_PROJECTS:
                named.update(values[codec.fields.index("project_name")] or ())
        for kind, batch in batches.items():
            codec = self._mergers[kind].codec
            rows[kind] += self._rows(codec, codec.columns_of(batch))
        count = sum(map(len, rows.values()))
        projects = {name for name in named if name} - self._known_projects
        if projects:
            to_row = self._mergers[Project].to_row
            rows[Project] += [
                to_row(cast("Merged[Record]", implied_project(name))) for name in projects
            ]
        self._database.transact(lambda transaction: self._write(transaction, batches, rows))
        self._known_projects |= projects
        with self._database.state_lock:
            self.written += count

    def now(self) -> datetime:
        """Return the time of something that arrives now, later than all before."""
        with self._database.state_lock:
            return self._clock.next()

    def _write(
        self,
        transaction: Transaction,
        batches: Mapping[type[Record], Sequence[Record]],
        rows: Mapping[type[Record], Sequence[Row]],
    ) -> None:
        named = [kind for kind in _NAMED if kind in batches]
        if named:
            transaction.lock("names")
        items = self._cells(ExperimentItem, _OF_ITEM, rows)
        judged = self._cells(FeedbackScore, _OF_SCORE, rows)
        scores = [cells for cells in judged if cells[-1] == "trace"]
        traces = [*(item[2] for item in items), *(score[0] for score in scores)]
        with totals_kept(
            transaction,
            self._database.dialect,
            item_ids=[item[0] for item in items],
            trace_ids=[*dict.fromkeys(filter(None, traces))],
            new=contributions_of(items, scores),
        ):
            for kind in sorted(rows, key=_place):
                self._mergers[kind].write(transaction, rows[kind])
        for kind in named:
            self._check_names(transaction, kind, batches[kind])

    def _check_names(
        self, transaction: Transaction, kind: type[Record], batch: Sequence[Record]
    ) -> None:
        """Check, once a batch is written, that none of its names belongs to two records."""
        table, dialect = self._mergers[kind].codec.name, self._database.dialect
        records = cast("Sequence[Dataset | Prompt]", batch)
        holders: dict[str, list[str]] = {}
        for name, holder in transaction.rows(
            f"SELECT name, id FROM {table} WHERE {dialect.within('name')}",
            [dialect.array([record.name for record in records])],
        ):
            holders.setdefault(name, []).append(holder)
        written = {record.id for record in records}
        for name, ids in holders.items():
            holder, *others = sorted(ids, key=lambda found: (found in written, found))
            if others:
                raise ConflictError(
                    f"the {kind.__name__.lower()} name {name!r} is taken by {holder}, so "
                    f"{others[0]} cannot have it",
                    remedy="choose another name, or use the record that has it",
                )

    def _batches(self, records: Iterable[Record]) -> dict[type[Record], list[Record]]:
        batches: dict[type[Record], list[Record]] = {}
        for record in records:
            batches.setdefault(type(record), []).append(record)
        for kind in batches:
            self._check_kind(kind)
        return batches

    def _check_kind(self, kind: type[Record]) -> None:
        if kind not in self._mergers:
            raise ConfigError(
                f"write does not take records of type {kind.__name__}",
                remedy="write items of datasets with change_items, files with put_attachment",
            )

    def _cells(
        self, kind: type[Record], names: Sequence[str], rows: Mapping[type[Record], Sequence[Row]]
    ) -> list[Row]:
        """Return some cells of each row of a type, texts as they were given."""
        if kind not in rows:
            return []
        places = map(self._mergers[kind].codec.columns.index, names)
        found = map(itemgetter(*places), rows[kind])
        read = self._database.dialect.read_text
        return [*found] if read is None else [tuple(map(read, cells)) for cells in found]

    def _rows(self, codec: RowCodec[Record], columns: Sequence[Column]) -> list[Row]:
        """Return the rows of columns, after adding the times of the writes."""
        stamps = columns[codec.fields.index("last_updated_at")]
        written = [to_microseconds(self.now()) if stamp is None else stamp for stamp in stamps]
        return list(zip(*columns, written, repeat(None)))


class RowMerger(Generic[R]):
    """Writes rows of one table, merging those that are there already.

    Args:
        codec: The codec of the table.
    """

    def __init__(self, codec: RowCodec[R], dialect: Dialect) -> None:
        self.codec = codec
        self._dialect = dialect

    def write(self, transaction: Transaction, rows: Sequence[Row]) -> None:
        """Insert rows, or merge them into those of the same key."""
        try:
            self._write(transaction, rows)
        except UnicodeEncodeError:
            # What was inserted before the text that is no UTF-8 is found again and left as it is.
            self._write(transaction, [*map(self._dialect.row, rows)])

    def to_row(self, state: Merged[R]) -> Row:
        """Return the row that holds a merged record."""
        older = {name: to_microseconds(time) for name, time in state.older.items()}
        (row,) = self.codec.encode(
            [state.record()],
            [to_microseconds(state.written_at)],
            [dumps(older).decode() if older else None],
        )
        return self._dialect.row(row)

    def _write(self, transaction: Transaction, rows: Sequence[Row]) -> None:
        unique = dict(zip(map(self.codec.key_of, rows), rows, strict=True))
        if len(unique) < len(rows):
            unique = self._merge_all(rows)
        known = transaction.insert_new(self.codec, unique)
        merged_rows = [(row, self._merge(row, unique[key])) for key, row in known.items()]
        changed = [result for row, result in merged_rows if result != row]
        if changed:
            transaction.replace(self.codec, changed)

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


class _Short:
    """What of a batch takes the short way, and what turned out not to.

    Attributes:
        columns: Types of records with their columns.
        others: Records of groups that must be looked at one by one.
    """

    def __init__(self) -> None:
        self.columns: list[tuple[type[Record], Sequence[Column | None]]] = []
        self.others: list[Record] = []

    def take(self, kind: type[Record], payloads: Sequence[Payload]) -> bool:
        """Take payloads; return whether they can be."""
        try:
            if payloads:
                self.columns.append((kind, plain_columns(kind, payloads)))
        except NotPlain:
            return False
        return True

    def take_group(self, payload: Payload) -> None:
        """Take a group. Raises ``PayloadError``."""
        kind, columns, _ = columns_of(payload)
        try:
            self.columns.append((kind, plain_group(kind, columns)))
        except NotPlain:
            self.others += group_records(payload)


def _projects_of(batches: Mapping[type[Record], Sequence[Record]]) -> set[str | None]:
    """Return the projects that traces and spans name."""
    return {
        record.project_name
        for kind in KINDS.values()
        for record in cast("Sequence[Trace | Span]", batches.get(kind, ()))
    }


def _older_times(row: Row) -> Mapping[str, int]:
    return cast("dict[str, int]", loads(row[-1])) if row[-1] else {}


def _is_newer(row: Row, other: Row) -> bool:
    """Return whether all fields of a row are newer than those of another."""
    return row[-1] is None and bool(row[-2] > other[-2])


def _place(kind: type[Record]) -> str:
    """Return what batches are ordered by; always the same, so that writers never wait in rings."""
    return kind.__name__
