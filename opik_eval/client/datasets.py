"""Datasets of the client."""

from __future__ import annotations

from itertools import islice

from opik_eval.client.connection import Connection
from opik_eval.datasets.dataset import (
    Dataset,
    create_dataset,
    get_dataset,
    get_or_create_dataset,
)


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
        return get_or_create_dataset(
            self._storage, name, description=description, project_name=project_name
        )

    def get_datasets(self, max_results: int | None = None) -> list[Dataset]:
        """Return all datasets, oldest first."""
        found = islice(self._storage.list_datasets(), max_results)
        return [Dataset(self._storage, record) for record in found]

    def delete_dataset(self, name: str) -> None:
        """Delete a dataset with its items and versions; its experiments stay.

        Raises:
            NotFoundError: There is none of that name.
        """
        self._storage.delete_dataset(get_dataset(self._storage, name).id)
