"""Datasets: named, versioned collections of items in a store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from opik_eval.datasets.items import as_row, given_id, is_uuid, make_item, renamed
from opik_eval.datasets.loaders import Row, read_file, read_json, read_rows, rows_of_frame
from opik_eval.datasets.source import DatasetView, ItemSource, PinnedDataset
from opik_eval.errors import ConflictError, DatasetError, NotFoundError
from opik_eval.ids import derived_id, new_id
from opik_eval.records import Dataset as DatasetRecord
from opik_eval.records import DatasetItem, DatasetVersion, utc_now
from opik_eval.serialization import content_hash, dumps
from opik_eval.storage.items import item_hash

if TYPE_CHECKING:
    import pandas as pd

    from opik_eval.storage.base import Storage

__all__ = [
    "Dataset",
    "DatasetView",
    "ItemSource",
    "PinnedDataset",
    "as_row",
    "create_dataset",
    "from_items",
    "get_dataset",
    "get_or_create_dataset",
    "make_item",
    "pinned_dataset",
]


class Dataset(ItemSource):
    """A dataset in a store.

    Made by ``get_or_create_dataset``, ``get_dataset`` or ``from_items``. Every change makes a new
    version; old versions stay readable.

    Args:
        storage: Where it is.
        record: Its record.
    """

    def __init__(self, storage: Storage, record: DatasetRecord) -> None:
        self.storage = storage
        self.record = record
        self.name = record.name
        self.dataset = self

    @property
    def id(self) -> str:
        """Id of the dataset."""
        return self.record.id

    @property
    def version(self) -> DatasetVersion | None:
        """The latest version."""
        latest = None
        for latest in self.storage.list_dataset_versions(self.id):  # noqa: B007 - the last one
            pass
        return latest

    def pinned(self) -> ItemSource:
        """Return the latest version; the dataset itself as long as it has none."""
        version = self.version
        return self if version is None else PinnedDataset(self, version)

    def records(self) -> Iterator[DatasetItem]:
        """Yield the current items as they are stored."""
        return self.storage.list_dataset_items(self.id)

    def __len__(self) -> int:
        """Return the number of current items."""
        version = self.version
        return 0 if version is None else version.items_total

    def insert(self, items: object, *, deduplication: bool = True) -> DatasetVersion | None:
        """Add items; one new version.

        Args:
            items: Mappings of the user's fields, or any other source that ``read_rows`` takes. A
                field ``id`` that is a UUID is the item's id: an item of that id is replaced.
            deduplication: Leave out items whose content is already there.

        Returns:
            The new version, or ``None`` if nothing was new.

        Example:
            >>> from opik_eval.storage.opening import open_storage
            >>> dataset = create_dataset(open_storage("memory:"), "questions")
            >>> dataset.insert([{"question": "2+2"}, {"question": "2+2"}]).items_added
            1
        """
        now = utc_now()
        records = [make_item(row, created_at=now) for row in read_rows(items)]
        return self.storage.change_items(self.id, upsert=records, skip_known=deduplication)

    def insert_from(
        self,
        source: object,
        *,
        keys_mapping: Mapping[str, str] | None = None,
        ignore_keys: Sequence[str] = (),
        deduplication: bool = True,
    ) -> DatasetVersion | None:
        """Add the rows of any source: file, data frame, Hugging Face dataset, list.

        Args:
            source: See ``read_rows``.
            keys_mapping: New names of fields by the names they have.
            ignore_keys: Fields to leave out, by the names they have.
            deduplication: Leave out items whose content is already there.

        Raises:
            DatasetError: The source cannot be read, or two fields would get one name.
        """
        rows = renamed(read_rows(source), keys_mapping or {}, ignore_keys)
        return self.insert(rows, deduplication=deduplication)

    def insert_from_json(
        self,
        json_array: str,
        keys_mapping: Mapping[str, str] | None = None,
        ignore_keys: Sequence[str] = (),
    ) -> DatasetVersion | None:
        """Add the objects of a JSON list."""
        rows = read_json(json_array, "insert_from_json")
        return self.insert_from(rows, keys_mapping=keys_mapping, ignore_keys=ignore_keys)

    def insert_from_pandas(
        self,
        dataframe: pd.DataFrame,
        keys_mapping: Mapping[str, str] | None = None,
        ignore_keys: Sequence[str] = (),
    ) -> DatasetVersion | None:
        """Add the rows of a data frame; missing cells are left out."""
        rows = rows_of_frame(dataframe)
        return self.insert_from(rows, keys_mapping=keys_mapping, ignore_keys=ignore_keys)

    def read_jsonl_from_file(
        self,
        file_path: str | Path,
        keys_mapping: Mapping[str, str] | None = None,
        ignore_keys: Sequence[str] = (),
    ) -> DatasetVersion | None:
        """Add the lines of a JSONL file, whatever its ending."""
        rows = read_file(Path(file_path), ending=".jsonl")
        return self.insert_from(rows, keys_mapping=keys_mapping, ignore_keys=ignore_keys)

    def update(self, items: object) -> DatasetVersion | None:
        """Replace items by id; every mapping must have the ``id`` of an item that is there.

        Args:
            items: Changed items of ``get_items``. Where the user's items have a field ``id`` of
                their own, it tells which item is meant.

        Raises:
            DatasetError: An id is missing, unknown or that of several items; then nothing changes.
        """
        ids = self._ids_by_shown()
        records = []
        for index, row in enumerate(read_rows(items)):
            found = ids.get(dumps(row.get("id")), ())
            if len(found) != 1:
                problem = f"is that of {len(found)} items of" if found else "is not in"
                raise DatasetError(
                    f"update: the id {row.get('id')!r} of item {index} {problem} dataset "
                    f"{self.name!r}",
                    remedy="take items from get_items(), change them and pass them back",
                )
            records.append(make_item(row, item_id=found[0]))
        return self.storage.change_items(self.id, upsert=records)

    def delete(self, items_ids: Sequence[str]) -> DatasetVersion | None:
        """Remove items by id, as ``get_items`` shows it; one new version.

        Unknown ids are no error.
        """
        wanted = [items_ids] if isinstance(items_ids, str) else list(items_ids)
        if not all(map(is_uuid, wanted)):
            ids = self._ids_by_shown()
            wanted = [found for shown in wanted for found in ids.get(dumps(shown), ())]
        return self.storage.change_items(self.id, delete=wanted)

    def clear(self) -> DatasetVersion | None:
        """Remove all items; one new version."""
        return self.storage.change_items(self.id, delete="all")

    def get_version_view(self, version_name: str) -> PinnedDataset:
        """Return the dataset as it was at a version such as ``v2``.

        Raises:
            NotFoundError: There is no such version.
        """
        names = []
        for version in self.storage.list_dataset_versions(self.id):
            if version.name == version_name:
                return PinnedDataset(self, version)
            names.append(version.name)
        raise NotFoundError(
            f"dataset {self.name!r} has no version {version_name!r}",
            remedy=f"its versions are {', '.join(names) or 'none yet'}",
        )

    def _ids_by_shown(self) -> dict[bytes, list[str]]:
        """Return the ids of the items by the JSON of the ``id`` that ``get_items`` shows."""
        ids: dict[bytes, list[str]] = {}
        for item in self.records():
            ids.setdefault(dumps(as_row(item)["id"]), []).append(item.id)
        return ids


def create_dataset(
    storage: Storage,
    name: str,
    *,
    description: str | None = None,
    project_name: str | None = None,
) -> Dataset:
    """Create a dataset.

    Raises:
        ConflictError: The name is taken.
        DatasetError: The name is blank.
    """
    if not name.strip():
        raise DatasetError("a dataset needs a name", remedy="pass a name that is not blank")
    record = DatasetRecord(
        id=new_id(),
        name=name,
        description=description,
        project_name=project_name,
        created_at=utc_now(),
        last_updated_at=utc_now(),
    )
    storage.write([record])
    return Dataset(storage, record)


def get_dataset(storage: Storage, name: str) -> Dataset:
    """Return the dataset of that name.

    Raises:
        NotFoundError: There is none; the text lists what is there.
    """
    record = storage.find_dataset(name)
    if record is None:
        known = sorted(dataset.name for dataset in storage.list_datasets())
        more = f" and {len(known) - 20} more" if len(known) > 20 else ""
        raise NotFoundError(
            f"there is no dataset {name!r} in {storage.location}",
            remedy=f"datasets there: {', '.join(known[:20]) or 'none'}{more}",
        )
    return Dataset(storage, record)


def get_or_create_dataset(
    storage: Storage,
    name: str,
    *,
    description: str | None = None,
    project_name: str | None = None,
) -> Dataset:
    """Return the dataset of that name, created if it is not there."""
    record = storage.find_dataset(name)
    if record is not None:
        return Dataset(storage, record)
    try:
        return create_dataset(storage, name, description=description, project_name=project_name)
    except ConflictError:  # somebody else created it just now
        return get_dataset(storage, name)


def pinned_dataset(storage: Storage, name: str | None, version_id: str | None) -> ItemSource:
    """Return the dataset version that an experiment was run on.

    Raises:
        DatasetError: The dataset or that version of it is gone.
    """
    record = storage.find_dataset(name or "")
    if record is None:
        raise DatasetError(
            f"the experiment's dataset {name!r} is gone from {storage.location}",
            remedy="import it again under that name, or start a new experiment",
        )
    dataset = Dataset(storage, record)
    if version_id is None:  # without any version it had no items
        return dataset
    for version in storage.list_dataset_versions(dataset.id):
        if version.id == version_id:
            return PinnedDataset(dataset, version)
    raise DatasetError(
        f"dataset {name!r} in {storage.location} is not the one of the experiment: it does not "
        "have the version that was evaluated",
        remedy="import that dataset again, or start a new experiment",
    )


def from_items(source: object, *, storage: Storage, name: str | None = None) -> Dataset:
    """Return a dataset with exactly the items of a source, duplicates included.

    Calling it again with the same items changes nothing. A named dataset that has other items gets
    a new version: items whose content is there keep their ids, the others come last.

    Args:
        source: See ``read_rows``.
        storage: Where the dataset is, or shall be.
        name: Its name. Without one the name comes from the content, so that the same items are the
            same dataset, with the same ids, in every run and every store.

    Raises:
        DatasetError: There are no items, or the source cannot be read.

    Example:
        >>> from opik_eval.storage.opening import open_storage
        >>> from_items([{"question": "2+2"}], storage=open_storage("memory:")).name
        'items-7cedb45fc52e'
    """
    rows = list(read_rows(source))
    if not rows:
        raise DatasetError("the dataset has no items", remedy="pass at least one item")
    digest = content_hash(rows)
    dataset = get_or_create_dataset(storage, name or f"items-{digest[:12]}")
    version = dataset.version
    if name is None and version is not None and version.number == 1:
        return dataset  # its name says what is in it, and nobody has changed it
    _change_to(dataset, rows, digest)
    return dataset


def _change_to(dataset: Dataset, rows: Sequence[Row], digest: str) -> None:
    """Change the items of a dataset to ``rows``; what is there of their content keeps its id."""
    present: dict[str | None, list[str]] = {}
    for item in dataset.records():
        present.setdefault(item.content_hash, []).append(item.id)
    gone = {identifier for ids in present.values() for identifier in ids}
    items, now = [], utc_now()
    for index, row in enumerate(rows):
        own_id = given_id(row)
        item = make_item(row, item_id=own_id or derived_id(digest, str(index)), created_at=now)
        if present and own_id is None and (same := present.get(item_hash(item))):
            item = item.model_copy(update={"id": same.pop(0)})
        items.append(item)
    gone.difference_update(item.id for item in items)
    dataset.storage.change_items(dataset.id, upsert=items, delete=gone)
