"""Attachments that clients send to a bucket themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from s3_server import KEY, REGION, S3Service, s3_service
from server_client import Api, start

from opik_eval.config import Settings
from opik_eval.ids import new_id
from opik_eval.server.settings import ServerSettings
from opik_eval.storage.file_workspaces import FileWorkspaces
from opik_eval.storage.s3_files import files_in_bucket

LIMIT = 6 << 20
PART = 5 << 20


@pytest.fixture(scope="module")
def service() -> Iterator[S3Service]:
    """An S3-compatible service."""
    with s3_service() as running:
        yield running


@pytest.fixture(autouse=True)
def empty_bucket(service: S3Service) -> None:
    """Start every test without what the others have left."""
    with service.lock:
        service.objects.clear()


@pytest.fixture(scope="module")
def direct(service: S3Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server whose attachments go there."""
    known = Settings(
        s3_bucket="files",
        s3_endpoint_url=service.url,
        s3_region=REGION,
        s3_access_key=KEY.access_key,
        s3_secret_key=KEY.secret_key,
    )
    path = tmp_path_factory.mktemp("uploads") / "opik.db"
    with closing(FileWorkspaces(path, lambda name: files_in_bucket(known, name))) as workspaces:
        for url in start(workspaces, ServerSettings(max_attachment_bytes=LIMIT)):
            with httpx.Client(base_url=url, trust_env=False) as client:
                yield Api(client)


def send(api: Api, file: dict[str, Any], parts: list[bytes]) -> dict[str, Any]:
    """Send the parts of a file, and return the request that ends the upload."""
    begin = {**file, "num_of_file_parts": len(parts), "path": ""}
    started = api.ok("POST", "attachment/upload-start", begin)
    urls = started["pre_sign_urls"]
    tags = [httpx.put(u, content=c).headers["etag"] for u, c in zip(urls, parts, strict=True)]
    return {
        **file,
        "file_size": sum(map(len, parts)),
        "upload_id": started["upload_id"],
        "uploaded_file_parts": [{"e_tag": t, "part_number": n} for n, t in enumerate(tags, 1)],
    }


def new_file(api: Api) -> dict[str, Any]:
    """Return what names a file of a new trace."""
    entity = {"entity_type": "trace", "entity_id": api.trace()["id"]}
    return {"file_name": "ä b.txt", "mime_type": "text/plain", **entity}


def listed(api: Api, file: dict[str, Any]) -> list[Any]:
    """Return the files that are listed for the trace of one."""
    query = {"entity_type": "trace", "entity_id": file["entity_id"], "project_id": new_id()}
    return api.ok("GET", "attachment/list", params=query)["content"]


def test_a_file_goes_past_the_server(direct: Api, service: S3Service) -> None:
    """Parts go to the bucket, the list links to it, and deleting the trace deletes the file."""
    file = new_file(direct)
    end = send(direct, file, [b"a" * PART, b"b"])
    assert listed(direct, file) == []
    for _ in range(2):  # also when the first answer was lost
        assert direct.send("POST", "attachment/upload-complete", end).status_code == 204
    (found,) = listed(direct, file)
    assert (found["file_name"], found["file_size"]) == ("ä b.txt", PART + 1)
    assert found["link"].startswith(service.url)
    assert httpx.get(found["link"]).content == b"a" * PART + b"b"
    query = {name: file[name] for name in ("entity_type", "entity_id", "file_name")}
    through = direct.send("GET", "attachment/download", params=query)
    assert through.content == b"a" * PART + b"b"
    direct.ok("POST", "traces/delete", {"ids": [file["entity_id"]]})
    assert service.objects == {}


def test_a_file_may_still_go_through_the_server(direct: Api, service: S3Service) -> None:
    """A PUT to the server lands in the bucket, and replaces the file of that name."""
    file = new_file(direct)
    direct.ok("POST", "attachment/upload-complete", send(direct, file, [b"first"]))
    reply = direct.send("PUT", "attachment/upload", content=b"second", params=file)
    assert reply.status_code == 204
    (found,) = listed(direct, file)
    assert httpx.get(found["link"]).content == b"second"
    assert [*service.objects.values()] == [b"second"]
    direct.ok("POST", "traces/delete", {"ids": [file["entity_id"]]})


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"file_size": 7}, 409),
        ({"file_size": LIMIT + 1}, 422),
        ({"upload_id": "no-such:upload"}, 404),
        ({"upload_id": "../../x:y"}, 404),
        ({"uploaded_file_parts": [{"e_tag": '"x"', "part_number": 1}]}, 409),
        ({"uploaded_file_parts": [{"e_tag": '"x"', "part_number": "1"}]}, 422),
        ({"uploaded_file_parts": []}, 422),
        ({"file_name": " "}, 422),
        ({"entity_type": "project"}, 422),
        ({"entity_id": "x"}, 400),
    ],
)
def test_an_upload_that_makes_no_sense(direct: Api, change: dict[str, Any], status: int) -> None:
    """The end of an upload that does not fit its parts is refused; nothing is attached."""
    file = new_file(direct)
    end = {**send(direct, file, [b"text"]), **change}
    reply = direct.send("POST", "attachment/upload-complete", end)
    assert reply.status_code == status, reply.text
    assert listed(direct, file) == []


@pytest.mark.parametrize("count", [0, 10_001, "1", None, True])
def test_a_number_of_parts_that_makes_no_sense(direct: Api, count: object) -> None:
    """A bucket takes one to ten thousand parts."""
    begin = {**new_file(direct), "num_of_file_parts": count, "path": ""}
    reply = direct.send("POST", "attachment/upload-start", begin)
    assert reply.status_code == 422, reply.text


def test_a_bucket_that_fails(direct: Api, service: S3Service) -> None:
    """When the bucket refuses, clients are told to try again."""
    service.failures.append("AccessDenied")
    begin = {**new_file(direct), "num_of_file_parts": 1, "path": ""}
    reply = direct.send("POST", "attachment/upload-start", begin)
    assert reply.status_code == 503
    assert reply.headers["retry-after"]
    assert KEY.access_key not in reply.text
