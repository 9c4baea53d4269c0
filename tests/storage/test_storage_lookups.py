"""Records found by id, in all storages that a server may stand on."""

from __future__ import annotations

from contextlib import closing

import pytest

from opik_eval.records import (
    Dataset,
    DatasetItem,
    Experiment,
    ExperimentItem,
    Prompt,
    PromptVersion,
    Trace,
)
from opik_eval.storage.file import FileStorage
from opik_eval.storage.memory import MemoryStorage


class LookupContract:
    """What holds for every storage of a server."""

    def test_records_are_found_by_id(self, storage):
        """Each type has ids of its own; what is not there is ``None``."""
        records = [
            Dataset(id="1", name="questions"),
            Prompt(id="2", name="greeting"),
            PromptVersion(id="3", prompt_id="2", commit="abc", number=1, template="Hi"),
            Experiment(id="4", name="run"),
            ExperimentItem(id="5", experiment_id="4", dataset_item_id="i"),
        ]
        storage.write(records)
        kinds = (Dataset, Prompt, PromptVersion, ExperimentItem)
        for record in records:
            found = [storage.find_by_id(kind, record.id) for kind in kinds]
            assert found == [record if type(record) is kind else None for kind in kinds]

    def test_threads_are_named_once_each(self, storage):
        """A thread belongs to a project however that is spelt; traces without one name none."""
        named = [("Shop", "a"), ("shop", "a"), (None, "a"), ("shop", "b\ud800"), ("shop", None)]
        storage.write(
            [
                Trace(id=str(number), project_name=project, thread_id=thread)
                for number, (project, thread) in enumerate(named)
            ]
        )
        assert sorted(storage.thread_keys()) == [
            ("default project", "a"),
            ("shop", "a"),
            ("shop", "b\ud800"),
        ]

    def test_items_are_found_in_the_latest_versions(self, storage):
        """Deleted items, and items of deleted datasets, are in none."""
        storage.write([Dataset(id=key, name=key) for key in "abc"])
        for key in "abc":
            items = [DatasetItem(id=f"{key}{n}", data={"n": n}) for n in range(3)]
            storage.change_items(key, upsert=[*items, DatasetItem(id="both", data={"of": key})])
        storage.change_items("a", delete=["a0"])
        storage.delete_dataset("c")
        found = storage.datasets_of_items(["a0", "a2", "a1", "both", "c1", "none"])
        assert {key: [*ids] for key, ids in found.items()} == {
            "a": ["a1", "a2", "both"],
            "b": ["both"],
        }
        assert storage.datasets_of_items([]) == {}


class TestMemoryLookups(LookupContract):
    """Lookups in memory."""

    @pytest.fixture
    def storage(self):
        with closing(MemoryStorage()) as storage:
            yield storage


class TestFileLookups(LookupContract):
    """Lookups in a file."""

    @pytest.fixture
    def storage(self, tmp_path):
        with closing(FileStorage(tmp_path / "a.db")) as storage:
            yield storage


class TestPostgresLookups(LookupContract):
    """Lookups in PostgreSQL."""

    @pytest.fixture
    def storage(self, postgres_url):
        import psycopg

        from opik_eval.storage.postgres import PostgresStorage

        with psycopg.connect(postgres_url, autocommit=True) as raw:
            with closing(PostgresStorage(postgres_url, "lookups")) as storage:
                yield storage
            raw.execute("DROP SCHEMA lookups CASCADE")
