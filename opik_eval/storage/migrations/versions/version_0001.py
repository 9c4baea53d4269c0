"""The first tables, as version 0.1.0 made them."""

from __future__ import annotations

from alembic import op

from opik_eval.storage.schema import for_postgres

revision = "0001"
down_revision = None

TABLES = (
    """CREATE TABLE projects (
        project_key TEXT NOT NULL PRIMARY KEY, id TEXT NOT NULL, name TEXT NOT NULL,
        description TEXT, created_at INTEGER, last_updated_at INTEGER,
        written_at INTEGER NOT NULL, older TEXT)""",
    """CREATE TABLE traces (
        id TEXT NOT NULL PRIMARY KEY, project_name TEXT, project_key TEXT NOT NULL, name TEXT,
        start_time INTEGER, end_time INTEGER, input TEXT, output TEXT, metadata TEXT, tags TEXT,
        error_info TEXT, thread_id TEXT, ttft_seconds REAL, source TEXT, environment TEXT,
        last_updated_at INTEGER, written_at INTEGER NOT NULL, older TEXT)""",
    "CREATE INDEX traces_by_project ON traces (project_key, id)",
    """CREATE INDEX traces_by_thread ON traces (project_key, thread_id, id)
        WHERE thread_id IS NOT NULL""",
    """CREATE TABLE spans (
        id TEXT NOT NULL PRIMARY KEY, trace_id TEXT NOT NULL, parent_span_id TEXT,
        project_name TEXT, project_key TEXT NOT NULL, name TEXT, type TEXT, start_time INTEGER,
        end_time INTEGER, input TEXT, output TEXT, metadata TEXT, tags TEXT, model TEXT,
        provider TEXT, usage TEXT, cost_usd REAL, error_info TEXT, ttft_seconds REAL, source TEXT,
        environment TEXT, last_updated_at INTEGER, written_at INTEGER NOT NULL, older TEXT)""",
    "CREATE INDEX spans_by_trace ON spans (trace_id)",
    """CREATE TABLE feedback_scores (
        entity_type TEXT NOT NULL, entity_id TEXT NOT NULL, name TEXT NOT NULL,
        author_key TEXT NOT NULL, project_key TEXT NOT NULL, value REAL NOT NULL,
        category_name TEXT, reason TEXT, source TEXT, author TEXT, project_name TEXT,
        last_updated_at INTEGER, written_at INTEGER NOT NULL, older TEXT,
        PRIMARY KEY (entity_type, entity_id, name, author_key, project_key)) WITHOUT ROWID""",
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
    "CREATE INDEX experiment_items_by_experiment ON experiment_items (experiment_id, id, trace_id)",
    """CREATE INDEX experiment_items_failed ON experiment_items (experiment_id, failed_scores)
        WHERE failed_scores IS NOT NULL""",
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
)
"""In the words of SQLite."""

_BLOBS = "CREATE TABLE blobs (sha256 TEXT NOT NULL PRIMARY KEY, content BLOB NOT NULL)"


def upgrade() -> None:
    """Make the tables in an empty database."""
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        for statement in TABLES:
            connection.exec_driver_sql(statement)
        return
    for statement in (*TABLES, _BLOBS):
        connection.exec_driver_sql(for_postgres(statement).replace("WITHOUT ROWID", ""))
