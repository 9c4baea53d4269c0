"""Documents in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from typing_extensions import override

from opik_eval.records import Document
from opik_eval.storage.base import DocumentStore
from opik_eval.storage.memory_state import MemoryState


class MemoryDocuments(DocumentStore):
    """The ``DocumentStore`` of the memory backend."""

    _state: MemoryState

    @override
    def put_documents(self, documents: Iterable[Document]) -> None:
        self._state.put_documents(documents)

    @override
    def find_document(self, kind: str, document_id: str) -> Document | None:
        with self._state.locked():
            return self._state.documents.find((kind, document_id))

    @override
    def list_documents(self, kind: str, *, name: str | None = None) -> Iterator[Document]:
        with self._state.locked():
            found = self._state.documents.records([kind])
        return (document for document in found if name is None or document.name == name)

    @override
    def delete_documents(self, kind: str, document_ids: Sequence[str]) -> None:
        with self._state.locked():
            for document_id in document_ids:
                self._state.documents.drop((kind, document_id))
