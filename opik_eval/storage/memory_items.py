"""Items of a dataset in memory: every content with the versions it was in."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from opik_eval.records import DatasetItem, DatasetVersion
from opik_eval.serialization import dumps_each
from opik_eval.storage.items import ItemChange, extended_version
from opik_eval.storage.merge import decode, named_fields


@dataclass(slots=True)
class _Interval:
    """One content of an item, and the versions it is in: ``start <= version < end``."""

    start: int
    end: int | None
    text: bytes
    content_hash: str

    def covers(self, version: int) -> bool:
        """Return True if the content is in a version."""
        return self.start <= version and (self.end is None or version < self.end)


@dataclass
class MemoryItems:
    """All items that a dataset ever had, in the order of their first insertion."""

    versions: list[DatasetVersion] = field(default_factory=list)
    history: dict[str, list[_Interval]] = field(default_factory=dict)
    hashes: Counter[str] = field(default_factory=Counter)

    def find_item(self, item_id: str) -> DatasetItem | None:
        """Return an item of the latest version."""
        interval = self._current(item_id)
        return None if interval is None else decode(DatasetItem, interval.text)

    def count_hash(self, content_hash: str) -> int:
        """Return the number of items of the latest version with a content hash."""
        return self.hashes[content_hash]

    def item_ids(self) -> list[str]:
        """Return the ids of the latest version."""
        return [item_id for item_id in self.history if self._current(item_id)]

    def apply(self, change: ItemChange, number: int) -> None:
        """Make the items of a version: the next one, or the latest one once more."""
        for item_id in (*change.deleted, *(item.id for item in change.modified)):
            interval = self.history[item_id][-1]
            interval.end = number
            self.hashes[interval.content_hash] -= 1
            if interval.start == number:
                self.history[item_id].pop()
        fresh = (*change.added, *change.modified)
        for item, text in zip(fresh, dumps_each([*map(named_fields, fresh)]), strict=True):
            content_hash = str(item.content_hash)
            interval = _Interval(number, None, text.encode(), content_hash)
            self.history.setdefault(item.id, []).append(interval)
            self.hashes[content_hash] += 1
        for item_id in change.deleted:
            if not self.history[item_id]:  # it came and went in one version
                del self.history[item_id]

    def extend(self, change: ItemChange, latest: DatasetVersion) -> DatasetVersion:
        """Make a change part of the latest version."""
        number = latest.number
        self.apply(change, number)
        begun = {i for i, history in self.history.items() if history[-1].covers(number)}
        kept = {i for i in begun if self.history[i][-1].start < number}
        before = {i for i, history in self.history.items() if _is_in(history, number - 1)}
        self.versions[-1] = extended_version(
            latest,
            added=len(begun - before),
            modified=len((begun & before) - kept),
            deleted=len(before - begun),
        )
        return self.versions[-1]

    def texts(self, version: int) -> list[bytes]:
        """Return the items of a version as JSON."""
        intervals = (i for history in self.history.values() for i in history)
        return [interval.text for interval in intervals if interval.covers(version)]

    def _current(self, item_id: str) -> _Interval | None:
        history = self.history.get(item_id)
        return history[-1] if history and history[-1].end is None else None


def _is_in(history: list[_Interval], version: int) -> bool:
    return any(interval.covers(version) for interval in history)
