"""Deleting traces from a database, with all that belongs to them."""

from __future__ import annotations

from collections.abc import Sequence

from opik_eval.records import Attachment
from opik_eval.storage.sql_dialect import Transaction
from opik_eval.storage.sql_store import SqlStore
from opik_eval.storage.sql_tables import ATTACHMENTS
from opik_eval.storage.sql_totals import totals_kept

_OF_ENTITIES = ("feedback_scores", "attachments")


def delete_traces(store: SqlStore, trace_ids: Sequence[str]) -> None:
    """Delete traces with their spans, scores and attachments. Unknown ids are no error."""
    dialect = store.dialect
    of_trace, traces = dialect.within("trace_id"), [dialect.array(trace_ids)]

    def delete(transaction: Transaction) -> None:
        with totals_kept(transaction, dialect, trace_ids=trace_ids):
            for table in _OF_ENTITIES:
                transaction.run(
                    f"DELETE FROM {table} WHERE entity_type = 'span' AND entity_id IN "
                    f"(SELECT id FROM spans WHERE {of_trace})",
                    traces,
                )
                transaction.run(
                    f"DELETE FROM {table} WHERE entity_type = 'trace' "
                    f"AND {dialect.within('entity_id')}",
                    traces,
                )
            transaction.run(f"DELETE FROM spans WHERE {of_trace}", traces)
            transaction.run(f"DELETE FROM traces WHERE {dialect.within('id')}", traces)

    files = _files_of(store, traces, of_trace) if store.files.uploads else []
    store.database.transact(delete)
    store.files.discard(files)


def _files_of(store: SqlStore, traces: Sequence[object], of_trace: str) -> list[Attachment]:
    """Return the attachments of traces and their spans."""
    within = store.dialect.within("entity_id")
    of_spans = f"entity_type = 'span' AND entity_id IN (SELECT id FROM spans WHERE {of_trace})"
    condition = f"{of_spans} OR entity_type = 'trace' AND {within}"
    return list(store.select(ATTACHMENTS, condition, [*traces, *traces]))
