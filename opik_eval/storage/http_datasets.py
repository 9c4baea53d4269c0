"""Datasets over HTTP. What was read of a version is kept, since versions do not change."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Literal, cast

from opik_eval.errors import NotFoundError
from opik_eval.records import Dataset, DatasetItem, DatasetVersion, utc_now
from opik_eval.serialization import dumps, loads
from opik_eval.storage.http_state import HttpState
from opik_eval.storage.query import Filter
from opik_eval.storage.wire import dataset_item_from_wire, dataset_item_to_wire

_KEPT_BYTES = 64 << 20


class ItemCache:
    """Items of versions of datasets, as JSON; the version used longest ago goes first.

    Args:
        max_bytes: How much to keep. A version larger than that is not kept.
    """

    def __init__(self, max_bytes: int = _KEPT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._lines: OrderedDict[object, list[bytes]] = OrderedDict()
        self._size = 0

    def find(self, version: DatasetVersion) -> Iterator[DatasetItem] | None:
        """Return the items of a version, if they are here."""
        with self._lock:
            lines = self._lines.get(_identity(version))
            if lines is None:
                return None
            self._lines.move_to_end(_identity(version))
        return (dataset_item_from_wire(cast("dict[str, object]", loads(line))) for line in lines)

    def keep(self, version: DatasetVersion, items: Iterable[DatasetItem]) -> Iterator[DatasetItem]:
        """Yield items, and keep them once all of them have been read."""
        lines, size = list[bytes](), 0
        for item in items:
            line = b""
            if size <= self._max_bytes:
                line = dumps(dataset_item_to_wire(item), sort_keys=False)
            size += len(line)
            lines.append(line)
            yield item
        if size > self._max_bytes:
            return
        with self._lock:
            self._lines[_identity(version)] = lines
            self._size += size
            while self._size > self._max_bytes:
                _, dropped = self._lines.popitem(last=False)
                self._size -= sum(map(len, dropped))


class HttpDatasets:
    """``DatasetStore`` over HTTP."""

    _state: HttpState
    _items: ItemCache

    def find_dataset(self, name: str) -> Dataset | None:
        """Return the dataset of that exact name; see ``DatasetStore``."""
        return self._state.find(Dataset, name)

    def list_datasets(self) -> Iterator[Dataset]:
        """Yield all datasets; see ``DatasetStore``."""
        return self._state.select(Dataset, {})

    def delete_dataset(self, dataset_id: str) -> None:
        """Delete a dataset; see ``DatasetStore``."""
        self._state.dialect().delete("dataset", [dataset_id])

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
        """Apply one logical change; see ``DatasetStore``."""
        items: Sequence[DatasetItem] = list(upsert)
        return self._state.dialect().change_items(
            dataset_id,
            upsert=items,
            delete=delete if isinstance(delete, str) else list(delete),
            skip_known=skip_known,
            change_description=change_description,
            changed_at=changed_at or utc_now(),
            group_id=group_id,
            base_version=base_version,
        )

    def list_dataset_items(
        self, dataset_id: str, *, version: int | None = None, where: Filter | None = None
    ) -> Iterator[DatasetItem]:
        """Yield the items of a version; see ``DatasetStore``."""
        arguments = {"dataset_id": dataset_id, "version": version, "where": where}
        if where is not None:
            yield from self._state.select(DatasetItem, arguments)
            return
        known = list(self.list_dataset_versions(dataset_id))
        found = [v for v in known if version in (None, v.number)]
        if not found:
            if version is not None:
                raise NotFoundError(
                    f"dataset {dataset_id!r} has no version {version}",
                    remedy="list_dataset_versions says which ones there are",
                )
            return
        kept = self._items.find(found[-1])
        if kept is None:
            arguments["version"] = found[-1].number
            fresh = self._state.select(DatasetItem, arguments)
            kept = self._items.keep(found[-1], fresh)
        yield from kept

    def list_dataset_versions(self, dataset_id: str) -> Iterator[DatasetVersion]:
        """Yield the versions by number; see ``DatasetStore``."""
        return self._state.select(DatasetVersion, {"dataset_id": dataset_id})


def _identity(version: DatasetVersion) -> object:
    """Return what tells contents apart: a version in the making has one id and other counts."""
    return (version.id, version.items_total, version.items_added, version.items_modified)
