"""Files on traces and spans.

Texts in an input or output that carry a file as base64 (``data:`` URLs, audio and image parts of
messages) and are longer than ``EXTRACTION_CHARS`` are stored as attachments; the record keeps
the attachment's name in brackets in their place.
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opik_eval.errors import TracingError
from opik_eval.ids import new_id
from opik_eval.tracing.sink import Upload

EXTRACTION_CHARS = 256_000
_DATA_URL = re.compile(r"data:(?P<mime>[\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,")
_UNKNOWN = "application/octet-stream"
_MAGIC: tuple[tuple[bytes, int, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", 0, "image/png"),
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"GIF8", 0, "image/gif"),
    (b"WEBP", 8, "image/webp"),
    (b"WAVE", 8, "audio/wav"),
    (b"ID3", 0, "audio/mpeg"),
    (b"\xff\xfb", 0, "audio/mpeg"),
    (b"OggS", 0, "audio/ogg"),
    (b"fLaC", 0, "audio/flac"),
    (b"ftyp", 4, "video/mp4"),
    (b"\x1aE\xdf\xa3", 0, "video/webm"),
    (b"%PDF-", 0, "application/pdf"),
    (b"PK\x03\x04", 0, "application/zip"),
)
# The mimetypes module asks the machine it runs on; these are the same everywhere.
_EXTENSIONS = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "audio/wav": ".wav",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "audio/flac": ".flac",
    "video/mp4": ".mp4",
    "video/webm": ".webm",
    "application/pdf": ".pdf",
    "application/zip": ".zip",
    _UNKNOWN: ".bin",
}


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """A file to put on a trace or span.

    Args:
        data: The bytes, a path, or a ``data:`` URL with base64 content.
        file_name: Name to show; taken from the path if absent.
        content_type: MIME type; guessed from name and content if absent.
        create_temp_copy: Copy the file of a path at once, so that it may be changed or deleted
            before it is stored.

    Example:
        >>> Attachment(data=b"%PDF-1.7", file_name="report").mime_type
        'application/pdf'
    """

    data: bytes | str | Path
    file_name: str | None = None
    content_type: str | None = None
    create_temp_copy: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.data, str) and (url := _DATA_URL.match(self.data)):
            content = _decoded(self.data[url.end() :])
            if content is None:
                raise TracingError("the data: URL of an attachment is not valid base64")
            object.__setattr__(self, "data", content)
            object.__setattr__(self, "content_type", self.content_type or url["mime"])
        elif not isinstance(self.data, bytes):
            self._take_path(Path(self.data))

    def _take_path(self, path: Path) -> None:
        if not path.is_file():
            raise TracingError(
                f"attachment {str(path)[:200]!r} is not a file",
                remedy="pass bytes, the path of a file, or a data: URL with base64 content",
            )
        object.__setattr__(self, "file_name", self.file_name or path.name)
        if self.create_temp_copy:
            handle, name = tempfile.mkstemp(prefix="opik-eval-")
            with os.fdopen(handle, "wb") as copy, path.open("rb") as original:
                shutil.copyfileobj(original, copy)
            path = Path(name)
        object.__setattr__(self, "data", path)

    @property
    def mime_type(self) -> str:
        """The content type: as given, or by the file's name, or by its first bytes."""
        guessed = mimetypes.guess_type(self.file_name or "")[0]
        return self.content_type or guessed or _type_of(self._head()) or _UNKNOWN

    def upload(self, entity_type: str, entity_id: str) -> Upload:
        """Return the file on its way to a trace or span."""
        mime_type = self.mime_type
        content = self.data if isinstance(self.data, bytes) else Path(self.data)
        return Upload(
            id=new_id(),
            entity_type=entity_type,
            entity_id=entity_id,
            file_name=self.file_name or "attachment" + _extension(mime_type),
            mime_type=mime_type,
            content=content,
            temporary=isinstance(content, Path) and self.create_temp_copy,
        )

    def _head(self) -> bytes:
        if isinstance(self.data, bytes):
            return self.data[:16]
        with Path(self.data).open("rb") as file:
            return file.read(16)


def has_long_text(value: object, min_chars: int = EXTRACTION_CHARS) -> bool:
    """Tell whether a text in ``value`` (JSON types) is long enough to hide a file."""
    # Runs for every record. Values are JSON types, so their exact types are enough.
    waiting: list[Iterable[Any]] = [(value,)]
    for values in waiting:  # grows on the way
        for member in values:
            kind = type(member)
            if kind is str and len(member) >= min_chars:
                return True
            if kind is dict:
                waiting.append(member.values())
            elif kind is list:
                waiting.append(member)
    return False


def extract_attachments(
    value: object, *, prefix: str, min_chars: int = EXTRACTION_CHARS
) -> tuple[object, list[Attachment]]:
    """Return ``value`` with long base64 files replaced by their names, and the files.

    Only what is certainly a file is taken out: ``data:`` URLs, and base64 whose content begins like
    a known image, audio, video or document format.

    Args:
        value: JSON types.
        prefix: Begins the names of the files, such as ``input``.
        min_chars: Texts shorter than this stay where they are.
    """
    found: list[Attachment] = []
    return _extracted(value, prefix, min_chars, found), found


def _extracted(value: object, prefix: str, min_chars: int, found: list[Attachment]) -> object:
    if isinstance(value, Mapping):
        return {k: _extracted(v, prefix, min_chars, found) for k, v in value.items()}
    if isinstance(value, list):
        return [_extracted(item, prefix, min_chars, found) for item in value]
    if not isinstance(value, str) or len(value) < min_chars:
        return value
    attachment = _file_in(value, f"{prefix}-attachment-{len(found) + 1}")
    if attachment is None:
        return value
    found.append(attachment)
    return f"[{attachment.file_name}]"


def _file_in(text: str, stem: str) -> Attachment | None:
    url = _DATA_URL.match(text)
    content = _decoded(text[url.end() :] if url else text)
    if content is None:
        return None
    mime_type = (url["mime"] if url else None) or _type_of(content[:16])
    if mime_type is None and url is None:
        return None
    name = stem + _extension(mime_type or _UNKNOWN)
    return Attachment(data=content, file_name=name, content_type=mime_type)


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _extension(mime_type: str) -> str:
    return _EXTENSIONS.get(mime_type) or mimetypes.guess_extension(mime_type) or ""


def _type_of(head: bytes) -> str | None:
    return next((kind for magic, at, kind in _MAGIC if head.startswith(magic, at)), None)
