"""Attachments in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from opik_eval.errors import ConfigError, NotFoundError, UnavailableError
from opik_eval.records import Attachment
from opik_eval.storage.attachment_files import DirectUploads, check_content
from opik_eval.storage.memory_state import MemoryState


class MemoryAttachments:
    """The files of traces and spans."""

    _state: MemoryState

    def put_attachment(self, attachment: Attachment, content: bytes | Path) -> None:
        """Store a file; see ``TraceStore``."""
        data = content if isinstance(content, bytes) else _read(content)
        check_content(attachment, hashlib.sha256(data).hexdigest(), len(data))
        with self._state.locked():
            self._state.attachments[attachment.id] = attachment, data

    @property
    def uploads(self) -> DirectUploads | None:
        """How clients send files past the server; see ``UploadStore``."""
        return None

    def note_attachment(self, attachment: Attachment) -> None:
        """Refuse: nothing is uploaded past this storage. See ``UploadStore``."""
        raise ConfigError(
            f"the file of attachment {attachment.id!r} cannot have been uploaded: a storage in "
            "memory takes no uploads",
            remedy="use put_attachment",
        )

    def read_attachment(self, attachment_id: str) -> bytes:
        """Return the bytes of an attachment; see ``TraceStore``."""
        with self._state.locked():
            found = self._state.attachments.get(attachment_id)
        if found is None:
            raise NotFoundError(
                f"there is no attachment {attachment_id!r}",
                remedy="list_attachments says which ones a trace or span has",
            )
        return found[1]

    def list_attachments(self, entity_type: str, entity_id: str) -> Iterator[Attachment]:
        """Yield the attachments of a trace or span, by id."""
        with self._state.locked():
            found = [
                attachment
                for attachment, _ in self._state.attachments.values()
                if (attachment.entity_type, attachment.entity_id) == (entity_type, entity_id)
            ]
        return iter(sorted(found, key=lambda attachment: attachment.id))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnavailableError(f"cannot read {path}: {error.strerror}") from error
