"""Retention, garbage and backups."""

from __future__ import annotations

import os
import time
from contextlib import closing

import pytest

from opik_eval.errors import ConfigError
from opik_eval.records import Attachment, Document, Trace
from opik_eval.storage.attachments import BlobStore
from opik_eval.storage.file import FileStorage
from opik_eval.storage.file_garbage import collect_garbage
from opik_eval.storage.memory import MemoryStorage
from opik_eval.storage.workspaces import open_workspaces
from opik_eval.testing.storage_upkeep import UpkeepContract


class TestMemoryUpkeep(UpkeepContract):
    """Retention in memory."""

    @pytest.fixture
    def storage(self):
        with closing(MemoryStorage()) as storage:
            yield storage


class TestFileUpkeep(UpkeepContract):
    """Retention in a file."""

    @pytest.fixture
    def storage(self, path, opened):
        return opened(path)


class TestPostgresUpkeep(UpkeepContract):
    """Retention in PostgreSQL."""

    @pytest.fixture
    def storage(self, postgres_url):
        import psycopg

        from opik_eval.storage.postgres import PostgresStorage

        with psycopg.connect(postgres_url, autocommit=True) as raw:
            with closing(PostgresStorage(postgres_url, "upkeep")) as storage:
                yield storage
            raw.execute("DROP SCHEMA upkeep CASCADE")


def blobs_of(path):
    """Return the hashes of the blobs beside a file."""
    return {found.name for found in path.with_name(path.name + ".blobs").glob("??/*")}


def test_blobs_that_nobody_refers_to_are_collected(path, opened):
    """Payloads and attachments of deleted traces go; those of others, and young ones, stay."""
    storage = opened(path, payload_limit_bytes=10)
    storage.write(
        [Trace(id=f"{n}", input=f"{n} " * 20, metadata={"k": "v" * 20}) for n in range(3)]
    )
    data = b"picture"
    blobs = storage._connections.blobs
    digest = blobs.put(data)
    storage.put_attachment(
        Attachment(id="a", entity_type="trace", entity_id="0", file_name="f", mime_type="t",
                   sha256=digest, size_bytes=len(data)),
        data,
    )  # fmt: skip
    before = blobs_of(path)
    storage.delete_traces(["0"])
    database = storage._store.database
    assert storage.collect_garbage() == 0  # all are young
    assert collect_garbage(database, blobs, grace_seconds=-60) == 2
    assert digest in before - blobs_of(path)
    kept = [(trace.input, trace.metadata) for trace in storage.list_traces()]
    assert kept == [(f"{n} " * 20, {"k": "v" * 20}) for n in (1, 2)]
    assert collect_garbage(database, blobs, grace_seconds=-60) == 0


def test_a_blob_that_is_wanted_again_is_not_collected(tmp_path):
    """Storing content anew while garbage is collected keeps it."""
    blobs = BlobStore(tmp_path)
    digest = blobs.put(b"x")
    path = tmp_path / digest[:2] / digest
    os.utime(path, (1, 1))
    assert list(blobs.older_than(time.time() - 60)) == [digest]
    blobs.put(b"x")
    assert list(blobs.older_than(time.time() - 60)) == []
    assert not blobs.discard(digest, unused_since=time.time() - 60)
    assert blobs.read(digest) == b"x"
    os.utime(path, (1, 1))
    assert blobs.discard(digest, unused_since=time.time() - 60)
    assert blobs.put(b"x") == digest
    assert blobs.read(digest) == b"x"


def test_a_backup_has_everything(tmp_path):
    """All workspaces, control and blobs are in the copy, which works like the original."""
    with closing(open_workspaces(f"file:{tmp_path / 'a.db'}")) as workspaces:
        workspaces.create("team")
        workspaces.storage("default").write([Trace(id="1", input="x" * 100_000)])
        workspaces.storage("team").write([Trace(id="2", metadata={"k": 1})])
        workspaces.control.put_documents([Document(id="k", kind="key", body={})])
        files = workspaces.backup(tmp_path / "copy")
        workspaces.storage("team").write([Trace(id="later")])
        with pytest.raises(ConfigError, match="not empty"):
            workspaces.backup(tmp_path / "copy")
    assert [file.name for file in files] == ["a.db", "team.db", ".control.db"]
    with closing(open_workspaces(f"file:{files[0]}")) as copy:
        assert copy.names() == ["default", "team"]
        (trace,) = copy.storage("default").list_traces()
        assert trace.input == "x" * 100_000
        assert [trace.id for trace in copy.storage("team").list_traces()] == ["2"]
        assert copy.control.find_document("key", "k") is not None


def test_a_backup_during_writes_is_whole(path, opened, tmp_path):
    """A copy made while another connection writes holds whole transactions and opens cleanly."""
    storage = opened(path)
    storage.write([Trace(id=f"{n:04}") for n in range(500)])
    reading = storage.list_traces()
    next(reading)
    storage.copy_to(tmp_path / "copy.db")
    storage.write([Trace(id="later")])
    with closing(FileStorage(tmp_path / "copy.db")) as copy:
        assert len(list(copy.list_traces())) == 500


def test_other_stores_say_how_they_are_backed_up(tmp_path):
    """Memory has nothing to copy, and says so."""
    with pytest.raises(ConfigError, match="memory cannot"):
        open_workspaces("memory:").backup(tmp_path)
