"""Attachments: the records in a table, the bytes where the store keeps blobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from opik_eval.errors import NotFoundError
from opik_eval.records import Attachment
from opik_eval.storage.attachment_files import DirectUploads
from opik_eval.storage.sql_store import SqlStore
from opik_eval.storage.sql_tables import ATTACHMENTS


class SqlAttachments:
    """The files of traces and spans."""

    _store: SqlStore

    def put_attachment(self, attachment: Attachment, content: bytes | Path) -> None:
        """Store a file; see ``TraceStore``."""
        self._store.files.put(attachment, content)
        self.note_attachment(attachment)

    def note_attachment(self, attachment: Attachment) -> None:
        """Write the record of a file whose bytes are stored already."""
        before = self._store.find(ATTACHMENTS, "id = ?", attachment.id)
        codec = self._store.codec(ATTACHMENTS)
        rows = [self._store.dialect.row(row) for row in codec.encode([attachment])]
        self._store.database.transact(lambda transaction: transaction.replace(codec, rows))
        if before is not None and before.sha256 != attachment.sha256:
            self._store.files.discard([before])

    @property
    def uploads(self) -> DirectUploads | None:
        """How clients send files past the server; see ``UploadStore``."""
        return self._store.files.uploads

    def read_attachment(self, attachment_id: str) -> bytes:
        """Return the bytes of an attachment; see ``TraceStore``."""
        found = self._store.find(ATTACHMENTS, "id = ?", attachment_id)
        if found is None:
            raise NotFoundError(
                f"there is no attachment {attachment_id!r}",
                remedy="list_attachments says which ones a trace or span has",
            )
        return self._store.files.read(found)

    def list_attachments(self, entity_type: str, entity_id: str) -> Iterator[Attachment]:
        """Yield the attachments of a trace or span, by id."""
        return self._store.select(
            ATTACHMENTS, "entity_type = ? AND entity_id = ?", (entity_type, entity_id)
        )
