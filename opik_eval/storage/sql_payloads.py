"""JSON in rows, and beside the database where it is too long for a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from opik_eval.serialization import loads
from opik_eval.storage.attachments import BlobStore
from opik_eval.storage.sql_dialect import Column

_LONGEST_CHARACTER = 4
"""Bytes of a character in UTF-8, at most."""


@dataclass(frozen=True)
class Payloads:
    """Where JSON goes that is too long for a row.

    Attributes:
        blobs: The place.
        limit_bytes: JSON longer than this goes there.
    """

    blobs: BlobStore
    limit_bytes: int

    def shortened(self, texts: Sequence[str]) -> Column:
        """Return what stands for JSON texts in their rows, after storing those that are long."""
        if max(map(len, texts), default=0) <= self.limit_bytes // _LONGEST_CHARACTER:
            return texts
        return [*map(self._shortened, texts)]

    def _shortened(self, text: str) -> str | bytes:
        data = text.encode()
        return text if len(data) <= self.limit_bytes else bytes.fromhex(self.blobs.put(data))


def read_payload(blobs: BlobStore | None, stored: object) -> object:
    """Return the value of a structured column that is not NULL."""
    return loads(payload_text(blobs, stored))


def payload_text(blobs: BlobStore | None, stored: object) -> str | bytes:
    """Return the JSON of a structured column that is not NULL."""
    if blobs is not None and isinstance(stored, bytes):
        return blobs.read(stored.hex())
    return cast("str", stored)
