"""Attachments and large payloads, which lie in a folder beside the file."""

from __future__ import annotations

import pytest

from opik_eval.errors import (
    ConflictError,
    NotFoundError,
    StorageError,
    UnavailableError,
)
from opik_eval.records import Attachment, Span, Trace
from opik_eval.storage.query import parse_filter

# -- large payloads and attachments


def test_large_payloads_lie_beside_the_file_once(path, opened):
    """Equal large payloads are one blob; they read and filter like small ones."""
    storage = opened(path, payload_limit_bytes=1000)
    text = "x" * 2000 + "needle"
    storage.write([Trace(id=str(n), input={"text": text}) for n in range(3)])
    storage.write([Span(id="s", trace_id="1", usage={f"kind {n}": 1 for n in range(300)})])
    blobs = [p for p in path.with_name("opik.db.blobs").rglob("*") if p.is_file()]
    assert len(blobs) == 2
    assert storage.find_trace("1").input == {"text": text}
    where = parse_filter('input contains "NEEDLE" and usage."kind 7" = 1', "trace")
    assert [trace.id for trace in storage.list_traces(where=where)] == ["1"]


def test_missing_and_damaged_blobs_are_reported(path, opened):
    """A payload that is gone or altered is an error, never another value."""
    storage = opened(path, payload_limit_bytes=10)
    storage.write([Trace(id="1", input="x" * 100)])
    (blob,) = (p for p in path.with_name("opik.db.blobs").rglob("*") if p.is_file())
    blob.write_bytes(b"other")
    with pytest.raises(StorageError, match="is damaged"):
        storage.find_trace("1")
    blob.unlink()
    with pytest.raises(StorageError, match="is missing"):
        storage.find_trace("1")


def test_an_unreadable_blob_is_reported(as_nobody, opened):
    """A payload that may not be read is an error that names its file."""
    storage = opened(as_nobody / "opik.db", payload_limit_bytes=10)
    storage.write([Trace(id="1", input="x" * 100)])
    (blob,) = (p for p in (as_nobody / "opik.db.blobs").rglob("*") if p.is_file())
    blob.chmod(0)
    with pytest.raises(UnavailableError, match=blob.name):
        storage.find_trace("1")


def test_attachments_are_checked_before_they_are_stored(path, opened):
    """Content that does not fit its record leaves neither a row nor a file behind."""
    storage = opened(path)
    attachment = Attachment(
        id="a",
        entity_type="trace",
        entity_id="1",
        file_name="a.txt",
        mime_type="text/plain",
        sha256="0" * 64,
        size_bytes=1,
    )
    with pytest.raises(ConflictError):
        storage.put_attachment(attachment, b"x")
    with pytest.raises(UnavailableError, match="no-such-file"):
        storage.put_attachment(attachment, path.with_name("no-such-file"))
    assert list(storage.list_attachments("trace", "1")) == []
    with pytest.raises(NotFoundError):
        storage.read_attachment("a")
    assert [p for p in path.with_name("opik.db.blobs").rglob("*") if p.is_file()] == []


def test_a_blob_folder_that_cannot_be_made_is_reported(path, opened):
    """If payloads cannot be stored, nothing refers to them."""
    storage = opened(path, payload_limit_bytes=10)
    path.with_name("opik.db.blobs").write_text("in the way")
    with pytest.raises(UnavailableError):
        storage.write([Trace(id="1", input="x" * 100)])
    assert storage.find_trace("1") is None
