"""Documents in a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from typing_extensions import override

from opik_eval.records import Document
from opik_eval.storage.base import DocumentStore
from opik_eval.storage.sql_store import SqlStore
from opik_eval.storage.sql_tables import DOCUMENTS


class SqlDocuments(DocumentStore):
    """The ``DocumentStore`` of a database."""

    _store: SqlStore

    @override
    def put_documents(self, documents: Iterable[Document]) -> None:
        self._store.document_writer.write(documents)

    @override
    def find_document(self, kind: str, document_id: str) -> Document | None:
        return self._store.find(DOCUMENTS, "kind = ? AND id = ?", kind, document_id)

    @override
    def list_documents(self, kind: str, *, name: str | None = None) -> Iterator[Document]:
        condition, parameters = "kind = ?", [kind]
        if name is not None:
            condition, parameters = f"{condition} AND name = ?", [kind, name]
        return self._store.select(DOCUMENTS, condition, parameters)

    @override
    def delete_documents(self, kind: str, document_ids: Sequence[str]) -> None:
        dialect = self._store.dialect
        sql = f"DELETE FROM documents WHERE kind = ? AND {dialect.within('id')}"
        parameters = [kind, dialect.array(document_ids)]
        self._store.database.transact(lambda transaction: transaction.run(sql, parameters))
