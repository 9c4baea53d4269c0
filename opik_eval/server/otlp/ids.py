"""Ids of OpenTelemetry, turned into ours.

A trace's id is a UUIDv7: the millisecond at which the earliest of its spans that came first began,
then bits of the hash of the id that OpenTelemetry gave it. Spans of one trace may come in many
requests, so the id is noted; notes older than a week may be forgotten.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

from opik_eval.records import Document, utc_now
from opik_eval.storage.base import DocumentStore

_KIND = "otel_trace"
_SWEPT_DAYS = 30


def trace_ids(
    documents: DocumentStore, lock: AbstractContextManager[object], begins: Mapping[str, datetime]
) -> dict[str, str]:
    """Return our ids of traces; those seen for the first time get one.

    Args:
        documents: Where ids are noted.
        lock: Held meanwhile, so that a trace gets one id.
        begins: Earliest start among the spans at hand, by OpenTelemetry's id in hexadecimals.
    """
    with lock:
        known = {name: documents.find_document(_KIND, name) for name in begins}
        found = {name: str(note.body["id"]) for name, note in known.items() if note is not None}
        fresh = {name: uuid7(name, begins[name]) for name in begins if name not in found}
        documents.put_documents(
            [
                Document(id=name, kind=_KIND, name=_day(utc_now()), body={"id": made})
                for name, made in fresh.items()
            ]
        )
    return found | fresh


def uuid7(otel_id: str, moment: datetime) -> str:
    """Return the UUIDv7 of an id of OpenTelemetry.

    Args:
        otel_id: The id in hexadecimals.
        moment: Time to put into it.
    """
    milliseconds = max(0, int(moment.timestamp() * 1000))
    low = int.from_bytes(hashlib.sha256(bytes.fromhex(otel_id)).digest()[:10], "big")
    low = low & ~(0xF << 76 | 0x3 << 62) | (0x7 << 76 | 0x2 << 62)
    digits = f"{(milliseconds & (1 << 48) - 1) << 80 | low:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def forget_ids_before(documents: DocumentStore, moment: datetime) -> None:
    """Delete the notes of the thirty days before a day."""
    for age in range(1, _SWEPT_DAYS + 1):
        notes = documents.list_documents(_KIND, name=_day(moment - timedelta(days=age)))
        if names := [note.id for note in notes]:
            documents.delete_documents(_KIND, names)


def _day(moment: datetime) -> str:
    return moment.astimezone(UTC).date().isoformat()
