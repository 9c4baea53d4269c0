"""What holds dataset items: the reading side of datasets, their versions and parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from opik_eval.datasets import sampling
from opik_eval.datasets.items import as_row
from opik_eval.datasets.loaders import Row
from opik_eval.errors import DatasetError
from opik_eval.records import DatasetItem, DatasetVersion
from opik_eval.serialization import dumps
from opik_eval.storage.query import parse_filter
from opik_eval.storage.query_match import matches

if TYPE_CHECKING:
    import pandas as pd

    from opik_eval.datasets.dataset import Dataset


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

    def pinned(self) -> ItemSource:
        """Return the same items as they are now, whatever becomes of the dataset."""
        return self

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of items."""

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

        Raises:
            DatasetError: ``nb_samples`` is negative.
            ConfigError: The filter cannot be read.
        """
        if nb_samples is not None and nb_samples < 0:
            raise DatasetError(f"nb_samples={nb_samples} is negative", remedy="pass 0 or more")
        source = self if filter_string is None else self.where(filter_string)
        return list(islice(source, nb_samples))

    def where(self, filter_string: str) -> DatasetView:
        """Return the items that match a filter.

        Raises:
            ConfigError: The filter cannot be read.
        """
        condition, source = parse_filter(filter_string, "dataset_item"), self.pinned()
        return DatasetView(source, [item for item in source.records() if matches(condition, item)])

    def shuffle(self, *, seed: int = 0) -> DatasetView:
        """Return the items in an order that seed and content decide."""
        source = self.pinned()
        return DatasetView(source, sampling.shuffled(list(source.records()), seed=seed))

    def subset(self, count: int, *, seed: int = 0) -> DatasetView:
        """Return ``count`` items chosen by seed and content, in their original order.

        Raises:
            DatasetError: There are fewer items than that.
        """
        source = self.pinned()
        return DatasetView(source, sampling.subset(list(source.records()), count, seed=seed))

    def split(
        self, fractions: Mapping[str, float], *, seed: int = 0, stratify: str | None = None
    ) -> dict[str, DatasetView]:
        """Divide the items into disjoint named parts; see ``sampling.split``.

        Example:
            >>> from opik_eval.datasets import from_items
            >>> from opik_eval.storage.opening import open_storage
            >>> items = [{"n": n, "kind": n % 2} for n in range(10)]
            >>> parts = from_items(items, storage=open_storage("memory:")).split(
            ...     {"train": 0.6, "test": 0.4}, stratify="kind"
            ... )
            >>> {name: len(part) for name, part in parts.items()}
            {'train': 6, 'test': 4}
        """
        source = self.pinned()
        parts = sampling.split(list(source.records()), fractions, seed=seed, stratify=stratify)
        return {name: DatasetView(source, items, name=name) for name, items in parts.items()}

    def to_pandas(self) -> pd.DataFrame:
        """Return the items as a data frame with a column per field, ``id`` first."""
        import pandas as pd

        return pd.DataFrame(list(self))

    def to_json(self) -> str:
        """Return the items as a JSON list."""
        return dumps(list(self), sort_keys=False).decode()

    def to_jsonl(self, path: str | Path) -> None:
        """Write the items to a file, one JSON object a line."""
        with Path(path).open("wb") as file:
            file.writelines(dumps(row, sort_keys=False) + b"\n" for row in self)


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
