"""Datasets, their items and versions in a database.

Each row of ``dataset_items`` is one content of an item and the versions it is in:
``start_version <= version < end_version``, without an end while it is current.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import count
from typing import Literal

from typing_extensions import override

from opik_eval.errors import NotFoundError
from opik_eval.records import Dataset, DatasetItem, DatasetVersion
from opik_eval.storage.base import DatasetStore
from opik_eval.storage.items import (
    ItemChange,
    check_base,
    extended_version,
    is_of_group,
    next_version,
    plan_change,
)
from opik_eval.storage.query import Filter, check_filter, matches
from opik_eval.storage.sql_dialect import Row, Transaction
from opik_eval.storage.sql_store import SqlStore
from opik_eval.storage.sql_tables import DATASET_ITEMS, DATASET_VERSIONS, DATASETS

_OF_DATASET = (
    ("dataset_items", "dataset_id"),
    ("dataset_versions", "dataset_id"),
    ("datasets", "id"),
)
_MANY_ITEMS = 50
"""From so many items on it is faster to ask for all content hashes than for each."""


class SqlDatasets(DatasetStore):
    """The ``DatasetStore`` part of a database."""

    _store: SqlStore

    @override
    def find_dataset(self, name: str) -> Dataset | None:
        return self._store.find(DATASETS, "name = ?", name)

    @override
    def list_datasets(self) -> Iterator[Dataset]:
        return self._store.select(DATASETS)

    @override
    def delete_dataset(self, dataset_id: str) -> None:
        self._store.delete(*_OF_DATASET, values=[dataset_id])

    @override
    def change_items(
        self,
        dataset_id: str,
        *,
        upsert: Iterable[DatasetItem] = (),
        delete: Iterable[str] | Literal["all"] = (),
        skip_known: bool = False,
        change_description: str | None = None,
        changed_at: datetime | None = None,
        group_id: str | None = None,
        base_version: int | None = None,
    ) -> DatasetVersion | None:
        # The caller's iterables run before the lock is taken: they may be slow, or use the store.
        upserts, deletes = list(upsert), delete if delete == "all" else list(delete)

        def change(transaction: Transaction) -> DatasetVersion | None:
            items = _Items(transaction, self._store, dataset_id)
            items.hold_dataset()
            latest = items.latest_version()
            check_base(dataset_id, latest, base_version)
            items.load([item.id for item in upserts])
            at = changed_at or self._store.writer.now()
            plan = plan_change(
                items, upsert=upserts, delete=deletes, skip_known=skip_known, changed_at=at
            )
            if not plan:
                return None
            if latest is not None and is_of_group(latest, group_id):
                return items.extend(plan, latest)
            version = next_version(
                dataset_id,
                latest,
                plan,
                changed_at=at,
                change_description=change_description,
                group_id=group_id,
            )
            items.apply(plan, version.number)
            items.insert_version(version)
            return version

        return self._store.database.transact(change)

    @override
    def list_dataset_items(
        self, dataset_id: str, *, version: int | None = None, where: Filter | None = None
    ) -> Iterator[DatasetItem]:
        check_filter(where, "dataset_item")
        condition = "dataset_id = ? AND end_version IS NULL"
        parameters: list[object] = [dataset_id]
        if version is not None:
            self._require_version(dataset_id, version)
            condition = "dataset_id = ? AND start_version <= ? AND coalesce(end_version > ?, TRUE)"
            parameters = [dataset_id, version, version]
        found = self._store.select(DATASET_ITEMS, condition, parameters, order="position")
        return found if where is None else (item for item in found if matches(where, item))

    @override
    def list_dataset_versions(self, dataset_id: str) -> Iterator[DatasetVersion]:
        return self._store.select(DATASET_VERSIONS, "dataset_id = ?", (dataset_id,), order="number")

    def _require_version(self, dataset_id: str, version: int) -> None:
        ((latest,),) = self._store.database.rows(
            "SELECT coalesce(max(number), 0) FROM dataset_versions WHERE dataset_id = ?",
            (dataset_id,),
        )
        if not 1 <= version <= int(latest):
            raise NotFoundError(
                f"dataset {dataset_id!r} has no version {version}",
                remedy=f"its versions are 1 to {latest}" if latest else "it has no version yet",
            )


class _Items:
    """The items of one dataset inside a transaction: what ``plan_change`` asks, and the change."""

    def __init__(self, transaction: Transaction, store: SqlStore, dataset_id: str) -> None:
        self._transaction = transaction
        self._store = store
        self._dataset_id = dataset_id
        self._loaded: dict[str, DatasetItem] = {}
        self._asked: frozenset[str] = frozenset()
        self._hashes: Counter[str] | None = None
        self._is_large = False

    def hold_dataset(self) -> None:
        """Keep other transactions from changing the items until this one has ended."""
        self._transaction.lock(f"dataset {self._dataset_id}")
        if not self._transaction.rows("SELECT 1 FROM datasets WHERE id = ?", [self._dataset_id]):
            raise NotFoundError(
                f"there is no dataset {self._dataset_id!r}", remedy="write the dataset first"
            )

    def load(self, item_ids: Sequence[str]) -> None:
        """Read items that ``find_item`` will be asked for, all at once."""
        self._is_large = self._is_large or len(item_ids) >= _MANY_ITEMS
        codec, dialect = self._store.codec(DATASET_ITEMS), self._store.dialect
        rows = self._rows(
            f"SELECT {codec.selection} FROM dataset_items WHERE dataset_id = ? "
            f"AND {dialect.within('id')} AND end_version IS NULL",
            dialect.array(item_ids),
        )
        self._loaded |= {item.id: item for item in map(codec.decode, rows)}
        self._asked |= frozenset(item_ids)

    def find_item(self, item_id: str) -> DatasetItem | None:
        """Return an item of the latest version."""
        if item_id not in self._asked:
            self.load([item_id])
        return self._loaded.get(item_id)

    def count_hash(self, content_hash: str) -> int:
        """Return the number of items of the latest version with a content hash."""
        if self._is_large and self._hashes is None:
            self._hashes = Counter(
                dict(
                    self._rows(
                        "SELECT content_hash, count(*) FROM dataset_items "
                        "WHERE dataset_id = ? AND end_version IS NULL GROUP BY content_hash"
                    )
                )
            )
        if self._hashes is not None:
            return self._hashes[content_hash]
        ((count,),) = self._rows(
            "SELECT count(*) FROM dataset_items "
            "WHERE dataset_id = ? AND content_hash = ? AND end_version IS NULL",
            content_hash,
        )
        return int(count)

    def item_ids(self) -> list[str]:
        """Return the ids of the latest version."""
        codec = self._store.codec(DATASET_ITEMS)
        rows = self._rows(
            f"SELECT {codec.selection} FROM dataset_items "
            "WHERE dataset_id = ? AND end_version IS NULL ORDER BY position"
        )
        self._loaded = {item.id: item for item in map(codec.decode, rows)}
        self._asked |= frozenset(self._loaded)
        return list(self._loaded)

    def latest_version(self) -> DatasetVersion | None:
        """Return the version before the change."""
        codec = self._store.codec(DATASET_VERSIONS)
        rows = self._rows(
            f"SELECT {codec.selection} FROM dataset_versions WHERE dataset_id = ? "
            "ORDER BY number DESC LIMIT 1"
        )
        return codec.decode(rows[0]) if rows else None

    def apply(self, change: ItemChange, number: int) -> None:
        """Make the items of a version: the next one, or the latest one once more."""
        rows = self._rows_of([*change.added, *change.modified], number)
        gone = [*change.deleted, *(item.id for item in change.modified)]
        within, ids = self._store.dialect.within("id"), self._store.dialect.array(gone)
        self._transaction.run(
            "UPDATE dataset_items SET end_version = ? "
            f"WHERE dataset_id = ? AND {within} AND end_version IS NULL",
            [number, self._dataset_id, ids],
        )
        # What began in this very version and ended in it is in no version.
        self._transaction.run(
            f"DELETE FROM dataset_items WHERE dataset_id = ? AND {within} "
            "AND start_version = ? AND end_version = start_version",
            [self._dataset_id, ids, number],
        )
        if rows:
            self._transaction.insert(self._store.codec(DATASET_ITEMS), rows)

    def insert_version(self, version: DatasetVersion) -> None:
        """Note a version."""
        codec = self._store.codec(DATASET_VERSIONS)
        rows = [self._store.dialect.row(row) for row in codec.encode([version])]
        self._transaction.insert(codec, rows)

    def extend(self, change: ItemChange, latest: DatasetVersion) -> DatasetVersion:
        """Make a change part of the latest version."""
        self.apply(change, latest.number)
        version = self._extended(change, latest)
        self._transaction.run("DELETE FROM dataset_versions WHERE id = ?", [version.id])
        self.insert_version(version)
        return version

    def _extended(self, change: ItemChange, latest: DatasetVersion) -> DatasetVersion:
        added, modified = latest.items_added + len(change.added), latest.items_modified
        if not (change.modified or change.deleted or latest.items_deleted):
            return extended_version(latest, added=added, modified=modified, deleted=0)
        begun = self._ids("start_version", latest.number)
        ended = self._ids("end_version", latest.number)
        return extended_version(
            latest,
            added=len(begun - ended),
            modified=len(begun & ended),
            deleted=len(ended - begun),
        )

    def _ids(self, column: str, number: int) -> set[object]:
        rows = self._rows(
            f"SELECT id FROM dataset_items WHERE dataset_id = ? AND {column} = ?", number
        )
        return {item_id for (item_id,) in rows}

    def _rows_of(self, items: Sequence[DatasetItem], number: int) -> list[Row]:
        if not items:
            return []
        size, dialect = len(items), self._store.dialect
        rows = self._store.codec(DATASET_ITEMS).encode(
            items,
            dialect.texts([self._dataset_id] * size),
            self._positions(items),
            [number] * size,
            [None] * size,
        )
        return [*map(dialect.row, rows)]

    def _positions(self, items: Sequence[DatasetItem]) -> list[int]:
        """Return the places of items in the order; one that was there before keeps its own."""
        dialect = self._store.dialect
        ((following,),) = self._rows(
            "SELECT coalesce(max(position), 0) + 1 FROM dataset_items WHERE dataset_id = ?"
        )
        known = {
            dialect.text(item_id): int(position)
            for item_id, position in self._rows(
                "SELECT id, position FROM dataset_items "
                f"WHERE dataset_id = ? AND {dialect.within('id')}",
                dialect.array([item.id for item in items]),
            )
        }
        numbers = count(int(following))
        return [known[item.id] if item.id in known else next(numbers) for item in items]

    def _rows(self, sql: str, *parameters: object) -> list[Row]:
        return self._transaction.rows(sql, [self._dataset_id, *parameters])
