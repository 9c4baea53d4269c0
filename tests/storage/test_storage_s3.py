"""Attachments in a bucket: what a store with one promises, and what it says when that fails."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from s3_server import KEY, REGION, S3Service, s3_service

from opik_eval.config import Settings, load_settings
from opik_eval.errors import (
    ConfigError,
    ConflictError,
    NotFoundError,
    StorageError,
    UnavailableError,
)
from opik_eval.records import Attachment, Span, Trace
from opik_eval.storage.file import FileStorage
from opik_eval.storage.opening import open_storage
from opik_eval.storage.s3_files import Bucket, S3Files, files_in_bucket

PART = 5 << 20


@pytest.fixture(scope="module")
def running() -> Iterator[S3Service]:
    """A service that all tests share."""
    with s3_service() as service:
        yield service


@pytest.fixture
def service(running: S3Service) -> S3Service:
    """That service, empty."""
    for held in (running.objects, running.uploads, running.requests, running.failures):
        held.clear()
    return running


@pytest.fixture
def known(service: S3Service) -> Settings:
    """Settings that name its bucket, with a prefix."""
    return Settings(
        s3_bucket="files/of/tests",
        s3_endpoint_url=service.url,
        s3_region=REGION,
        s3_access_key=KEY.access_key,
        s3_secret_key=KEY.secret_key,
    )


@pytest.fixture
def storage(known: Settings, tmp_path: Path) -> Iterator[FileStorage]:
    """A store whose attachments go to that bucket."""
    bucket = files_in_bucket(known, "default")
    with closing(FileStorage(tmp_path / "opik.db", bucket=bucket)) as opened:
        yield opened


def file_of(content: bytes, entity_id: str = "t", entity_type: str = "trace") -> Attachment:
    """Return the record of a file."""
    return Attachment(
        id=f"{entity_type}-{entity_id}-a/b é",
        entity_type=entity_type,
        entity_id=entity_id,
        file_name="a/b é",
        mime_type="text/plain",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
    )


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300), as_file=st.booleans())
def test_what_goes_in_comes_out(
    storage: FileStorage, service: S3Service, tmp_path: Path, content: bytes, as_file: bool
) -> None:
    """Bytes and files are in the bucket alone, under prefix, workspace, id and hash."""
    path = tmp_path / "content"
    path.write_bytes(content)
    file = file_of(content)
    storage.put_attachment(file, path if as_file else content)
    assert storage.read_attachment(file.id) == content
    key = f"of/tests/default/trace-t-a%2Fb%20%C3%A9/{file.sha256}"
    assert service.objects == {key: content}, "what was replaced is gone, too"
    assert not (tmp_path / "opik.db.blobs").exists()


def test_files_go_with_their_trace(storage: FileStorage, service: S3Service) -> None:
    """Deleting traces deletes their files and those of their spans, and no others."""
    storage.write([Trace(id="t"), Trace(id="u"), Span(id="s", trace_id="t")])
    for file, content in (
        (file_of(b"1"), b"1"),
        (file_of(b"2", "s", "span"), b"2"),
        (file_of(b"3", "u"), b"3"),
    ):
        storage.put_attachment(file, content)
    storage.delete_traces(["t"])
    assert [*service.objects.values()] == [b"3"]


def test_files_from_before_are_still_read(known: Settings, tmp_path: Path) -> None:
    """A store that gets a bucket later reads its old files; they have no link of the bucket."""
    file = file_of(b"old")
    with closing(FileStorage(tmp_path / "opik.db")) as before:
        before.put_attachment(file, b"old")
    bucket = files_in_bucket(known, "default")
    with closing(FileStorage(tmp_path / "opik.db", bucket=bucket)) as after:
        assert after.read_attachment(file.id) == b"old"
        assert after.uploads is not None
        assert after.uploads.link(file) is None


def test_an_upload_in_parts(storage: FileStorage, service: S3Service) -> None:
    """Parts that a client sends by signed URLs become the bytes of an attachment."""
    uploads = storage.uploads
    assert uploads is not None
    started = uploads.start(2)
    parts = [b"a" * PART, b"b"]
    sent = [httpx.put(u, content=c) for u, c in zip(started.part_urls, parts, strict=True)]
    tags = {number: reply.headers["etag"] for number, reply in enumerate(sent, 1)}
    file = file_of(b"".join(parts))
    with uploads.received(started.upload_id, tags) as upload:
        assert (upload.sha256, upload.size_bytes) == (file.sha256, file.size_bytes)
        uploads.keep(upload, file)
        storage.note_attachment(file)
    assert storage.read_attachment(file.id) == b"".join(parts)
    assert [*service.objects] == [f"of/tests/default/trace-t-a%2Fb%20%C3%A9/{file.sha256}"]
    link = uploads.link(file)
    assert link is not None
    reply = httpx.get(link)
    assert reply.content == b"".join(parts)
    assert reply.headers["content-disposition"] == "attachment"
    assert KEY.secret_key not in link
    with pytest.raises(NotFoundError), uploads.received(started.upload_id, tags):
        pass


def test_an_upload_that_failed_may_be_ended_again(storage: FileStorage, service: S3Service) -> None:
    """When the bucket fails after the parts were put together, the next try finds them."""
    uploads = storage.uploads
    assert uploads is not None
    started = uploads.start(1)
    tag = httpx.put(started.part_urls[0], content=b"x").headers["etag"]

    def end() -> None:
        with uploads.received(started.upload_id, {1: tag}) as upload:
            service.failures.append("AccessDenied")
            uploads.keep(upload, file_of(b"x"))

    with pytest.raises(UnavailableError, match="AccessDenied"):
        end()
    with uploads.received(started.upload_id, {1: tag}) as upload:
        uploads.keep(upload, file_of(b"x"))
    assert [*service.objects.values()] == [b"x"]


@pytest.mark.parametrize(
    ("parts", "tags"),
    [
        ([b"a"], {1: '"other"'}),
        ([b"a", b"b"], None),
        ([b"a"], {}),
        ([b"a"], {2: '"x"'}),
    ],
)
def test_wrong_parts(
    storage: FileStorage, service: S3Service, parts: list[bytes], tags: dict[int, str] | None
) -> None:
    """Parts that are missing, too small or others than named are a conflict; nothing is stored."""
    uploads = storage.uploads
    assert uploads is not None
    started = uploads.start(len(parts))
    sent = [httpx.put(u, content=c) for u, c in zip(started.part_urls, parts, strict=True)]
    given = {n: r.headers["etag"] for n, r in enumerate(sent, 1)} if tags is None else tags
    with pytest.raises(ConflictError), uploads.received(started.upload_id, given):
        pass
    assert service.objects == {}


def test_a_part_url_is_good_for_that_part_only(storage: FileStorage) -> None:
    """A signed URL that was changed, or is used to read, is refused."""
    assert storage.uploads is not None
    (url,) = storage.uploads.start(1).part_urls
    for wrong in (url.replace("partNumber=1", "partNumber=2"), url.replace("default", "team")):
        assert wrong != url
        assert httpx.put(wrong, content=b"x").status_code == 403
    assert httpx.get(url).status_code == 403


def test_damage_is_found(storage: FileStorage, service: S3Service) -> None:
    """A file that changed or is gone is an error, never other bytes."""
    file = file_of(b"text")
    storage.put_attachment(file, b"text")
    (key,) = service.objects
    service.objects[key] = b"other"
    with pytest.raises(StorageError, match="damaged"):
        storage.read_attachment(file.id)
    service.objects.clear()
    with pytest.raises(StorageError, match="missing"):
        storage.read_attachment(file.id)
    with pytest.raises(ConflictError, match="claims"):
        storage.put_attachment(file, b"longer text")
    with pytest.raises(UnavailableError, match="cannot use"):
        storage.put_attachment(file, Path("no-such-file"))


def test_what_is_wrong_with_a_bucket_is_said(known: Settings, service: S3Service) -> None:
    """Wrong keys, buckets and places are errors that name the bucket and never the key."""
    before = FileStorage  # never asked here
    wrong = [
        known.__class__(**{**vars(known), "s3_secret_key": "another"}),
        known.__class__(**{**vars(known), "s3_bucket": "missing"}),
        known.__class__(**{**vars(known), "s3_endpoint_url": "http://127.0.0.1:9"}),
    ]
    for settings_ in wrong:
        files = files_in_bucket(settings_, "w")(before)  # type: ignore[arg-type]
        with pytest.raises(UnavailableError, match=r"files|missing") as raised:
            files.put(file_of(b"x"), b"x")
        shown = f"{raised.value} {raised.value.__cause__!r}"
        assert KEY.secret_key not in shown
        assert "another" not in shown
    with pytest.raises(ConfigError, match="settings of the bucket"):
        files_in_bucket(known.__class__(**{**vars(known), "s3_endpoint_url": "no url"}), "w")


def test_secrets_are_not_shown(known: Settings) -> None:
    """Neither settings nor a bucket show keys."""
    shown = f"{known!r} {Bucket(name='b', secret_key=KEY.secret_key, session_token='token-x')!r}"
    assert KEY.secret_key not in shown
    assert KEY.access_key not in repr(known)
    assert "token-x" not in shown


def test_the_environment_names_the_bucket(
    service: S3Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The usual AWS variables and OPIK_EVAL_S3_BUCKET are all that is needed."""
    said = {
        "OPIK_EVAL_S3_BUCKET": "files",
        "AWS_ENDPOINT_URL_S3": service.url,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": KEY.access_key,
        "AWS_SECRET_ACCESS_KEY": KEY.secret_key,
    }
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert load_settings(said).s3_secret_key == KEY.secret_key
    with closing(open_storage(f"file:{tmp_path / 'a.db'}")) as storage:
        storage.put_attachment(file_of(b"x"), b"x")
    (key,) = service.objects
    assert key.startswith("default/")


def test_a_bucket_is_made_once() -> None:
    """All workspaces of a process share one client, which is slow to make."""
    known = Settings(s3_bucket="b", s3_region=REGION, s3_access_key="a", s3_secret_key="b")
    first, second = (files_in_bucket(known, name)(None) for name in ("a", "b"))  # type: ignore[arg-type]
    assert isinstance(first, S3Files)
    assert isinstance(second, S3Files)
    assert first._bucket is second._bucket
