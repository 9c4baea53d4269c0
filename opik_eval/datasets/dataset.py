"""Datasets: named, versioned collections of items in a store, and read-only views of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from opik_eval.datasets import sampling
from opik_eval.datasets.loaders import Row, read_file, read_rows, rows_of_frame
from opik_eval.errors import DatasetError, NotFoundError
from opik_eval.ids import new_id
from opik_eval.records import Dataset as DatasetRecord
from opik_eval.records import DatasetItem, DatasetVersion, utc_now
from opik_eval.serialization import content_hash, dumps, loads
from opik_eval.storage.query import parse_filter
from opik_eval.storage.query_match import matches

if TYPE_CHECKING:
    import pandas as pd

    from opik_eval.storage.base import Storage


class ItemSource(ABC):
    """Anything that holds dataset items: a dataset, one of its versions, a part of it.

    Items keep their order. ``get_items`` gives dicts of the user's fields with the item's ``id``.
    """

    name: str
    dataset: Dataset

    @abstractmethod
    def records(self) -> Iterator[DatasetItem]:
        """Yield the items as they are stored."""

    @property
    @abstractmethod
    def version(self) -> DatasetVersion | None:
        """The version these items are of; ``None`` for a dataset without any."""

    def __len__(self) -> int:
        """Return the number of items."""
        return sum(1 for _ in self.records())

    def __iter__(self) -> Iterator[Row]:
        """Yield the items as dicts."""
        return (as_row(item) for item in self.records())

    def get_items(
        self, nb_samples: int | None = None, filter_string: str | None = None
    ) -> list[Row]:
        """Return the items as dicts.

        Args:
            nb_samples: At most that many, from the start.
            filter_string: Only those that match, such as ``data.intent = "refund"``.
        """
        source = self.records() if filter_string is None else self.where(filter_string).records()
        return [as_row(item) for item in islice(source, nb_samples)]

    def where(self, filter_string: str) -> DatasetView:
        """Return the items that match a filter."""
        condition = parse_filter(filter_string, "dataset_item")
        return DatasetView(self, [i for i in self.records() if matches(condition, i)])

    def shuffle(self, *, seed: int = 0) -> DatasetView:
        """Return the items in an order that seed and content decide."""
        return DatasetView(self, sampling.shuffled(list(self.records()), seed=seed))

    def subset(self, count: int, *, seed: int = 0) -> DatasetView:
        """Return ``count`` items chosen by seed and content, in their original order."""
        return DatasetView(self, sampling.subset(list(self.records()), count, seed=seed))

    def split(
        self, fractions: Mapping[str, float], *, seed: int = 0, stratify: str | None = None
    ) -> dict[str, DatasetView]:
        """Divide the items into disjoint named parts.

        Example:
            >>> from opik_eval.storage.memory import MemoryStorage
            >>> items = [{"n": n, "kind": n % 2} for n in range(10)]
            >>> parts = from_items(items, storage=MemoryStorage()).split(
            ...     {"train": 0.6, "test": 0.4}, stratify="kind"
            ... )
            >>> {name: len(part) for name, part in parts.items()}
            {'train': 6, 'test': 4}
        """
        parts = sampling.split(list(self.records()), fractions, seed=seed, stratify=stratify)
        return {name: DatasetView(self, items, name=name) for name, items in parts.items()}

    def to_pandas(self) -> pd.DataFrame:
        """Return the items as a data frame with a column per field, ``id`` first."""
        import pandas as pd

        return pd.DataFrame([{"id": item.id, **item.data} for item in self.records()])

    def to_json(self) -> str:
        """Return the items as a JSON list."""
        return dumps(self.get_items()).decode()

    def to_jsonl(self, path: str | Path) -> None:
        """Write the items to a file, one JSON object a line."""
        with Path(path).open("wb") as file:
            for row in self:
                file.write(dumps(row) + b"\n")


class DatasetView(ItemSource):
    """Some items of a dataset, chosen once. Read-only.

    Args:
        source: What they were chosen from.
        items: The chosen items, in order.
        name: Name of the part.
    """

    def __init__(
        self, source: ItemSource, items: Sequence[DatasetItem], *, name: str | None = None
    ) -> None:
        self.dataset = source.dataset
        self.name = source.name if name is None else f"{source.name}/{name}"
        self._version = source.version
        self._items = tuple(items)

    @property
    def version(self) -> DatasetVersion | None:
        """The version these items are of."""
        return self._version

    def records(self) -> Iterator[DatasetItem]:
        """Yield the items as they are stored."""
        return iter(self._items)

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._items)


class PinnedDataset(ItemSource):
    """A dataset as it was at one version. Read-only."""

    def __init__(self, dataset: Dataset, version: DatasetVersion) -> None:
        self.dataset = dataset
        self.name = dataset.name
        self._version = version

    @property
    def version(self) -> DatasetVersion:
        """The version."""
        return self._version

    def records(self) -> Iterator[DatasetItem]:
        """Yield the items as they are stored."""
        return self.dataset.storage.list_dataset_items(
            self.dataset.id, version=self._version.number
        )

    def __len__(self) -> int:
        """Return the number of items."""
        return self._version.items_total


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
        self.dataset = self

    @property
    def id(self) -> str:
        """Id of the dataset."""
        return self.record.id

    @property
    def name(self) -> str:  # type: ignore[override]
        """Name of the dataset."""
        return self.record.name

    @property
    def version(self) -> DatasetVersion | None:
        """The latest version."""
        latest = None
        for latest in self.storage.list_dataset_versions(self.id):  # noqa: B007 - the last one
            pass
        return latest

    def records(self) -> Iterator[DatasetItem]:
        """Yield the current items as they are stored."""
        return self.storage.list_dataset_items(self.id)

    def __len__(self) -> int:
        """Return the number of current items."""
        version = self.version
        return 0 if version is None else version.items_total

    def insert(
        self, items: Iterable[Mapping[str, object]], *, deduplication: bool = True
    ) -> DatasetVersion | None:
        """Add items; one new version.

        Args:
            items: Mappings of the user's fields. A field ``id`` that is a UUID is the item's id.
            deduplication: Leave out items whose content is already there.

        Returns:
            The new version, or ``None`` if nothing was new.
        """
        records = [make_item(row) for row in read_rows(items)]
        return self.storage.change_items(self.id, upsert=records, skip_known=deduplication)

    def insert_from(
        self,
        source: object,
        *,
        keys_mapping: Mapping[str, str] | None = None,
        ignore_keys: Sequence[str] = (),
        deduplication: bool = True,
    ) -> DatasetVersion | None:
        """Add the rows of any source: file, data frame, Hugging Face dataset, list."""
        rows = _renamed(read_rows(source), keys_mapping or {}, ignore_keys)
        return self.insert(rows, deduplication=deduplication)

    def insert_from_json(
        self,
        json_array: str,
        keys_mapping: Mapping[str, str] | None = None,
        ignore_keys: Sequence[str] = (),
    ) -> DatasetVersion | None:
        """Add the objects of a JSON list."""
        try:
            rows = loads(json_array)
        except ValueError as error:
            raise DatasetError(f"insert_from_json: not JSON ({error})") from error
        return self.insert(_renamed(read_rows(rows), keys_mapping or {}, ignore_keys))

    def insert_from_pandas(
        self,
        dataframe: pd.DataFrame,
        keys_mapping: Mapping[str, str] | None = None,
        ignore_keys: Sequence[str] = (),
    ) -> DatasetVersion | None:
        """Add the rows of a data frame; missing cells are left out."""
        return self.insert(_renamed(rows_of_frame(dataframe), keys_mapping or {}, ignore_keys))

    def read_jsonl_from_file(
        self,
        file_path: str | Path,
        keys_mapping: Mapping[str, str] | None = None,
        ignore_keys: Sequence[str] = (),
    ) -> DatasetVersion | None:
        """Add the lines of a JSONL file."""
        return self.insert(_renamed(read_file(Path(file_path)), keys_mapping or {}, ignore_keys))

    def update(self, items: Iterable[Mapping[str, object]]) -> DatasetVersion | None:
        """Replace items by id; every mapping must have the ``id`` of an item that is there.

        Raises:
            DatasetError: An id is missing or unknown; then nothing is changed.
        """
        rows = list(read_rows(items))
        known = {item.id for item in self.records()}
        for index, row in enumerate(rows):
            if row.get("id") not in known:
                raise DatasetError(
                    f"update: item {index} has the id {row.get('id')!r}, which is not in dataset "
                    f"{self.name!r}",
                    remedy="take items from get_items(), change them and pass them back",
                )
        return self.storage.change_items(self.id, upsert=[make_item(row) for row in rows])

    def delete(self, items_ids: Sequence[str]) -> DatasetVersion | None:
        """Remove items by id; one new version. Unknown ids are no error."""
        return self.storage.change_items(self.id, delete=items_ids)

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


def as_row(item: DatasetItem) -> Row:
    """Return an item as a task receives it: the user's fields, and the item's ``id``.

    A field ``id`` of the user's own wins.
    """
    return {"id": item.id, **item.data}


def make_item(row: Mapping[str, object]) -> DatasetItem:
    """Return a new item for the store.

    A field ``id`` that is a UUID is taken as the item's id (``get_items`` gives it so); any other
    ``id`` stays what it is, a field of the user's.
    """
    data = dict(row)
    identifier = data.get("id")
    if isinstance(identifier, str) and _is_uuid(identifier):
        del data["id"]
    else:
        identifier = new_id()
    return DatasetItem(id=identifier, data=data, created_at=utc_now())


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
    """
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
        raise NotFoundError(
            f"there is no dataset {name!r} in {storage.location}",
            remedy=f"datasets there: {', '.join(known[:20]) or 'none'}",
        )
    return Dataset(storage, record)


def pinned_dataset(storage: Storage, name: str | None, version_id: str | None) -> ItemSource:
    """Return the dataset version that an experiment was run on.

    Raises:
        DatasetError: The dataset is gone.
    """
    record = storage.find_dataset(name or "")
    if record is None:
        raise DatasetError(
            f"the experiment's dataset {name!r} is gone from {storage.location}",
            remedy="import it again under that name, or start a new experiment",
        )
    dataset = Dataset(storage, record)
    for version in storage.list_dataset_versions(dataset.id):
        if version.id == version_id:
            return PinnedDataset(dataset, version)
    return dataset


def from_items(source: object, *, storage: Storage, name: str | None = None) -> Dataset:
    """Return a dataset with exactly the items of a source, stored once.

    Without a name the name comes from the content, so that the same items are the same dataset in
    every run.

    Raises:
        DatasetError: There are no items.
    """
    rows = list(read_rows(source))
    if not rows:
        raise DatasetError("the dataset has no items", remedy="pass at least one item")
    name = name or f"items-{content_hash(rows)[:12]}"
    record = storage.find_dataset(name)
    dataset = Dataset(storage, record) if record else create_dataset(storage, name)
    if len(dataset) == 0:
        dataset.insert(rows, deduplication=False)
    return dataset


def _renamed(
    rows: Iterable[Row], mapping: Mapping[str, str], ignored: Sequence[str]
) -> Iterator[Row]:
    for row in rows:
        yield {mapping.get(key, key): value for key, value in row.items() if key not in ignored}


def _is_uuid(text: str) -> bool:
    parts = text.split("-")
    return [len(part) for part in parts] == [8, 4, 4, 4, 12] and all(
        character in "0123456789abcdefABCDEF" for part in parts for character in part
    )
