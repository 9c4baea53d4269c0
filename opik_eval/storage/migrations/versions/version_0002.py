"""Documents, terms of metadata, totals of scores.

SQLite cannot add a primary key to a table, and the index over terms needs one that is a number: the
tables of traces and spans are written anew.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from alembic import op
from sqlalchemy import Connection

from opik_eval.storage.attachments import BlobStore
from opik_eval.storage.file_dialect import words
from opik_eval.storage.metadata_terms import signed, terms_of
from opik_eval.storage.schema import for_postgres, terms_statements
from opik_eval.storage.sql_payloads import read_payload
from opik_eval.storage.sql_totals import Total

revision = "0002"
down_revision = "0001"

_BATCH = 1000
_ADDED = (
    """CREATE TABLE score_totals (
        experiment_id TEXT NOT NULL, name TEXT NOT NULL, items INTEGER NOT NULL,
        total TEXT NOT NULL, failed INTEGER NOT NULL,
        PRIMARY KEY (experiment_id, name)) WITHOUT ROWID""",
    """CREATE TABLE documents (
        kind TEXT NOT NULL, id TEXT NOT NULL, name TEXT, body TEXT NOT NULL, created_at INTEGER,
        last_updated_at INTEGER, written_at INTEGER NOT NULL, older TEXT,
        PRIMARY KEY (kind, id))""",
    "CREATE INDEX documents_by_name ON documents (kind, name, id)",
    "DROP INDEX experiment_items_failed",
    "DROP INDEX experiment_items_by_experiment",
    "CREATE INDEX experiment_items_by_experiment ON experiment_items (experiment_id, id)",
    "CREATE INDEX experiment_items_by_trace ON experiment_items (trace_id)",
)
_TRACES = (
    """CREATE TABLE traces (row_number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE, project_name TEXT, project_key TEXT NOT NULL, name TEXT,
        start_time INTEGER, end_time INTEGER, input TEXT, output TEXT, metadata TEXT,
        metadata_terms TEXT, tags TEXT, error_info TEXT, thread_id TEXT, ttft_seconds REAL,
        source TEXT, environment TEXT,
        last_updated_at INTEGER, written_at INTEGER NOT NULL, older TEXT)""",
    "CREATE INDEX traces_by_project ON traces (project_key, id)",
    """CREATE INDEX traces_by_thread ON traces (project_key, thread_id, id)
        WHERE thread_id IS NOT NULL""",
)
_SPANS = (
    """CREATE TABLE spans (row_number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE, trace_id TEXT NOT NULL, parent_span_id TEXT,
        project_name TEXT, project_key TEXT NOT NULL, name TEXT, type TEXT, start_time INTEGER,
        end_time INTEGER, input TEXT, output TEXT, metadata TEXT, metadata_terms TEXT,
        tags TEXT, model TEXT,
        provider TEXT, usage TEXT, cost_usd REAL, error_info TEXT, ttft_seconds REAL, source TEXT,
        environment TEXT, last_updated_at INTEGER, written_at INTEGER NOT NULL, older TEXT)""",
    "CREATE INDEX spans_by_trace ON spans (trace_id)",
)


def upgrade() -> None:
    """Change the tables and compute what is new in them."""
    connection = op.get_bind()
    is_sqlite = connection.dialect.name == "sqlite"
    for statement in _ADDED:
        connection.exec_driver_sql(
            statement if is_sqlite else for_postgres(statement).replace("WITHOUT ROWID", "")
        )
    for table, statements in (("traces", _TRACES), ("spans", _SPANS)):
        if is_sqlite:
            _write_anew(connection, table, statements)
        else:
            connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN metadata_terms INTEGER[]")
            connection.exec_driver_sql(
                f"CREATE INDEX {table}_by_terms ON {table} USING gin (metadata_terms)"
            )
        _fill_terms(connection, table)
    _fill_totals(connection)


def _write_anew(connection: Connection, table: str, statements: Sequence[str]) -> None:
    columns = [row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info({table})")]
    old = ", ".join(columns)
    for (index,) in connection.exec_driver_sql(
        "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = ?",
        (table,),
    ).fetchall():
        connection.exec_driver_sql(f"DROP INDEX {index}")
    connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {table}_old")
    for statement in statements:
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql(
        f"INSERT INTO {table} ({old}) SELECT {old} FROM {table}_old ORDER BY rowid"
    )
    connection.exec_driver_sql(f"DROP TABLE {table}_old")
    for statement in terms_statements(table):
        connection.exec_driver_sql(statement)


def _fill_terms(connection: Connection, table: str) -> None:
    is_sqlite = connection.dialect.name == "sqlite"
    place, cell = ("?", "?") if is_sqlite else ("%s", "%s::integer[]")
    blobs = _blobs(connection) if is_sqlite else None
    update = f"UPDATE {table} SET metadata_terms = {cell} WHERE id = {place}"
    after: object = ""
    while True:
        rows = connection.exec_driver_sql(
            f"SELECT id, metadata FROM {table} WHERE metadata IS NOT NULL AND id > {place} "
            f"ORDER BY id LIMIT {_BATCH}",
            (after,),
        ).fetchall()
        if not rows:
            return
        after = rows[-1][0]
        for record_id, stored in rows:
            metadata = read_payload(blobs, stored)
            terms = terms_of(metadata) if isinstance(metadata, dict) else None
            if terms is not None:
                given: object = words(terms) if is_sqlite else signed(terms)
                connection.exec_driver_sql(update, (given, record_id))


def _fill_totals(connection: Connection) -> None:
    place = "?" if connection.dialect.name == "sqlite" else "%s"
    totals: dict[tuple[object, object], Total] = {}
    for (experiment_id, _, name), values in _values(connection):
        total = totals.setdefault((experiment_id, name), Total())
        total.add_value(values[0] if len(values) == 1 else math.fsum(values) / len(values))
    for experiment_id, failed in connection.exec_driver_sql(
        "SELECT experiment_id, failed_scores FROM experiment_items WHERE failed_scores IS NOT NULL"
    ):
        for name in json.loads(failed):
            totals.setdefault((experiment_id, name), Total()).failed += 1
    for (experiment_id, name), total in totals.items():
        connection.exec_driver_sql(
            "INSERT INTO score_totals (experiment_id, name, items, total, failed) "
            f"VALUES ({', '.join([place] * 5)})",
            (experiment_id, name, total.items, total.text(), total.failed),
        )


def _values(
    connection: Connection,
) -> Iterator[tuple[tuple[object, object, object], list[float]]]:
    """Yield experiment, item and score name with the values that authors gave."""
    rows = connection.exec_driver_sql(
        "SELECT i.experiment_id, i.id, s.name, s.value FROM experiment_items i "
        "JOIN feedback_scores s ON s.entity_type = 'trace' AND s.entity_id = i.trace_id "
        "ORDER BY i.experiment_id, i.id, s.name"
    )
    for key, group in groupby(rows, key=itemgetter(0, 1, 2)):
        yield key, [float(row[3]) for row in group]


def _blobs(connection: Connection) -> BlobStore:
    (_, _, file), *_ = connection.exec_driver_sql("PRAGMA database_list").fetchall()
    return BlobStore(Path(f"{file}.blobs"))
