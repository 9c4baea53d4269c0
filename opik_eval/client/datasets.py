"""Datasets of the client."""

from __future__ import annotations

from opik_eval.client.connection import Connection
from opik_eval.datasets.dataset import Dataset, create_dataset, get_dataset
from opik_eval.errors import ConflictError


class Datasets(Connection):
    """Create, find and delete datasets."""

    def create_dataset(
        self, name: str, description: str | None = None, project_name: str | None = None
    ) -> Dataset:
        """Create a dataset.

        Raises:
            ConflictError: The name is taken.
        """
        return create_dataset(
            self._storage, name, description=description, project_name=project_name
        )

    def get_dataset(self, name: str, project_name: str | None = None) -> Dataset:  # noqa: ARG002 - Opik's signature; names are unique in a store
        """Return the dataset of that name.

        Raises:
            NotFoundError: There is none; the text lists what is there.
        """
        return get_dataset(self._storage, name)

    def get_or_create_dataset(
        self, name: str, description: str | None = None, project_name: str | None = None
    ) -> Dataset:
        """Return the dataset of that name, created if it is not there."""
        record = self._storage.find_dataset(name)
        if record is not None:
            return Dataset(self._storage, record)
        try:
            return self.create_dataset(name, description, project_name)
        except ConflictError:  # somebody else created it just now
            return get_dataset(self._storage, name)

    def get_datasets(self, max_results: int | None = None) -> list[Dataset]:
        """Return all datasets, oldest first."""
        datasets = [Dataset(self._storage, record) for record in self._storage.list_datasets()]
        return datasets[:max_results]

    def delete_dataset(self, name: str) -> None:
        """Delete a dataset with its items and versions; its experiments stay.

        Raises:
            NotFoundError: There is none of that name.
        """
        self._storage.delete_dataset(get_dataset(self._storage, name).id)
