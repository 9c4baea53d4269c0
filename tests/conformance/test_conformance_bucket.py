"""The published opik at a server whose attachments go to a bucket."""

from __future__ import annotations

import pytest
from client_process import run_driver
from conformance_server import serve
from readback import assert_delivered, reading
from s3_server import KEY, REGION, s3_service

from opik_eval import config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def service(monkeypatch):
    """An S3-compatible service that the environment names."""
    with s3_service() as running:
        said = {
            "OPIK_EVAL_S3_BUCKET": f"{running.bucket}/opik",
            "AWS_ENDPOINT_URL_S3": running.url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": KEY.access_key,
            "AWS_SECRET_ACCESS_KEY": KEY.secret_key,
        }
        for name, value in said.items():
            monkeypatch.setenv(name, value)
        config.settings.cache_clear()
        yield running


def test_files_are_sent_in_parts_by_signed_urls(service, tmp_path):
    """Files of all sizes go past the server, come back by their links, and none is lost."""
    with serve(f"file:{tmp_path / 'store.db'}", tmp_path) as server:
        report = run_driver("uploading.py", url=server.url, project="bucket", home=tmp_path)
        assert_delivered(report, server.answered())
        assert not [e for e in report["exchanges"] if e["path"].endswith("attachment/upload")]
        with reading(server.url, server.store) as readback:
            said = report["said"]["files"]
            stored = {
                file.file_name: readback.storage.read_attachment(file.id)
                for kind in ("trace", "span")
                for file in readback.storage.list_attachments(kind, said[kind])
            }
        assert KEY.secret_key not in server.log.read_text()
    assert stored == {
        "note.txt": "Grüße\n".encode() * 1000,
        "large.bin": bytes(range(256)) * (20 << 12),
        "raw bytes.bin": b"\x00\x01\x02",
    }
    assert len(service.objects) == 4  # with the picture that was inside a text
    assert all(key.startswith("opik/default/") for key in service.objects)
    parts = [request for request in service.requests if request.startswith("PUT opik/incoming/")]
    assert len(parts) == 7
    assert all(request.endswith(" query") for request in parts)
