"""Databases with the tables of older versions are brought forward with all that is in them."""

from __future__ import annotations

import re
import sqlite3
import sys
from contextlib import closing

import pytest

from opik_eval.errors import SchemaVersionError, StorageError
from opik_eval.records import ScoreSummary, Trace
from opik_eval.storage import schema
from opik_eval.storage.attachments import BlobStore
from opik_eval.storage.file import FileStorage
from opik_eval.storage.migrations.versions.version_0001 import TABLES
from opik_eval.storage.query import parse_filter
from opik_eval.storage.schema import SCHEMA_VERSION, for_postgres

_ROWS = (
    ("projects", {"project_key": "p", "id": "p", "name": "P", "written_at": 0}),
    ("traces", {"id": "t1", "project_key": "p", "project_name": "P", "name": "ask",
                "metadata": '{"Customer":{"id":7}}', "written_at": 1}),
    ("traces", {"id": "t2", "project_key": "p", "written_at": 1, "thread_id": "h",
                "metadata": '{"Customer":{"id":8}}'}),
    ("spans", {"id": "s1", "trace_id": "t1", "project_key": "p", "written_at": 1, "type": "llm",
               "metadata": '{"tags":["A","b"]}'}),
    ("feedback_scores", {"entity_type": "trace", "entity_id": "t1", "name": "ok", "author_key": "",
                         "project_key": "", "value": 0.1, "written_at": 1}),
    ("feedback_scores", {"entity_type": "trace", "entity_id": "t2", "name": "ok", "author_key": "",
                         "project_key": "", "value": 0.2, "written_at": 1}),
    ("experiment_items", {"id": "i1", "experiment_id": "e", "dataset_item_id": "d",
                          "trace_id": "t1", "written_at": 1}),
    ("experiment_items", {"id": "i2", "experiment_id": "e", "dataset_item_id": "d",
                          "trace_id": "t2", "written_at": 1, "failed_scores": '["judge"]'}),
)  # fmt: skip


def check_contents(storage):
    """Check that the rows above are there, and found by what the new tables offer."""
    assert [trace.id for trace in storage.list_traces(project_name="p")] == ["t1", "t2"]
    for text, expected in (("metadata.Customer.id = 7", ["t1"]), ("metadata.Customer.id = 9", [])):
        found = storage.list_traces(where=parse_filter(text, "trace"))
        assert [trace.id for trace in found] == expected
    spans = storage.list_spans(where=parse_filter('metadata.tags[0] = "a"', "span"))
    assert [span.id for span in spans] == ["s1"]
    assert storage.summarize_scores(["e"]) == [
        ScoreSummary(experiment_id="e", name="judge", count=0, mean=None, failed=1),
        ScoreSummary(experiment_id="e", name="ok", count=2, mean=(0.1 + 0.2) / 2, failed=0),
    ]
    storage.delete_traces(["t1"])
    (ok,) = (s for s in storage.summarize_scores(["e"]) if s.name == "ok")
    assert (ok.count, ok.mean) == (1, 0.2)


def first_version(path):
    """Make a file as the first version did."""
    with closing(sqlite3.connect(path)) as raw, raw:
        for statement in TABLES:
            raw.execute(statement)
        for table, row in _ROWS:
            columns, places = ", ".join(row), ", ".join("?" * len(row))
            raw.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})", [*row.values()])
        raw.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        raw.execute("PRAGMA user_version = 1")


def tables_of(path):
    """Return the tables of a file and what they are made of."""
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = raw.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: re.sub(r'[\s"]+', " ", sql) for name, sql in rows}


def test_a_file_of_the_first_version_comes_forward(tmp_path, opened):
    """It ends with the tables of a fresh file, keeps its records and gains what is new."""
    first_version(tmp_path / "old.db")
    storage = opened(tmp_path / "old.db")
    opened(tmp_path / "new.db")
    assert tables_of(tmp_path / "old.db") == tables_of(tmp_path / "new.db")
    check_contents(storage)


def test_metadata_beside_the_file_are_found_too(tmp_path, opened):
    """Metadata that were too long for a row get their terms from the blob."""
    path = tmp_path / "old.db"
    first_version(path)
    digest = BlobStore(tmp_path / "old.db.blobs").put(b'{"far":"away"}')
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE traces SET metadata = ? WHERE id = 't2'", (bytes.fromhex(digest),))
    found = opened(path).list_traces(where=parse_filter('metadata.far = "away"', "trace"))
    assert [trace.id for trace in found] == ["t2"]


def test_a_failed_migration_changes_nothing(tmp_path):
    """If a step fails, the file stays as it was."""
    path = tmp_path / "old.db"
    first_version(path)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("DROP INDEX experiment_items_failed")  # which the step expects
    before = tables_of(path)
    with pytest.raises(StorageError):
        FileStorage(path)
    assert tables_of(path) == before


def test_fresh_files_do_without_the_migrations(tmp_path, opened):
    """Making a file does not load Alembic, which is slow."""
    loaded = {name for name in sys.modules if name.startswith(("alembic", "sqlalchemy"))}
    for name in loaded:
        assert "opik_eval.storage.schema" in sys.modules, name
    code = (
        "import sys; from pathlib import Path; from opik_eval.storage.file import FileStorage;"
        f"FileStorage(Path({str(tmp_path / 'a.db')!r})).close();"
        "sys.exit(any(n in sys.modules for n in ('alembic', 'sqlalchemy', 'psycopg')))"
    )
    import subprocess

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- PostgreSQL


@pytest.fixture
def old_schema(postgres_url):
    """A schema with the tables of the first version."""
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(postgres_url, autocommit=True) as raw:
        raw.execute("CREATE SCHEMA old")
        raw.execute("SET search_path TO old")
        blobs = "CREATE TABLE blobs (sha256 TEXT NOT NULL PRIMARY KEY, content BLOB NOT NULL)"
        for statement in (*TABLES, blobs):
            raw.execute(for_postgres(statement).replace("WITHOUT ROWID", ""))
        for table, row in _ROWS:
            columns, places = ", ".join(row), ", ".join(["%s"] * len(row))
            raw.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})", [*row.values()])
        raw.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        raw.execute("INSERT INTO alembic_version VALUES ('0001')")
        yield raw
        raw.execute("DROP SCHEMA IF EXISTS old, fresh CASCADE")


def test_a_schema_of_the_first_version_comes_forward(old_schema, postgres_url):
    """It ends with the columns and indexes of a fresh schema, and keeps its records."""
    from opik_eval.storage.postgres import PostgresStorage

    with closing(PostgresStorage(postgres_url, "old")) as storage:
        with closing(PostgresStorage(postgres_url, "fresh")):
            pass
        shapes = [
            old_schema.execute(
                "SELECT table_name, column_name, data_type, is_nullable, collation_name "
                "FROM information_schema.columns WHERE table_schema = %s ORDER BY 1, 2",
                [name],
            ).fetchall()
            for name in ("old", "fresh")
        ]
        assert shapes[0] == shapes[1]
        indexes = [
            {
                (row[0], row[1].replace(name, ""))
                for row in old_schema.execute(
                    "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = %s "
                    "AND indexname !~ '_(pkey|key)$'",
                    [name],
                )
            }
            for name in ("old", "fresh")
        ]
        assert indexes[0] == indexes[1]
        check_contents(storage)


def test_a_newer_schema_is_refused(old_schema, postgres_url):
    """Tables of a newer version are an error that names both versions, and stay as they are."""
    from opik_eval.storage.postgres import PostgresStorage

    newer = f"{SCHEMA_VERSION + 1:04}"
    old_schema.execute("UPDATE alembic_version SET version_num = %s", [newer])
    with pytest.raises(SchemaVersionError, match=f"{SCHEMA_VERSION + 1}.*{SCHEMA_VERSION}"):
        PostgresStorage(postgres_url, "old")
    assert old_schema.execute("SELECT version_num FROM alembic_version").fetchone() == (newer,)


def test_records_written_after_a_migration_are_like_all_others(tmp_path, opened):
    """A migrated file takes new records, and their metadata are found."""
    first_version(tmp_path / "old.db")
    storage = opened(tmp_path / "old.db")
    storage.write([Trace(id="t3", metadata={"Customer": {"id": 7}})])
    found = storage.list_traces(where=parse_filter("metadata.Customer.id = 7", "trace"))
    assert [trace.id for trace in found] == ["t1", "t3"]
