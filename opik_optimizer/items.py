"""The items of a run: read from wherever they are, known by the hash of their content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from opik_eval.datasets.items import given_id
from opik_eval.errors import DatasetError
from opik_eval.serialization import content_hash

if TYPE_CHECKING:
    from opik_eval.datasets.source import ItemSource
    from opik_eval.storage.base import Storage

Item = Mapping[str, object]

_FILES = (".jsonl", ".json", ".csv", ".parquet")
_HUGGING_FACE = "hf:"


@dataclass(frozen=True, kw_only=True)
class ItemSet:
    """Items by content id, in the order of their source, each content once.

    Attributes:
        items: The user's fields by content id.
        name: Name of the dataset, if it has one.
        source: The dataset in the store, if they come from one.
        stored_ids: Ids in the store by content id.
        duplicates: How many items were left out because another says exactly the same.
    """

    items: Mapping[str, Item]
    name: str | None = None
    source: ItemSource | None = field(default=None, repr=False, compare=False)
    stored_ids: Mapping[str, str] = field(default_factory=dict, repr=False)
    duplicates: int = 0

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.items)


def content_id(item: Item) -> str:
    """Return the id of an item by its content, 16 hex digits; an ``id`` of the store's is ignored.

    Example:
        >>> stored = {"q": "2+2", "id": "00000000-0000-7000-8000-000000000000"}
        >>> content_id({"q": "2+2"}) == content_id(stored)
        True
    """
    return content_hash(_without_id(item))[:16]


def read_items(source: object, *, storage: Storage | None = None) -> ItemSet:
    """Read the items of whatever may be a dataset.

    Args:
        source: A ``Dataset`` or a part of one; the name of a dataset in the store; a list of dicts;
            a data frame; a path to a file; a Hugging Face dataset.
        storage: Where names are looked up; the default store if absent.

    Raises:
        DatasetError: There are no items, or the source cannot be read.

    Example:
        >>> len(read_items([{"q": "1+1"}, {"q": "1+1"}, {"q": "1+2"}]))
        2
    """
    from opik_eval.datasets.source import ItemSource

    if isinstance(source, str):
        source = _named_source(source, storage)
    if isinstance(source, ItemSource):
        source = source.pinned()
        pairs = [(record.data, record.id) for record in source.records()]
        return _item_set(pairs, name=source.name, source=source)
    if isinstance(source, ItemSet):
        return source
    return _item_set([(row, None) for row in _rows(source)])


def _named_source(name: str, storage: Storage | None) -> object:
    """Return the path, the Hugging Face dataset or the dataset in the store that is meant."""
    if name.startswith(_HUGGING_FACE):
        return _hugging_face(name)
    if Path(name).suffix.lower() in _FILES:
        return Path(name)
    from opik_eval.datasets.dataset import get_dataset
    from opik_eval.storage.opening import open_storage

    return get_dataset(storage or open_storage(), name)


def _hugging_face(name: str) -> Iterable[Item]:
    from opik_eval.datasets.loaders import read_rows

    return read_rows(name)


def _rows(source: object) -> Iterable[Item]:
    from opik_eval.datasets.loaders import read_rows

    get_items = getattr(source, "get_items", None)  # datasets of other libraries
    return read_rows(get_items() if callable(get_items) else source)


def _item_set(
    pairs: Sequence[tuple[Item, str | None]],
    *,
    name: str | None = None,
    source: ItemSource | None = None,
) -> ItemSet:
    items: dict[str, Item] = {}
    stored: dict[str, str] = {}
    for row, stored_id in pairs:
        item_id = content_id(row)
        items.setdefault(item_id, _without_id(row))
        known = stored_id or given_id(row)
        if known is not None:
            stored.setdefault(item_id, known)
    if not items:
        raise DatasetError("the dataset has no items", remedy="pass at least one item")
    return ItemSet(
        items=items,
        name=name,
        source=source,
        stored_ids=stored,
        duplicates=len(pairs) - len(items),
    )


def _without_id(item: Item) -> dict[str, object]:
    data = dict(item)
    if given_id(item) is not None:
        del data["id"]
    return data


__all__ = ["Item", "ItemSet", "content_id", "read_items"]
