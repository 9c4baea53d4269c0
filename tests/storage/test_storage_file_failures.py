"""The file backend on files that are foreign, old, locked, read-only, full or damaged."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from opik_eval.errors import (
    SchemaVersionError,
    StorageError,
    UnavailableError,
)
from opik_eval.records import FeedbackScore, Span, Trace
from opik_eval.storage import schema, sql_tables
from opik_eval.storage.file import FileStorage
from opik_eval.storage.opening import open_storage

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


def test_every_field_has_a_column(path, opened):
    """The tables have exactly the columns that the records' fields and the codecs name."""
    opened(path)
    tables = [t for t in vars(sql_tables).values() if isinstance(t, sql_tables.Table)]
    assert len(tables) == 14
    with closing(sqlite3.connect(path)) as raw:
        for table in tables:
            rows = raw.execute(f"PRAGMA table_info({table.name})")
            expected = {*table.kind.model_fields, *table.computed, *table.own}
            assert {row[1] for row in rows} - {"row_number"} == expected, table.name


def test_two_processes_that_migrate_at_once_do_it_once(path, opened):
    """Whoever comes second finds the tables there and changes nothing."""
    storage = opened(path)
    storage.write([Trace(id="1")])
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        schema.migrate(raw, path)
    assert storage.find_trace("1") == Trace(id="1")


def test_the_journal_is_chosen_on_opening(path, opened):
    """A file changes to write-ahead logging and back, but not while others have it open."""
    first = opened(path, write_ahead=False)
    assert not first._connections.write_ahead
    first.close()
    second = opened(path)
    second.write([Trace(id="1")])
    third = opened(path, write_ahead=False)
    assert third._connections.write_ahead
    third.write([Trace(id="2")])
    assert len(list(second.list_traces())) == 2


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


def test_a_reader_that_blocks_the_change_of_journal_is_reported(path, opened):
    """Opening waits for other readers of a file with a rollback journal, but not for ever."""
    opened(path, write_ahead=False).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM traces").fetchone()
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
        storage.write([Trace(id=str(n), input="x" * 500) for n in range(3000)])
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
    storage._connections._close_readers()
    with pytest.raises(UnavailableError, match="cannot be opened"):
        storage.find_trace("1")
    assert not path.exists()


def test_a_row_that_another_program_spoilt_is_reported(path, opened):
    """A value that no record can have is an error that names the table, not a wrong record."""
    storage = opened(path)
    storage.write([Span(id="1", trace_id="1")])
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE spans SET type = 'nonsense'")
    with pytest.raises(StorageError, match="row of spans is no Span"):
        storage.find_span("1")


def test_an_unknown_error_of_sqlite_is_still_ours(path, opened):
    """Whatever SQLite raises inside a transaction arrives as a storage error."""
    storage = opened(path)
    with pytest.raises(StorageError), storage._store.database.transaction() as connection:
        connection.execute("NONSENSE")
    with pytest.raises(StorageError, match="cannot hold"):
        storage._store.database.rows("SELECT ?", (2**70,))
