"""The file backend: the contract of storages, and what only files can suffer."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread as Worker

import pytest

from opik_eval.errors import UnavailableError
from opik_eval.records import Dataset, DatasetItem, Trace
from opik_eval.storage.base import Storage
from opik_eval.storage.file import FileStorage
from opik_eval.testing.storage_contract import StorageContract, TraceContract, WriteContract
from opik_eval.testing.storage_documents import DocumentContract


class _FileCase:
    options: dict = {}

    @pytest.fixture
    def storage(self, tmp_path):
        self.opened = [FileStorage(tmp_path / "opik.db", **self.options)]
        yield self.opened[0]
        for storage in self.opened:
            storage.close()

    def reopen(self, storage: Storage) -> Storage:
        path = Path(storage.location.removeprefix("file:"))
        self.opened.append(FileStorage(path, **self.options))
        return self.opened[-1]


class TestFileContract(_FileCase, StorageContract, DocumentContract):
    """The whole contract on a file with write-ahead logging."""


class TestRollbackJournalContract(_FileCase, TraceContract, WriteContract):
    """What locks and payloads matter to, with a rollback journal and every payload beside it."""

    options = {"write_ahead": False, "payload_limit_bytes": 4}


# -- text that is no UTF-8


def test_texts_with_lone_surrogates_survive(path, opened):
    """Ids, names and reasons that are no valid Unicode come back as they were, and merge."""
    odd = "a\ud800"
    storage = opened(path)
    storage.write([Trace(id="1"), Trace(id=odd, name=odd)])
    storage.write([Trace(id=odd, output=odd, thread_id=odd)])
    assert storage.find_trace(odd) == Trace(id=odd, name=odd, output=odd, thread_id=odd)
    storage.write([Dataset(id="d", name=odd)])
    storage.change_items("d", upsert=[DatasetItem(id=odd, data={odd: odd}, description=odd)])
    (item,) = storage.list_dataset_items("d")
    assert (item.id, item.data, item.description) == (odd, {odd: odd}, odd)


# -- connections


def test_a_long_read_keeps_its_snapshot(path, opened):
    """Rows deleted and added while a list is read do not change what it yields."""
    for write_ahead in (True, False):
        storage = opened(path.with_name(f"{write_ahead}.db"), write_ahead=write_ahead)
        storage.write([Trace(id=f"{n:04}") for n in range(1200)])
        reading = storage.list_traces()
        first = next(reading)
        storage.delete_traces([f"{n:04}" for n in range(600)])
        storage.write([Trace(id="9999")])
        assert [first.id, *(t.id for t in reading)] == [f"{n:04}" for n in range(1200)]
        assert len(list(storage.list_traces())) == 601


def test_an_abandoned_read_frees_its_connection(path, opened):
    """Lists that are dropped or closed halfway hand their connection back."""
    storage = opened(path)
    storage.write([Trace(id=f"{n:04}") for n in range(1200)])
    for _ in range(50):
        next(storage.list_traces())
    assert len(storage._store.database.connections._idle) == 1


def test_reading_on_after_close_is_an_error(path, opened):
    """A list that was under way ends with an error once the storage is closed."""
    storage = opened(path)
    storage.write([Trace(id=f"{n:04}") for n in range(1200)])
    reading = storage.list_traces()
    storage.close()
    with pytest.raises(UnavailableError, match="closed"):
        list(reading)
    with pytest.raises(UnavailableError, match="closed"):
        storage.flush()


def test_threads_share_the_response_cache(path, opened):
    """Many threads write and read cached values at once and lose none."""
    storage = opened(path)

    def work(name):
        for n in range(20):
            storage.write_cached(f"{name} {n}", f"{name} {n}".encode())
            assert storage.read_cached(f"{name} {n}") == f"{name} {n}".encode()

    workers = [Worker(target=work, args=(name,)) for name in "abcdef"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(storage.read_cached(f"{name} {n}") for name in "abcdef" for n in range(20))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_parent_and_child_go_on_after_a_fork(path, opened):
    """After a fork both processes write on, with connections of their own."""
    storage = opened(path)
    storage.write([Trace(id=f"{n:04}") for n in range(1200)])
    reading = storage.list_traces()
    next(reading)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            storage.write([Trace(id="child")])
            with pytest.raises(UnavailableError, match="forked"):
                list(reading)
            code = 0
        finally:
            os._exit(code)
    storage.write([Trace(id="parent")])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(list(reading)) == 1199
    assert {"child", "parent"} <= {trace.id for trace in storage.list_traces()}
