"""The memory backend passes the storage contract, and what else is its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from opik_eval.errors import ConfigError
from opik_eval.records import Attachment, Columns, FeedbackScore, Trace
from opik_eval.storage.base import Storage
from opik_eval.storage.memory import MemoryStorage
from opik_eval.testing.storage_contract import StorageContract
from opik_eval.testing.storage_documents import DocumentContract


class TestMemoryStorage(StorageContract, DocumentContract):
    """The battery on the memory backend."""

    @pytest.fixture
    def storage(self) -> Iterator[Storage]:
        """Yield a fresh memory storage."""
        with closing(MemoryStorage()) as storage:
            yield storage


def test_two_memory_storages_share_nothing() -> None:
    """Each object is a store of its own."""
    first, second = MemoryStorage(), MemoryStorage()
    first.write([Trace(id="t")])
    assert second.find_trace("t") is None


def test_the_memory_backend_is_a_storage() -> None:
    """The runtime check of the protocol accepts it."""
    assert isinstance(MemoryStorage(), Storage)


def test_columns_become_no_records() -> None:
    """Columns are written as they are: to make records of them takes longer than all the rest."""

    class OnlyColumns(Columns[FeedbackScore]):
        def records(self) -> list[FeedbackScore]:
            raise AssertionError("records were made")

    storage = MemoryStorage()
    columns = {"entity_type": ["trace"] * 2, "entity_id": ["t"] * 2, "name": ["a", "b"]}
    storage.write([OnlyColumns(FeedbackScore, {**columns, "value": [0.5, 1.0]})])
    found = storage.list_feedback_scores("trace", ["t"])
    assert [(score.name, score.value) for score in found] == [("a", 0.5), ("b", 1.0)]


def test_memory_takes_no_uploads() -> None:
    """A file that came past the storage cannot be here, and the error says so."""
    file = Attachment(
        id="a",
        entity_type="trace",
        entity_id="t",
        file_name="a.txt",
        mime_type="text/plain",
        sha256="0" * 64,
        size_bytes=1,
    )
    storage = MemoryStorage()
    assert storage.uploads is None
    with pytest.raises(ConfigError, match="takes no uploads"):
        storage.note_attachment(file)
