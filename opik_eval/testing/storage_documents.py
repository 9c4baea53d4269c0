"""Contract of documents: upserts of whole objects by kind and id."""

from __future__ import annotations

from itertools import permutations
from typing import cast

import pytest

from opik_eval.records import Document
from opik_eval.storage.base import DocumentStore, Storage
from opik_eval.testing.storage_cases import StorageCase, day


class DocumentContract(StorageCase):
    """Documents are found by kind and id; the newest write of one is the whole of it.

    Not part of ``StorageContract``: storages over HTTP keep no documents.
    """

    @pytest.fixture
    def documents(self, storage: Storage) -> DocumentStore:
        """The storage of the test, as a store of documents."""
        assert isinstance(storage, DocumentStore)
        return storage

    def test_documents_come_back_as_they_were_put(self, documents: DocumentStore) -> None:
        """A document is found by kind and id, also by another process; other kinds are apart."""
        key = Document(
            id="1",
            kind="key",
            name="ci",
            body={"role": "editor", "n": [1, None]},
            created_at=day(0),
            last_updated_at=day(1),
        )
        note = Document(id="1", kind="note", body={})
        documents.put_documents([key, note])
        seen = cast("DocumentStore", self.reopen(cast("Storage", documents)))
        assert seen.find_document("key", "1") == key
        assert seen.find_document("note", "1") == note
        assert seen.find_document("note", "2") is None

    def test_documents_are_listed_by_kind_and_name(self, documents: DocumentStore) -> None:
        """Lists are ordered by id; a name must fit exactly and need not be unique."""
        for number, name in (("2", "a"), ("1", "a"), ("3", "A"), ("4", None)):
            documents.put_documents([Document(id=number, kind="k", name=name, body={})])
        documents.put_documents([Document(id="0", kind="other", name="a", body={})])
        assert [found.id for found in documents.list_documents("k")] == ["1", "2", "3", "4"]
        assert [found.id for found in documents.list_documents("k", name="a")] == ["1", "2"]
        assert list(documents.list_documents("missing")) == []

    @pytest.mark.parametrize("order", list(permutations(range(3))))
    def test_the_newest_write_is_the_whole_document(
        self, documents: DocumentStore, order: tuple[int, ...]
    ) -> None:
        """Of several writes the newest replaces all fields of the others, in any order."""
        writes = [
            Document(id="1", kind="k", name="old", body={"a": 1}, last_updated_at=day(0)),
            Document(id="1", kind="k", body={"b": 2}, last_updated_at=day(2)),
            Document(id="1", kind="k", name="mid", body={"c": 3}, last_updated_at=day(1)),
        ]
        for position in order:
            documents.put_documents([writes[position]])
        assert documents.find_document("k", "1") == writes[1]

    def test_without_times_the_later_put_wins(self, documents: DocumentStore) -> None:
        """A document without a time counts as written when it arrives, also within one call."""
        documents.put_documents([Document(id="1", kind="k", body={"n": n}) for n in (9, 1)])
        found = documents.find_document("k", "1")
        assert found is not None
        assert found.body == {"n": 1}

    def test_documents_are_deleted_by_kind_and_id(self, documents: DocumentStore) -> None:
        """Deleting takes those of the kind only; unknown ids are no error."""
        documents.put_documents(
            [Document(id=i, kind=kind, body={}) for i in "12" for kind in ("a", "b")]
        )
        documents.delete_documents("a", ["1", "unknown"])
        assert [d.id for d in documents.list_documents("a")] == ["2"]
        assert [d.id for d in documents.list_documents("b")] == ["1", "2"]
