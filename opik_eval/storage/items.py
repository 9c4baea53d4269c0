"""Changes of a dataset's items, worked out without knowing how a backend keeps them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from opik_eval.errors import ConflictError
from opik_eval.ids import derived_id
from opik_eval.records import DatasetItem, DatasetVersion
from opik_eval.serialization import content_hash, dumps

_LASTING = tuple(sorted(set(DatasetItem.model_fields) - {"created_at", "last_updated_at"}))


class PresentItems(Protocol):
    """What ``plan_change`` asks a backend about the items of a dataset's latest version."""

    def find_item(self, item_id: str) -> DatasetItem | None:
        """Return the item of that id."""
        ...

    def count_hash(self, content_hash: str) -> int:
        """Return the number of items with that content hash."""
        ...

    def item_ids(self) -> Iterable[str]:
        """Return the ids of all items; asked for only when all are deleted."""
        ...


@dataclass(frozen=True)
class ItemChange:
    """The net effect of one change; empty if nothing differs afterwards.

    Attributes:
        added: Items that were absent before, in the order of their insertion.
        modified: Items that were present with something else in them, as they are now.
        deleted: Ids of the items that are gone, sorted.
    """

    added: tuple[DatasetItem, ...] = ()
    modified: tuple[DatasetItem, ...] = ()
    deleted: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.modified or self.deleted)


def item_hash(item: DatasetItem) -> str:
    """Return the hash of what the user wrote into an item."""
    return content_hash(
        {
            "data": item.data,
            "description": item.description,
            "evaluators": item.evaluators,
            "execution_policy": item.execution_policy,
        }
    )


def plan_change(
    present: PresentItems,
    *,
    upsert: Iterable[DatasetItem] = (),
    delete: Iterable[str] | Literal["all"] = (),
    skip_known: bool = False,
    changed_at: datetime,
) -> ItemChange:
    """Return the net effect of ``change_items``.

    Deletes come first; unknown ids are no error. Then each item of ``upsert`` in order: over a
    present item of that id its named fields win and ``None`` keeps what is there, ``data`` is
    replaced as a whole; a new item gets ``created_at`` if it has none. With ``skip_known`` an item
    whose content hash is that of another present item is passed over. An item that ends as it began
    but for its times is unchanged.

    Args:
        present: The items before the change; asked only about ids and hashes that occur.
        upsert: Items to insert or update.
        delete: Ids of items to delete.
        skip_known: Pass over content that another item already has.
        changed_at: Time for items that carry none.
    """
    overlay = _Overlay(present)
    for item_id in present.item_ids() if delete == "all" else delete:
        overlay.set(item_id, None)
    for item in upsert:
        before = overlay.get(item.id)
        after = _over(before, item, changed_at)
        if before is not None and _same(before, after):
            continue
        if skip_known and overlay.is_known(str(after.content_hash), before):
            continue
        overlay.set(item.id, after)
    return overlay.change()


def next_version(
    dataset_id: str,
    previous: DatasetVersion | None,
    change: ItemChange,
    *,
    changed_at: datetime,
    change_description: str | None = None,
    group_id: str | None = None,
) -> DatasetVersion:
    """Return the version that a change makes.

    Its id follows from the version before and the change, or from its group, so that the same
    history has the same ids in every store.
    """
    number = 1 if previous is None else previous.number + 1
    origin = "" if previous is None else previous.id
    return DatasetVersion(
        id=derived_id(
            "dataset_version", dataset_id, str(number), origin, _fingerprint(change), at=changed_at
        )
        if group_id is None
        else _id_in_group(dataset_id, number, group_id, changed_at),
        dataset_id=dataset_id,
        number=number,
        name=f"v{number}",
        items_total=(0 if previous is None else previous.items_total)
        + len(change.added)
        - len(change.deleted),
        items_added=len(change.added),
        items_modified=len(change.modified),
        items_deleted=len(change.deleted),
        change_description=change_description,
        created_at=changed_at,
    )


def is_of_group(version: DatasetVersion | None, group_id: str | None) -> bool:
    """Return True if a version was made by a change of a group, so that more of it may follow."""
    if version is None or group_id is None or version.created_at is None:
        return False
    expected = _id_in_group(version.dataset_id, version.number, group_id, version.created_at)
    return version.id == expected


def extended_version(
    version: DatasetVersion, *, added: int, modified: int, deleted: int
) -> DatasetVersion:
    """Return a version after a further change of its group.

    Args:
        version: The version so far.
        added: Items that are in it and not in the version before.
        modified: Items that are in both with different content.
        deleted: Items that are only in the version before.
    """
    before = version.items_total - version.items_added + version.items_deleted
    counts = {"items_added": added, "items_modified": modified, "items_deleted": deleted}
    return version.model_copy(update={**counts, "items_total": before + added - deleted})


def check_base(dataset_id: str, latest: DatasetVersion | None, base_version: int | None) -> None:
    """Check that a change starts from the latest version.

    Raises:
        ConflictError: It does not.
    """
    number = 0 if latest is None else latest.number
    if base_version not in (None, number):
        raise ConflictError(
            f"dataset {dataset_id!r} is at version {number}, the change starts from {base_version}",
            remedy="read the latest version and make the change again",
        )


def _id_in_group(dataset_id: str, number: int, group_id: str, changed_at: datetime) -> str:
    return derived_id("dataset_version_of_group", dataset_id, str(number), group_id, at=changed_at)


class _Overlay:
    """The present items with the changes so far on top."""

    def __init__(self, present: PresentItems) -> None:
        self.present = present
        self.before: dict[str, DatasetItem | None] = {}
        self.after: dict[str, DatasetItem | None] = {}
        self.hashes: Counter[str] = Counter()

    def get(self, item_id: str) -> DatasetItem | None:
        if item_id not in self.before:
            found = self.present.find_item(item_id)
            self.before[item_id] = self.after[item_id] = found
        return self.after[item_id]

    def set(self, item_id: str, item: DatasetItem | None) -> None:
        old = self.get(item_id)
        if old is not None:
            self.hashes[str(old.content_hash)] -= 1
        if item is not None:
            self.hashes[str(item.content_hash)] += 1
        # Looking an item up is not inserting it: the order is that of the last call of this method.
        del self.after[item_id]
        self.after[item_id] = item

    def is_known(self, content_hash: str, own: DatasetItem | None) -> bool:
        others = self.present.count_hash(content_hash) + self.hashes[content_hash]
        return others > (own is not None and own.content_hash == content_hash)

    def change(self) -> ItemChange:
        pairs = [(self.before[item_id], item) for item_id, item in self.after.items()]
        return ItemChange(
            added=tuple(new for old, new in pairs if old is None and new is not None),
            modified=tuple(
                new
                for old, new in pairs
                if old is not None and new is not None
                if not _same(old, new)
            ),
            deleted=tuple(sorted(old.id for old, new in pairs if old is not None and new is None)),
        )


def _over(before: DatasetItem | None, item: DatasetItem, changed_at: datetime) -> DatasetItem:
    stamp = item.last_updated_at or changed_at
    if before is None:
        times = {"created_at": item.created_at or changed_at, "last_updated_at": stamp}
        return item.model_copy(update={**times, "content_hash": item_hash(item)})
    named: Mapping[str, object] = {
        name: getattr(item, name)
        for name in item.model_fields_set
        if getattr(item, name) is not None and name != "content_hash"
    }
    updated = before.model_copy(update={**named, "created_at": before.created_at})
    return updated.model_copy(update={"content_hash": item_hash(updated), "last_updated_at": stamp})


def _same(a: DatasetItem, b: DatasetItem) -> bool:
    return a.content_hash == b.content_hash and _bytes(a) == _bytes(b)


def _bytes(item: DatasetItem) -> bytes:
    return dumps({name: getattr(item, name) for name in _LASTING})


def _fingerprint(change: ItemChange) -> str:
    return content_hash(
        [
            sorted(_bytes(item) for item in change.added),
            sorted(_bytes(item) for item in change.modified),
            change.deleted,
        ]
    )
