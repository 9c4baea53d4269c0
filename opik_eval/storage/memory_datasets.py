"""Datasets, their items and versions in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal

from typing_extensions import override

from opik_eval.errors import NotFoundError
from opik_eval.records import Dataset, DatasetItem, DatasetVersion
from opik_eval.storage.base import DatasetStore
from opik_eval.storage.items import check_base, is_of_group, next_version, plan_change
from opik_eval.storage.memory_items import MemoryItems
from opik_eval.storage.memory_state import MemoryState
from opik_eval.storage.merge import decode
from opik_eval.storage.query import Filter, check_filter, matches


class MemoryDatasets(DatasetStore):
    """The ``DatasetStore`` part of the memory backend."""

    _state: MemoryState

    @override
    def find_dataset(self, name: str) -> Dataset | None:
        with self._state.locked():
            return next(self._state.datasets.records([name]), None)

    @override
    def list_datasets(self) -> Iterator[Dataset]:
        with self._state.locked():
            return self._state.datasets.records()

    @override
    def delete_dataset(self, dataset_id: str) -> None:
        with self._state.locked():
            self._state.datasets.drop((dataset_id,))
            self._state.items.pop(dataset_id, None)

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
        upserts, deletes = list(upsert), delete if delete == "all" else list(delete)
        with self._state.locked():
            self._require(dataset_id)
            items = self._state.items.setdefault(dataset_id, MemoryItems())
            latest = items.versions[-1] if items.versions else None
            check_base(dataset_id, latest, base_version)
            at = changed_at or self._state.clock.next()
            change = plan_change(
                items, upsert=upserts, delete=deletes, skip_known=skip_known, changed_at=at
            )
            if not change:
                return None
            if latest is not None and is_of_group(latest, group_id):
                return items.extend(change, latest)
            version = next_version(
                dataset_id,
                latest,
                change,
                changed_at=at,
                change_description=change_description,
                group_id=group_id,
            )
            items.apply(change, version.number)
            items.versions.append(version)
            return version

    @override
    def list_dataset_items(
        self, dataset_id: str, *, version: int | None = None, where: Filter | None = None
    ) -> Iterator[DatasetItem]:
        check_filter(where, "dataset_item")
        with self._state.locked():
            items = self._state.items.get(dataset_id, MemoryItems())
            latest = len(items.versions)
            if version is not None and not 1 <= version <= latest:
                raise NotFoundError(
                    f"dataset {dataset_id!r} has no version {version}",
                    remedy=f"its versions are 1 to {latest}" if latest else "it has no version yet",
                )
            texts = items.texts(latest if version is None else version)
        found = (decode(DatasetItem, text) for text in texts)
        return (item for item in found if matches(where, item))

    @override
    def list_dataset_versions(self, dataset_id: str) -> Iterator[DatasetVersion]:
        with self._state.locked():
            return iter(list(self._state.items.get(dataset_id, MemoryItems()).versions))

    def _require(self, dataset_id: str) -> None:
        if self._state.datasets.find((dataset_id,)) is None:
            raise NotFoundError(
                f"there is no dataset {dataset_id!r}", remedy="write the dataset first"
            )
