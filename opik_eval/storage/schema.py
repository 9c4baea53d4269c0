"""The tables of the databases, and how an SQLite file says which version of them it has.

The statements are written once, for SQLite and PostgreSQL (``sqlite_statements``,
``postgres_statements``). A fresh database gets them directly; an older one is brought here step by
step by ``opik_eval.storage.migrations``, and tests hold that both ways end in the same tables.

A file says what it is in its header: ``application_id`` marks it as ours, ``user_version`` is the
version of its tables.

Columns carry the names of the records' fields. Times are microseconds since 1970 in UTC, structured
values are JSON text; in SQLite a BLOB in such a column is the SHA-256 of a payload that lies beside
the file. ``*_key`` columns hold what names are compared by. ``written_at`` and ``older`` are the
times of the fields for ``opik_eval.storage.merge``; ``older`` is NULL while all fields are of one
time. ``metadata_terms`` are what metadata are found by (``metadata_terms``).
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from opik_eval.errors import SchemaVersionError, StorageError

APPLICATION_ID = 0x0B1CE7A1
"""What ``PRAGMA application_id`` says in a file of this package."""

SCHEMA_VERSION = 2
"""Version of the tables that this package reads and writes."""

_TABLES = (
    """CREATE TABLE projects (
        project_key TEXT NOT NULL PRIMARY KEY, id TEXT NOT NULL, name TEXT NOT NULL,
        description TEXT, created_at INTEGER, last_updated_at INTEGER,
        written_at INTEGER NOT NULL, older TEXT)""",
    """CREATE TABLE traces ({row_number}
        id TEXT NOT NULL UNIQUE, project_name TEXT, project_key TEXT NOT NULL, name TEXT,
        start_time INTEGER, end_time INTEGER, input TEXT, output TEXT, metadata TEXT,
        metadata_terms {terms}, tags TEXT, error_info TEXT, thread_id TEXT, ttft_seconds REAL,
        source TEXT, environment TEXT,
        last_updated_at INTEGER, written_at INTEGER NOT NULL, older TEXT)""",
    "CREATE INDEX traces_by_project ON traces (project_key, id)",
    """CREATE INDEX traces_by_thread ON traces (project_key, thread_id, id)
        WHERE thread_id IS NOT NULL""",
    """CREATE TABLE spans ({row_number}
        id TEXT NOT NULL UNIQUE, trace_id TEXT NOT NULL, parent_span_id TEXT,
        project_name TEXT, project_key TEXT NOT NULL, name TEXT, type TEXT, start_time INTEGER,
        end_time INTEGER, input TEXT, output TEXT, metadata TEXT, metadata_terms {terms},
        tags TEXT, model TEXT,
        provider TEXT, usage TEXT, cost_usd REAL, error_info TEXT, ttft_seconds REAL, source TEXT,
        environment TEXT, last_updated_at INTEGER, written_at INTEGER NOT NULL, older TEXT)""",
    "CREATE INDEX spans_by_trace ON spans (trace_id)",
    """CREATE TABLE feedback_scores (
        entity_type TEXT NOT NULL, entity_id TEXT NOT NULL, name TEXT NOT NULL,
        author_key TEXT NOT NULL, project_key TEXT NOT NULL, value REAL NOT NULL,
        category_name TEXT, reason TEXT, source TEXT, author TEXT, project_name TEXT,
        last_updated_at INTEGER, written_at INTEGER NOT NULL, older TEXT,
        PRIMARY KEY (entity_type, entity_id, name, author_key, project_key)) {compact}""",
    """CREATE TABLE attachments (
        id TEXT NOT NULL PRIMARY KEY, entity_type TEXT NOT NULL, entity_id TEXT NOT NULL,
        file_name TEXT NOT NULL, mime_type TEXT NOT NULL, sha256 TEXT NOT NULL,
        size_bytes INTEGER NOT NULL, created_at INTEGER)""",
    "CREATE INDEX attachments_by_entity ON attachments (entity_type, entity_id, id)",
    """CREATE TABLE datasets (
        id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, description TEXT,
        project_name TEXT, tags TEXT, type TEXT, created_at INTEGER, last_updated_at INTEGER,
        written_at INTEGER NOT NULL, older TEXT)""",
    "CREATE INDEX datasets_by_name ON datasets (name)",
    """CREATE TABLE dataset_items (
        dataset_id TEXT NOT NULL, position INTEGER NOT NULL, start_version INTEGER NOT NULL,
        end_version INTEGER, id TEXT NOT NULL, data TEXT NOT NULL, description TEXT, tags TEXT,
        source TEXT, trace_id TEXT, span_id TEXT, evaluators TEXT, execution_policy TEXT,
        content_hash TEXT, created_at INTEGER, last_updated_at INTEGER)""",
    "CREATE INDEX dataset_items_by_position ON dataset_items (dataset_id, position)",
    """CREATE UNIQUE INDEX dataset_items_by_id
        ON dataset_items (dataset_id, id, start_version)""",
    """CREATE INDEX dataset_items_by_content ON dataset_items (dataset_id, content_hash)
        WHERE end_version IS NULL""",
    """CREATE TABLE dataset_versions (
        id TEXT NOT NULL PRIMARY KEY, dataset_id TEXT NOT NULL, number INTEGER NOT NULL,
        name TEXT NOT NULL, items_total INTEGER NOT NULL, items_added INTEGER NOT NULL,
        items_modified INTEGER NOT NULL, items_deleted INTEGER NOT NULL, change_description TEXT,
        created_at INTEGER, UNIQUE (dataset_id, number))""",
    """CREATE TABLE experiments (
        id TEXT NOT NULL PRIMARY KEY, name TEXT, dataset_id TEXT, dataset_name TEXT,
        dataset_version_id TEXT, project_name TEXT, type TEXT, status TEXT, optimization_id TEXT,
        evaluation_method TEXT, config TEXT, run TEXT, tags TEXT, prompt_version_ids TEXT,
        experiment_scores TEXT, created_at INTEGER, last_updated_at INTEGER,
        written_at INTEGER NOT NULL, older TEXT)""",
    "CREATE INDEX experiments_by_name ON experiments (name, id)",
    "CREATE INDEX experiments_by_dataset ON experiments (dataset_name, id)",
    "CREATE INDEX experiments_by_optimization ON experiments (optimization_id, id)",
    """CREATE TABLE experiment_items (
        id TEXT NOT NULL PRIMARY KEY, experiment_id TEXT NOT NULL, dataset_item_id TEXT NOT NULL,
        trace_id TEXT, trial_id INTEGER, resume_key TEXT, project_name TEXT, input TEXT,
        output TEXT, error_info TEXT, scores TEXT, failed_scores TEXT, task_seconds REAL,
        scoring_seconds REAL, usage TEXT, cost_usd REAL, unpriced_calls INTEGER,
        created_at INTEGER, last_updated_at INTEGER, written_at INTEGER NOT NULL, older TEXT)""",
    "CREATE INDEX experiment_items_by_experiment ON experiment_items (experiment_id, id)",
    "CREATE INDEX experiment_items_by_trace ON experiment_items (trace_id)",
    """CREATE TABLE score_totals (
        experiment_id TEXT NOT NULL, name TEXT NOT NULL, items INTEGER NOT NULL,
        total TEXT NOT NULL, failed INTEGER NOT NULL,
        PRIMARY KEY (experiment_id, name)) {compact}""",
    """CREATE TABLE prompts (
        id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, description TEXT,
        project_name TEXT, tags TEXT, template_structure TEXT, created_at INTEGER,
        last_updated_at INTEGER, written_at INTEGER NOT NULL, older TEXT)""",
    "CREATE INDEX prompts_by_name ON prompts (name)",
    """CREATE TABLE prompt_versions (
        id TEXT NOT NULL PRIMARY KEY, prompt_id TEXT NOT NULL, "commit" TEXT NOT NULL,
        number INTEGER NOT NULL, template TEXT NOT NULL, type TEXT, metadata TEXT,
        change_description TEXT, tags TEXT, environments TEXT, created_at INTEGER,
        last_updated_at INTEGER, written_at INTEGER NOT NULL, older TEXT)""",
    "CREATE INDEX prompt_versions_by_prompt ON prompt_versions (prompt_id, number)",
    """CREATE TABLE optimizations (
        id TEXT NOT NULL PRIMARY KEY, name TEXT, dataset_name TEXT, objective_name TEXT,
        project_name TEXT, status TEXT, metadata TEXT, created_at INTEGER,
        last_updated_at INTEGER, written_at INTEGER NOT NULL, older TEXT)""",
    "CREATE TABLE cache (key TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL)",
    """CREATE TABLE documents (
        kind TEXT NOT NULL, id TEXT NOT NULL, name TEXT, body TEXT NOT NULL, created_at INTEGER,
        last_updated_at INTEGER, written_at INTEGER NOT NULL, older TEXT,
        PRIMARY KEY (kind, id))""",
    "CREATE INDEX documents_by_name ON documents (kind, name, id)",
)

# The index of SQLite over the terms follows updates and deletes by itself. Inserts are left to the
# writer, because a trigger on them would make all of them half as fast.
_TERMS_OF = """
CREATE VIRTUAL TABLE {table}_terms USING fts5 (metadata_terms, content = '{table}',
    content_rowid = 'row_number', detail = none, columnsize = 0, tokenize = 'ascii');
CREATE TRIGGER {table}_terms_delete AFTER DELETE ON {table}
WHEN old.metadata_terms IS NOT NULL BEGIN
    INSERT INTO {table}_terms ({table}_terms, rowid, metadata_terms)
        VALUES ('delete', old.row_number, old.metadata_terms); END;
CREATE TRIGGER {table}_terms_update AFTER UPDATE OF metadata_terms ON {table}
WHEN old.metadata_terms IS NOT new.metadata_terms BEGIN
    INSERT INTO {table}_terms ({table}_terms, rowid, metadata_terms)
        SELECT 'delete', old.row_number, old.metadata_terms WHERE old.metadata_terms IS NOT NULL;
    INSERT INTO {table}_terms (rowid, metadata_terms)
        SELECT new.row_number, new.metadata_terms WHERE new.metadata_terms IS NOT NULL; END;
"""
_POSTGRES_TYPES = {
    "TEXT": 'TEXT COLLATE "C"',
    "INTEGER": "BIGINT",
    "REAL": "DOUBLE PRECISION",
    "BLOB": "BYTEA",
}
_POSTGRES_ONLY = (
    "CREATE INDEX traces_by_terms ON traces USING gin (metadata_terms)",
    "CREATE INDEX spans_by_terms ON spans USING gin (metadata_terms)",
    "CREATE TABLE blobs (sha256 TEXT NOT NULL PRIMARY KEY, content BLOB NOT NULL)",
)


def sqlite_statements() -> list[str]:
    """Return the statements that make the tables in an empty SQLite file."""
    row_number = "row_number INTEGER PRIMARY KEY,"
    tables = [
        statement.format(row_number=row_number, terms="TEXT", compact="WITHOUT ROWID")
        for statement in _TABLES
    ]
    return [*tables, *terms_statements("traces"), *terms_statements("spans")]


def terms_statements(table: str) -> list[str]:
    """Return the statements that make SQLite's index over the metadata of a table's records."""
    return re.split(r";\n(?=CREATE|$)", _TERMS_OF.format(table=table).strip() + "\n")[:-1]


def postgres_statements() -> list[str]:
    """Return the statements that make the tables in an empty schema of PostgreSQL."""
    tables = [
        for_postgres(statement).format(row_number="", terms="INTEGER[]", compact="")
        for statement in _TABLES
    ]
    return [*tables, *map(for_postgres, _POSTGRES_ONLY)]


def for_postgres(statement: str) -> str:
    """Return a statement in SQLite's types in those of PostgreSQL."""
    return re.sub(
        r"\b(TEXT|INTEGER|REAL|BLOB)\b", lambda found: _POSTGRES_TYPES[found[0]], statement
    )


def is_current(connection: sqlite3.Connection, path: Path) -> bool:
    """Return whether a file has the tables of this version; an empty file has not.

    Args:
        connection: The open file.
        path: Its path, for the error's text.

    Raises:
        SchemaVersionError: The file was written by a newer version of this package.
        StorageError: The file belongs to another program.
        sqlite3.DatabaseError: The file is not a database, or cannot be read.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise StorageError(
            f"{path} is an SQLite database of another program (application id {application})",
            remedy="choose another path; this file was left as it is",
        )
    if version > SCHEMA_VERSION:
        raise SchemaVersionError(
            f"{path} has tables of version {version}, this package knows versions up to "
            f"{SCHEMA_VERSION}",
            remedy="upgrade with: pip install --upgrade opik-eval (or use another file); "
            "this file was left as it is",
        )
    return bool(version == SCHEMA_VERSION)


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a file to the current version: all steps or none.

    Several processes may do so at once: one migrates, the others wait and find it done.

    Args:
        connection: The open file, in autocommit mode.
        path: Its path, for errors.

    Raises:
        SchemaVersionError: Another process brought the file to a newer version meanwhile.
        sqlite3.Error: A step failed; the file is as it was.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not is_current(connection, path):
            _bring_forward(connection)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _bring_forward(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version:
        from opik_eval.storage.migrations import upgrade_file

        upgrade_file(connection, version)
        return
    for statement in sqlite_statements():
        connection.execute(statement)
