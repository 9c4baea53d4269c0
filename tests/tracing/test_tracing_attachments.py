"""Files on traces and spans."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.errors import TracingError
from opik_eval.tracing import flush_tracker, start_as_current_span
from opik_eval.tracing.attachments import EXTRACTION_CHARS, Attachment, extract_attachments
from opik_eval.tracing.state import SpanState, TraceState

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_bytes_path_and_data_url_are_stored(store, tmp_path):
    """All three forms of a file reach the store with name, type and content."""
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    with start_as_current_span("s") as span:
        span.update(
            attachments=[
                Attachment(data=PNG),
                Attachment(data=str(path)),
                Attachment(data=f"data:audio/wav;base64,{_b64(b'sound')}", file_name="a.wav"),
            ]
        )
        path.unlink()
    assert flush_tracker().complete
    files = list(store.list_attachments("span", span.id))
    assert {(f.file_name, f.mime_type, store.read_attachment(f.id)) for f in files} == {
        ("attachment.png", "image/png", PNG),
        ("notes.txt", "text/plain", b"hello"),
        ("a.wav", "audio/wav", b"sound"),
    }


def test_file_can_be_read_in_place(tmp_path):
    """Without a copy the user's own file is handed on, and is not deleted."""
    path = tmp_path / "data.bin"
    path.write_bytes(b"%PDF-1.7")
    upload = Attachment(data=path, create_temp_copy=False).upload("trace", "t")
    assert (upload.content, upload.temporary) == (path, False)
    assert Attachment(data=path, create_temp_copy=False, content_type="x/y").mime_type == "x/y"
    assert Attachment(data=path, file_name="noext", create_temp_copy=False).mime_type == (
        "application/pdf"
    )


def test_copy_is_temporary(tmp_path):
    """A copied file is marked to be deleted once it is stored."""
    path = tmp_path / "f.txt"
    path.write_text("x")
    upload = Attachment(data=path).upload("trace", "t")
    assert upload.temporary
    assert upload.content != path
    Path(upload.content).unlink()


@pytest.mark.parametrize("data", ["no/such/file", "data:image/png;base64,???"])
def test_what_is_no_file_is_refused_where_it_is_attached(data):
    """A missing path or a broken data URL fails at once."""
    with pytest.raises(TracingError):
        Attachment(data=data)


def test_long_base64_in_input_and_output_becomes_attachments(sink):
    """Large images and audio leave the record and are stored beside it, under their name."""
    sound = b"RIFF\0\0\0\0WAVE" + bytes(EXTRACTION_CHARS)
    picture = "data:image/png;base64," + _b64(PNG + bytes(EXTRACTION_CHARS))
    trace = TraceState(sink, "t")
    span = SpanState(
        trace, "s", input={"messages": [{"content": [{"url": picture}, {"data": _b64(sound)}]}]}
    )
    span.update(output=picture)
    span.end()
    (record,) = sink.spans
    assert record.input == {
        "messages": [
            {"content": [{"url": "[input-attachment-1.png]"}, {"data": "[input-attachment-2.wav]"}]}
        ]
    }
    assert record.output == "[output-attachment-1.png]"
    assert [upload.content for upload in sink.uploads][1] == sound
    assert all(upload.entity_id == span.id for upload in sink.uploads)


@pytest.mark.parametrize(
    "text",
    ["a" * EXTRACTION_CHARS, "word " * EXTRACTION_CHARS, _b64(b"\0" * EXTRACTION_CHARS)],
)
def test_long_texts_stay(text):
    """A long text is not taken for a file, even if it happens to be base64."""
    assert extract_attachments([text], prefix="p") == ([text], [])


def test_short_files_stay():
    """Small images stay in the record."""
    value = {"url": "data:image/png;base64," + _b64(PNG)}
    assert extract_attachments(value, prefix="p") == (value, [])


def test_data_url_without_type_is_named_by_its_content():
    """The first bytes tell the type where the URL does not; unknown content is still a file."""
    known = "data:;base64," + _b64(b"%PDF-1.7")
    unknown = "data:;base64," + _b64(b"????")
    value, found = extract_attachments([known, unknown], prefix="p", min_chars=5)
    assert value == ["[p-attachment-1.pdf]", "[p-attachment-2.bin]"]
    assert [file.mime_type for file in found] == ["application/pdf", "application/octet-stream"]


json_values = st.recursive(
    st.none() | st.integers() | st.text() | st.binary(max_size=30).map(lambda b: _b64(PNG + b)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_extraction_takes_files_and_nothing_else(value):
    """Every extracted file can be put back in its place, and then the value is what it was."""

    def restored(part: object) -> object:
        if isinstance(part, dict):
            return {key: restored(item) for key, item in part.items()}
        if isinstance(part, list):
            return [restored(item) for item in part]
        return contents.get(part, part) if isinstance(part, str) else part

    replaced, found = extract_attachments(value, prefix="p", min_chars=100)
    contents = {f"[{file.file_name}]": _b64(file.data) for file in found}
    assert all(file.data.startswith(PNG) for file in found)
    assert restored(replaced) == value
