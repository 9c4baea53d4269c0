"""The file backend: the contract of storages, and what only files can suffer."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from threading import Thread as Worker

import pytest

from opik_eval.errors import (
    ConflictError,
    NotFoundError,
    SchemaVersionError,
    StorageError,
    UnavailableError,
)
from opik_eval.records import Attachment, Dataset, DatasetItem, FeedbackScore, Span, Trace
from opik_eval.storage import file_tables, schema
from opik_eval.storage.base import Storage
from opik_eval.storage.file import FileStorage
from opik_eval.storage.opening import open_storage
from opik_eval.testing.storage_contract import StorageContract, TraceContract, WriteContract


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


class TestFileContract(_FileCase, StorageContract):
    """The whole contract on a file with write-ahead logging."""


class TestRollbackJournalContract(_FileCase, TraceContract, WriteContract):
    """What locks and payloads matter to, with a rollback journal and every payload beside it."""

    options = {"write_ahead": False, "payload_limit_bytes": 4}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "opik.db"


@pytest.fixture
def opened():
    """Open files that are closed at the end."""
    storages = []

    def open_file(path, **options):
        storages.append(FileStorage(path, **options))
        return storages[-1]

    yield open_file
    for storage in storages:
        storage.close()


@pytest.fixture
def as_nobody():
    """A folder of an ordinary user, as whom the test runs; the superuser may write everywhere."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    user = os.geteuid()
    if user == 0:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    yield folder
    os.seteuid(user)
    folder.chmod(0o777)
    shutil.rmtree(folder)


# -- opening


def test_missing_folders_are_created(tmp_path, opened):
    """A path in folders that are not there yet can be opened."""
    storage = opened(tmp_path / "a" / "b" / "opik.db")
    storage.write([Trace(id="1")])
    assert (tmp_path / "a" / "b" / "opik.db").is_file()


def test_location_opens_the_same_file(path, opened):
    """What ``location`` says leads ``open_storage`` to the same data."""
    storage = opened(path)
    storage.write([Trace(id="1")])
    with closing(open_storage(storage.location)) as again:
        assert again.find_trace("1") == Trace(id="1")


def test_a_path_with_signs_that_urls_know_is_a_plain_path(tmp_path, opened):
    """Signs such as ``?``, ``#`` and ``%`` in a file's name mean themselves."""
    opened(tmp_path / "a?mode=ro#x%20.db").write([Trace(id="1")])
    assert (tmp_path / "a?mode=ro#x%20.db").is_file()


def test_a_folder_is_refused(tmp_path):
    """A folder in the file's place is an error that says so."""
    with pytest.raises(UnavailableError, match="is a folder"):
        FileStorage(tmp_path)


def test_a_parent_that_is_a_file_is_refused(tmp_path):
    """A file where a folder should be is an error that names it."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(UnavailableError, match="file"):
        FileStorage(tmp_path / "file" / "opik.db")


@pytest.mark.parametrize("content", [b"hello", b"hello" * 1000])
def test_other_files_are_left_alone(path, content):
    """A file that is no database is refused and keeps its bytes."""
    path.write_bytes(content)
    with pytest.raises(StorageError, match="is not a database"):
        FileStorage(path)
    assert path.read_bytes() == content


def test_databases_of_others_are_left_alone(path):
    """A database of another program is refused and keeps its bytes."""
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE precious (x)")
    content = path.read_bytes()
    with pytest.raises(StorageError, match="another program"):
        FileStorage(path)
    assert path.read_bytes() == content


def test_newer_files_are_refused(path, opened):
    """A file of a newer version is refused; both versions and the way out are named."""
    opened(path).close()
    newer = schema.SCHEMA_VERSION + 1
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(f"PRAGMA user_version = {newer}")
    with pytest.raises(SchemaVersionError, match=f"{newer}.*{schema.SCHEMA_VERSION}") as caught:
        FileStorage(path)
    assert "pip install --upgrade" in caught.value.remedy


def test_older_files_are_migrated(path, opened, monkeypatch):
    """A file of an older version gets the missing steps and keeps its records."""
    with closing(FileStorage(path)) as storage:
        storage.write([Trace(id="1")])
    steps = (*schema.MIGRATIONS, ("CREATE TABLE added (x)",))
    monkeypatch.setattr(schema, "MIGRATIONS", steps)
    monkeypatch.setattr(schema, "SCHEMA_VERSION", len(steps))
    assert opened(path).find_trace("1") == Trace(id="1")
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (len(steps),)
        assert raw.execute("SELECT count(*) FROM added").fetchone() == (0,)


def test_a_failed_migration_changes_nothing(path, opened, monkeypatch):
    """If a step fails, none of them is applied, and the file opens as before."""
    opened(path).close()
    steps = (*schema.MIGRATIONS, ("CREATE TABLE added (x)", "NONSENSE"))
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", steps)
        patch.setattr(schema, "SCHEMA_VERSION", len(steps))
        with pytest.raises(StorageError, match="NONSENSE"):
            FileStorage(path)
    assert list(opened(path).list_traces()) == []


def test_every_field_has_a_column(path, opened):
    """The tables have exactly the columns that the records' fields and the codecs name."""
    opened(path)
    tables = [t for t in vars(file_tables).values() if isinstance(t, file_tables.Table)]
    assert len(tables) == 13
    with closing(sqlite3.connect(path)) as raw:
        for table in tables:
            rows = raw.execute(f"PRAGMA table_info({table.name})")
            expected = {*table.kind.model_fields, *table.computed, *table.own}
            assert {row[1] for row in rows} == expected, table.name


# -- locked, read-only, full, damaged


def test_a_locked_file_is_reported(path, opened):
    """A lock that is held too long is an error that names the file; the write works later."""
    storage = opened(path, busy_timeout_seconds=0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match=r"opik\.db is locked"):
            storage.write([Trace(id="1")])
        assert storage.find_trace("1") is None
    storage.write([Trace(id="1")])
    assert storage.find_trace("1") is not None


def test_a_file_that_is_locked_while_it_is_made_is_reported(path):
    """Opening does not wait for ever for a lock that another program holds."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(UnavailableError, match="is locked"):
            FileStorage(path, busy_timeout_seconds=0.05)


def test_a_full_disk_loses_nothing(path, opened):
    """A write that does not fit fails as a whole; what was there stays, and so does the store."""
    storage = opened(path)
    storage.write([Trace(id="1")])
    with storage._store.database.transaction() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    big = [Trace(id=f"big {n}", input="x" * 5000) for n in range(100)]
    with pytest.raises(UnavailableError, match="disk is full"):
        storage.write([Trace(id="2"), *big])
    assert [trace.id for trace in storage.list_traces()] == ["1"]
    storage.write([FeedbackScore(entity_id="1", name="n", value=1)])
    assert len(list(storage.list_feedback_scores("trace"))) == 1


def test_a_damaged_file_is_reported(path, opened):
    """Damage inside the file is an error with a remedy, not an empty answer."""
    with closing(FileStorage(path)) as storage:
        storage.write([Trace(id=str(n), input="x" * 500) for n in range(500)])
    content = bytearray(path.read_bytes())
    half = len(content) // 8192 * 4096
    content[half:] = b"\xff" * (len(content) - half)
    path.write_bytes(content)
    storage = opened(path)
    with pytest.raises(StorageError, match="is damaged") as caught:
        list(storage.list_traces())
    assert "backup" in caught.value.remedy


def test_a_read_only_file_can_be_read(as_nobody, opened):
    """Without the right to write, reading works and writing says what is missing."""
    path = as_nobody / "opik.db"
    with closing(FileStorage(path)) as storage:
        storage.write([Trace(id="1")])
    path.chmod(0o444)
    as_nobody.chmod(0o555)
    storage = opened(path)
    assert [trace.id for trace in storage.list_traces()] == ["1"]
    with pytest.raises(UnavailableError, match="cannot be written"):
        storage.write([Trace(id="2")])


def test_an_unreadable_file_is_reported(as_nobody):
    """A file that may not be opened is an error that names it."""
    path = as_nobody / "opik.db"
    FileStorage(path).close()
    path.chmod(0)
    with pytest.raises(UnavailableError, match=r"opik\.db cannot be opened"):
        FileStorage(path)


def test_a_folder_without_write_permission_is_reported(as_nobody):
    """Where no file can be made, the error says so."""
    as_nobody.chmod(0o555)
    with pytest.raises(UnavailableError, match="cannot be opened"):
        FileStorage(as_nobody / "opik.db")
    with pytest.raises(UnavailableError, match="cannot use"):
        FileStorage(as_nobody / "sub" / "opik.db")


def test_a_file_that_vanished_is_not_written_into_the_void(path, opened):
    """If the file is deleted while it is open, writes fail instead of going nowhere."""
    storage = opened(path)
    storage.write([Trace(id="1")])
    path.unlink()
    with pytest.raises(UnavailableError, match="removed or replaced"):
        storage.write([Trace(id="2")])


def test_an_unknown_error_of_sqlite_is_still_ours(path, opened):
    """Whatever SQLite raises inside a transaction arrives as a storage error."""
    storage = opened(path)
    with pytest.raises(StorageError), storage._store.database.transaction() as connection:
        connection.execute("NONSENSE")
    with pytest.raises(StorageError, match="cannot hold"):
        storage._store.database.rows("SELECT ?", (2**70,))


# -- large payloads and attachments


def test_large_payloads_lie_beside_the_file_once(path, opened):
    """Equal large payloads are one blob; they read and filter like small ones."""
    storage = opened(path, payload_limit_bytes=1000)
    text = "x" * 2000 + "needle"
    storage.write([Trace(id=str(n), input={"text": text}) for n in range(3)])
    storage.write([Span(id="s", trace_id="1", usage={f"kind {n}": 1 for n in range(300)})])
    blobs = [p for p in path.with_name("opik.db.blobs").rglob("*") if p.is_file()]
    assert len(blobs) == 2
    assert storage.find_trace("1").input == {"text": text}
    where = opened_filter('input contains "NEEDLE" and usage."kind 7" = 1', "trace")
    assert [trace.id for trace in storage.list_traces(where=where)] == ["1"]


def opened_filter(text, entity):
    from opik_eval.storage.query import parse_filter

    return parse_filter(text, entity)


def test_missing_and_damaged_blobs_are_reported(path, opened):
    """A payload that is gone or altered is an error, never another value."""
    storage = opened(path, payload_limit_bytes=10)
    storage.write([Trace(id="1", input="x" * 100)])
    (blob,) = (p for p in path.with_name("opik.db.blobs").rglob("*") if p.is_file())
    blob.write_bytes(b"other")
    with pytest.raises(StorageError, match="is damaged"):
        storage.find_trace("1")
    blob.unlink()
    with pytest.raises(StorageError, match="is missing"):
        storage.find_trace("1")


def test_attachments_are_checked_before_they_are_stored(path, opened):
    """Content that does not fit its record leaves neither a row nor a file behind."""
    storage = opened(path)
    attachment = Attachment(
        id="a",
        entity_type="trace",
        entity_id="1",
        file_name="a.txt",
        mime_type="text/plain",
        sha256="0" * 64,
        size_bytes=1,
    )
    with pytest.raises(ConflictError):
        storage.put_attachment(attachment, b"x")
    with pytest.raises(UnavailableError, match="no-such-file"):
        storage.put_attachment(attachment, path.with_name("no-such-file"))
    assert list(storage.list_attachments("trace", "1")) == []
    with pytest.raises(NotFoundError):
        storage.read_attachment("a")
    assert [p for p in path.with_name("opik.db.blobs").rglob("*") if p.is_file()] == []


def test_a_blob_folder_that_cannot_be_made_is_reported(path, opened):
    """If payloads cannot be stored, nothing refers to them."""
    storage = opened(path, payload_limit_bytes=10)
    path.with_name("opik.db.blobs").write_text("in the way")
    with pytest.raises(UnavailableError):
        storage.write([Trace(id="1", input="x" * 100)])
    assert storage.find_trace("1") is None


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
