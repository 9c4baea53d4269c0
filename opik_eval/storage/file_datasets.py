"""Datasets, their items and versions in a file.

Each row of ``dataset_items`` is one content of an item and the versions it is in:
``start_version <= version < end_version``, without an end while it is current.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar

from typing_extensions import override

from opik_eval.errors import NotFoundError
from opik_eval.records import Dataset, DatasetItem, DatasetVersion, Record
from opik_eval.storage.base import DatasetStore
from opik_eval.storage.file_store import FileStore
from opik_eval.storage.file_tables import (
    DATASET_ITEMS,
    DATASET_VERSIONS,
    DATASETS,
    Row,
    Table,
    bindable,
)
from opik_eval.storage.items import ItemChange, next_version, plan_change
from opik_eval.storage.query import Filter, check_filter, matches

R = TypeVar("R", bound=Record)

_DELETE_DATASET = (
    "DELETE FROM dataset_items WHERE dataset_id IN (SELECT value FROM json_each(:ids))",
    "DELETE FROM dataset_versions WHERE dataset_id IN (SELECT value FROM json_each(:ids))",
    "DELETE FROM datasets WHERE id IN (SELECT value FROM json_each(:ids))",
)


class FileDatasets(DatasetStore):
    """The ``DatasetStore`` part of the file backend."""

    _store: FileStore

    @override
    def find_dataset(self, name: str) -> Dataset | None:
        return self._store.find(DATASETS, "name = ?", name)

    @override
    def list_datasets(self) -> Iterator[Dataset]:
        return self._store.select(DATASETS)

    @override
    def delete_dataset(self, dataset_id: str) -> None:
        self._store.delete(*_DELETE_DATASET, ids=[dataset_id])

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
    ) -> DatasetVersion | None:
        # The caller's iterables run before the lock is taken: they may be slow, or use the store.
        upserts, deletes = list(upsert), delete if delete == "all" else list(delete)
        with self._store.database.transaction() as connection:
            items = _Items(connection, self._store, dataset_id)
            items.require_dataset()
            at = changed_at or self._store.writer.now()
            change = plan_change(
                items, upsert=upserts, delete=deletes, skip_known=skip_known, changed_at=at
            )
            if not change:
                return None
            version = next_version(
                dataset_id,
                items.latest_version(),
                change,
                changed_at=at,
                change_description=change_description,
            )
            items.apply(change, version)
            return version

    @override
    def list_dataset_items(
        self, dataset_id: str, *, version: int | None = None, where: Filter | None = None
    ) -> Iterator[DatasetItem]:
        check_filter(where, "dataset_item")
        condition = "dataset_id = ? AND end_version IS NULL"
        parameters: list[object] = [dataset_id]
        if version is not None:
            self._require_version(dataset_id, version)
            condition = "dataset_id = ? AND start_version <= ? AND ifnull(end_version > ?, TRUE)"
            parameters = [dataset_id, version, version]
        found = self._store.select(DATASET_ITEMS, condition, parameters, order="position")
        return found if where is None else (item for item in found if matches(where, item))

    @override
    def list_dataset_versions(self, dataset_id: str) -> Iterator[DatasetVersion]:
        return self._store.select(DATASET_VERSIONS, "dataset_id = ?", (dataset_id,), order="number")

    def _require_version(self, dataset_id: str, version: int) -> None:
        ((latest,),) = self._store.database.rows(
            "SELECT ifnull(max(number), 0) FROM dataset_versions WHERE dataset_id = ?",
            (dataset_id,),
        )
        if not 1 <= version <= int(latest):
            raise NotFoundError(
                f"dataset {dataset_id!r} has no version {version}",
                remedy=f"its versions are 1 to {latest}" if latest else "it has no version yet",
            )


@dataclass(frozen=True)
class _Items:
    """The items of one dataset inside a transaction: what ``plan_change`` asks, and the change."""

    connection: sqlite3.Connection
    store: FileStore
    dataset_id: str

    def require_dataset(self) -> None:
        if not self._rows("SELECT 1 FROM datasets WHERE id = ?"):
            raise NotFoundError(
                f"there is no dataset {self.dataset_id!r}", remedy="write the dataset first"
            )

    def find_item(self, item_id: str) -> DatasetItem | None:
        codec = self.store.codec(DATASET_ITEMS)
        rows = self._rows(
            f"SELECT {codec.selection} FROM dataset_items "
            "WHERE dataset_id = ? AND id = ? AND end_version IS NULL",
            item_id,
        )
        return codec.decode(rows[0]) if rows else None

    def count_hash(self, content_hash: str) -> int:
        ((count,),) = self._rows(
            "SELECT count(*) FROM dataset_items "
            "WHERE dataset_id = ? AND content_hash = ? AND end_version IS NULL",
            content_hash,
        )
        return int(count)

    def item_ids(self) -> list[str]:
        rows = self._rows(
            "SELECT id FROM dataset_items WHERE dataset_id = ? AND end_version IS NULL "
            "ORDER BY position"
        )
        return [str(item_id) for (item_id,) in rows]

    def latest_version(self) -> DatasetVersion | None:
        codec = self.store.codec(DATASET_VERSIONS)
        rows = self._rows(
            f"SELECT {codec.selection} FROM dataset_versions WHERE dataset_id = ? "
            "ORDER BY number DESC LIMIT 1"
        )
        return codec.decode(rows[0]) if rows else None

    def apply(self, change: ItemChange, version: DatasetVersion) -> None:
        gone = [*change.deleted, *(item.id for item in change.modified)]
        self.connection.executemany(
            "UPDATE dataset_items SET end_version = ? "
            "WHERE dataset_id = ? AND id = ? AND end_version IS NULL",
            [(version.number, self.dataset_id, item_id) for item_id in gone],
        )
        self._insert(DATASET_ITEMS, self._rows_of([*change.added, *change.modified], version))
        self._insert(DATASET_VERSIONS, self.store.codec(DATASET_VERSIONS).encode([version]))

    def _rows_of(self, items: Sequence[DatasetItem], version: DatasetVersion) -> list[Row]:
        if not items:
            return []
        count = len(items)
        return self.store.codec(DATASET_ITEMS).encode(
            items,
            [self.dataset_id] * count,
            self._positions(items),
            [version.number] * count,
            [None] * count,
        )

    def _positions(self, items: Sequence[DatasetItem]) -> list[object]:
        """Return the places of items in the order; one that was there before keeps its own."""
        ((following,),) = self._rows(
            "SELECT ifnull(max(position), 0) + 1 FROM dataset_items WHERE dataset_id = ?"
        )
        positions: list[object] = []
        for item in items:
            known = self._rows(
                "SELECT position FROM dataset_items WHERE dataset_id = ? AND id = ? LIMIT 1",
                item.id,
            )
            if known:
                ((position,),) = known
            else:
                position, following = following, following + 1
            positions.append(position)
        return positions

    def _insert(self, table: Table[R], rows: Iterable[Sequence[object]]) -> None:
        columns = self.store.codec(table).columns
        self.connection.executemany(
            f"INSERT INTO {table.name} ({', '.join(columns)}) "
            f"VALUES ({', '.join('?' * len(columns))})",
            [tuple(map(bindable, row)) for row in rows],
        )

    def _rows(self, sql: str, *parameters: str) -> list[Row]:
        values = [bindable(value) for value in (self.dataset_id, *parameters)]
        return self.connection.execute(sql, values).fetchall()
