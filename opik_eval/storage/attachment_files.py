"""Where the bytes of attachments are: with the records, or in a bucket of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from typing_extensions import override

from opik_eval.errors import ConflictError
from opik_eval.records import Attachment
from opik_eval.storage.attachments import Blobs


class AttachmentFiles(Protocol):
    """The bytes of attachments; may be used from many threads at once."""

    @property
    def uploads(self) -> DirectUploads | None:
        """How clients send and fetch files past the server; ``None`` = they cannot."""
        ...

    def put(self, attachment: Attachment, content: bytes | Path) -> None:
        """Store bytes, or a copy of a file, durably.

        Raises:
            ConflictError: The content has another hash or size; nothing is stored.
            UnavailableError: The source cannot be read, or the place cannot be written.
        """
        ...

    def read(self, attachment: Attachment) -> bytes:
        """Return the bytes of an attachment.

        Raises:
            StorageError: They are missing or damaged.
        """
        ...

    def discard(self, attachments: Sequence[Attachment]) -> None:
        """Delete bytes whose records are gone, where nothing else looks after that."""
        ...


class BlobFiles(AttachmentFiles):
    """Bytes by content, beside the records or among them; garbage is collected there.

    Args:
        blobs: The place.
    """

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    @property
    @override
    def uploads(self) -> DirectUploads | None:
        return None

    @override
    def put(self, attachment: Attachment, content: bytes | Path) -> None:
        self._blobs.put_expected(
            content, sha256=attachment.sha256, size_bytes=attachment.size_bytes
        )

    @override
    def read(self, attachment: Attachment) -> bytes:
        return self._blobs.read(attachment.sha256)

    @override
    def discard(self, attachments: Sequence[Attachment]) -> None:
        return


FilesElsewhere = Callable[[AttachmentFiles], AttachmentFiles]
"""Makes the place for new files; gets the one where the old ones are."""


@dataclass(frozen=True)
class StartedUpload:
    """An upload that a client makes in parts.

    Attributes:
        upload_id: Its name in the requests that follow.
        part_urls: Where to ``PUT`` the parts, in order. Who knows a URL may write that part.
    """

    upload_id: str
    part_urls: Sequence[str]


@dataclass(frozen=True)
class ReceivedUpload:
    """An upload that is complete but belongs to no record yet.

    Attributes:
        sha256: Hash of its bytes.
        size_bytes: Their number.
        key: Where it lies meanwhile.
    """

    sha256: str
    size_bytes: int
    key: str


class DirectUploads(Protocol):
    """Files that clients send to a bucket themselves, in parts, by signed URLs."""

    def start(self, part_count: int) -> StartedUpload:
        """Begin an upload.

        Raises:
            UnavailableError: The bucket cannot be used.
        """
        ...

    def received(
        self, upload_id: str, parts: Mapping[int, str]
    ) -> AbstractContextManager[ReceivedUpload]:
        """Put the parts together. Once the block ends without an error, only what was kept stays.

        After an error the same request may be made again.

        Args:
            upload_id: Of ``start``.
            parts: What the bucket answered to each part, the ``ETag``, by part number from 1 on.

        Raises:
            NotFoundError: There is no such upload, or it was completed before.
            ConflictError: Parts are missing, too small or other than those that were sent.
            UnavailableError: The bucket cannot be used.
        """
        ...

    def keep(self, upload: ReceivedUpload, attachment: Attachment) -> None:
        """Make an upload the bytes of an attachment, whose record is written afterwards."""
        ...

    def link(self, attachment: Attachment) -> str | None:
        """Return a URL that gives the file to whoever knows it, for an hour.

        ``None`` if the file is not in the bucket but where files were before there was one.
        """
        ...


class UploadStore(Protocol):
    """Attachments whose bytes do not come through the storage. Not part of ``Storage``."""

    @property
    def uploads(self) -> DirectUploads | None:
        """How clients send and fetch files past the server; ``None`` = they cannot."""
        ...

    def note_attachment(self, attachment: Attachment) -> None:
        """Write the record of a file that ``DirectUploads.keep`` has stored."""
        ...


def check_content(attachment: Attachment, sha256: str, size_bytes: int) -> None:
    """Check that an attachment's record fits its bytes.

    Raises:
        ConflictError: The hash or the size differs.
    """
    if (attachment.sha256, attachment.size_bytes) != (sha256, size_bytes):
        raise ConflictError(
            f"attachment {attachment.file_name!r} ({attachment.id}) claims {attachment.size_bytes} "
            f"bytes with SHA-256 {attachment.sha256}, but its content has {size_bytes} bytes with "
            f"SHA-256 {sha256}",
            remedy="compute sha256 and size_bytes from the content that is stored",
        )
