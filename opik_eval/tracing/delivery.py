"""Delivery: one batch of records to a store that may be away, or refuse some of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from opik_eval.errors import ConfigError, ConflictError, StorageError, UnavailableError
from opik_eval.records import Attachment, FeedbackScore, Span, Trace, utc_now
from opik_eval.storage.base import FlushReport, Writable
from opik_eval.tracing.sink import Emitted, Upload

_CHUNK_BYTES = 1 << 20


class RecordStore(Protocol):
    """The part of a storage that tracing needs."""

    def write(self, records: Iterable[Writable]) -> None:
        """Upsert records, all or none."""
        ...

    def put_attachment(self, attachment: Attachment, content: bytes | Path) -> None:
        """Store a file."""
        ...

    def flush(self, timeout_seconds: float | None = None) -> FlushReport:
        """Wait until what was written has reached its destination."""
        ...


class Overseer(Protocol):
    """Hears how a delivery goes."""

    def settle(self, count: int, error: Exception | None) -> None:
        """Take note that so many records are stored, or refused with an error."""
        ...

    def may_retry(self, error: UnavailableError, failures: int) -> bool:
        """Pause after the n-th failure in a row, and tell whether to try again."""
        ...


class Delivery:
    """Brings records to a store, so that each of them is settled exactly once.

    An unavailable store is tried again as long as the overseer allows; a record that the store
    refuses is settled alone, the rest of its batch is written.
    """

    def __init__(self, storage: RecordStore, overseer: Overseer) -> None:
        self._storage = storage
        self._overseer = overseer

    def deliver(self, batch: Sequence[Emitted]) -> None:
        """Settle a batch: its records together, then its files one by one."""
        records = [record for record in batch if not isinstance(record, Upload)]
        if records:
            self._write(records)
        for record in batch:
            if isinstance(record, Upload):
                error = self._attempt(partial(_put, self._storage, record))
                self._overseer.settle(1, error)

    def _write(self, records: Sequence[Trace | Span | FeedbackScore]) -> None:
        """Settle records: all at once, or by halves down to those that the store refuses."""
        error = self._attempt(partial(self._storage.write, records))
        if error is None or len(records) == 1 or _concerns_all(error):
            self._overseer.settle(len(records), error)
            return
        middle = len(records) // 2
        self._write(records[:middle])
        self._write(records[middle:])

    def _attempt(self, write: Callable[[], None]) -> Exception | None:
        """Write, again and again while the store is unavailable; return what went wrong."""
        failures = 0
        while True:
            try:
                write()
            except UnavailableError as error:
                failures += 1
                if not self._overseer.may_retry(error, failures):
                    return error
            except Exception as error:  # noqa: BLE001 - backends are pluggable; the thread lives on
                return error
            else:
                return None


def _concerns_all(error: Exception) -> bool:
    """Tell whether the store as a whole refuses, not one of the records."""
    is_of_store = isinstance(error, ConfigError | StorageError)
    return is_of_store and not isinstance(error, ConflictError)


def _put(storage: RecordStore, upload: Upload) -> None:
    """Store a file under its hash, and delete our private copy of it."""
    digest, size = _hash_of(upload.content)
    attachment = Attachment(
        id=upload.id,
        entity_type=upload.entity_type,
        entity_id=upload.entity_id,
        file_name=upload.file_name,
        mime_type=upload.mime_type,
        sha256=digest,
        size_bytes=size,
        created_at=utc_now(),
    )
    storage.put_attachment(attachment, upload.content)
    if upload.temporary and isinstance(upload.content, Path):
        upload.content.unlink(missing_ok=True)


def _hash_of(content: bytes | Path) -> tuple[str, int]:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest(), len(content)
    digest, size = hashlib.sha256(), 0
    with content.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size
