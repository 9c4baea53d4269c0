"""What the storage contract's tests build on: the fixture to supply and small makers of records."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from opik_eval.ids import new_id
from opik_eval.records import Dataset, DatasetItem, Experiment, FeedbackScore
from opik_eval.storage.base import Storage

DAY = datetime(2026, 1, 1, tzinfo=UTC)


class StorageCase:
    """Base of the contract's classes: what a backend's test class supplies."""

    @pytest.fixture
    def storage(self) -> Iterator[Storage]:
        """Yield an open, empty storage of the backend and close it afterwards."""
        raise NotImplementedError("supply the fixture `storage` for your backend")

    def reopen(self, storage: Storage) -> Storage:
        """Return what another process would see: the same data behind a fresh storage object.

        Backends without durability return ``storage`` itself.
        """
        return storage


def day(number: float) -> datetime:
    """Return a time so many days after the first of 2026."""
    return DAY + timedelta(days=number)


def ids(count: int) -> list[str]:
    """Return fresh ids in ascending order."""
    return sorted(new_id() for _ in range(count))


def score(entity_id: str, name: str = "accuracy", value: float = 1.0) -> FeedbackScore:
    """Return a score of a trace."""
    return FeedbackScore(entity_id=entity_id, name=name, value=value)


def add_dataset(storage: Storage, name: str = "questions") -> str:
    """Write an empty dataset and return its id."""
    dataset = Dataset(id=new_id(), name=name)
    storage.write([dataset])
    return dataset.id


def add_experiment(storage: Storage, **fields: object) -> str:
    """Write an experiment and return its id."""
    experiment = Experiment.model_validate({"id": new_id(), **fields})
    storage.write([experiment])
    return experiment.id


def item(item_id: str, **data: object) -> DatasetItem:
    """Return a dataset item with these fields of the user."""
    return DatasetItem(id=item_id, data=data)


def contents(storage: Storage, dataset_id: str, version: int | None = None) -> list[object]:
    """Return the data of a dataset's items, in order."""
    return [found.data for found in storage.list_dataset_items(dataset_id, version=version)]
