"""A small S3-compatible service on a loopback port, which checks every signature with botocore."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.etree import ElementTree as ET

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEY = Credentials("AKIAEXAMPLE", "not-a-real-secret/+x")
REGION = "eu-test-1"
_MIN_PART = 5 << 20
_XML = '<?xml version="1.0" encoding="UTF-8"?>'


class RefusedError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


@dataclass
class S3Service:
    """What a running service holds.

    Attributes:
        url: Its root.
        bucket: The only bucket.
        objects: Bytes by key.
        uploads: Parts by number, by key and upload id.
        requests: Methods and paths in the order they came, with how they were signed.
        failures: Codes that the next requests are answered with.
    """

    url: str = ""
    bucket: str = "files"
    objects: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[tuple[str, str], dict[int, bytes]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(
        self, method: str, key: str, query: dict[str, str], headers: dict[str, str], body: bytes
    ) -> tuple[dict[str, str], bytes]:
        """Return headers and body of the answer to a request that may be made."""
        upload = (key, query.get("uploadId", ""))
        match method:
            case "POST" if "uploads" in query:
                upload_id = f"upload-{len(self.requests)}"
                self.uploads[key, upload_id] = {}
                return _xml("InitiateMultipartUploadResult", UploadId=upload_id)
            case "PUT" if "partNumber" in query:
                self._known(upload)[int(query["partNumber"])] = body
                return {"ETag": _tag(body)}, b""
            case "POST":
                self.objects[key] = _joined(self._known(upload), body)
                del self.uploads[upload]
                return _xml("CompleteMultipartUploadResult", ETag='"whole-2"')
            case "PUT" if "x-amz-copy-source" in headers:
                source = unquote(headers["x-amz-copy-source"]).removeprefix(f"{self.bucket}/")
                self.objects[key] = self.stored(source)
                return _xml("CopyObjectResult", ETag=_tag(self.objects[key]))
            case "PUT":
                self.objects[key] = body
                return {"ETag": _tag(body)}, b""
            case "DELETE":
                self.objects.pop(key, None)
                return {}, b""
        shown = {
            name.removeprefix("response-").title(): value
            for name, value in query.items()
            if name.startswith("response-")
        }
        return {"ETag": _tag(self.stored(key)), **shown}, self.stored(key)

    def stored(self, key: str) -> bytes:
        """Return an object."""
        if key not in self.objects:
            raise RefusedError(404, "NoSuchKey")
        return self.objects[key]

    def _known(self, upload: tuple[str, str]) -> dict[int, bytes]:
        if upload not in self.uploads:
            raise RefusedError(404, "NoSuchUpload")
        return self.uploads[upload]


@contextmanager
def s3_service() -> Iterator[S3Service]:
    """Run a service."""
    service = S3Service()

    class Handler(_Handler):
        pass

    Handler.service = service
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    service: S3Service
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        status, found, content = 200, {}, b""
        try:
            with self.service.lock:
                signed = "query" if "X-Amz-Signature" in query else "header"
                self.service.requests.append(f"{self.command} {key} {signed}")
                if self.service.failures:
                    raise RefusedError(*_failure(self.service.failures.pop(0)))
                check_signature(self.command, self.service.url, self.path, headers, body)
                if bucket != self.service.bucket:
                    raise RefusedError(404, "NoSuchBucket")
                found, content = self.service.answer(self.command, key, query, headers, body)
                status = 204 if self.command == "DELETE" else 200
        except RefusedError as refused:
            status, content = refused.status, f"{_XML}<Error><Code>{refused.code}</Code></Error>"
            content = content.encode()
        self.send_response(status)
        for name, value in found.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815 - as the base asks

    def log_message(self, *_: object) -> None:
        pass


def check_signature(
    method: str, root: str, path: str, headers: dict[str, str], body: bytes
) -> None:
    """Check that a request was signed with the key, for this moment and with this content."""
    query = dict(parse_qsl(urlsplit(path).query, keep_blank_values=True))
    if given := query.get("X-Amz-Signature"):
        signer = S3SigV4QueryAuth(KEY, "s3", REGION)
        path, names = path.replace(f"&X-Amz-Signature={given}", ""), query["X-Amz-SignedHeaders"]
        moment, lasting = query["X-Amz-Date"], int(query["X-Amz-Expires"])
    else:
        said = dict(part.strip().split("=", 1) for part in _fields_of(headers))
        signer = S3SigV4Auth(KEY, "s3", REGION)
        given, names = said["Signature"], said["SignedHeaders"]
        moment, lasting = headers["x-amz-date"], 900
        if headers["x-amz-content-sha256"] != hashlib.sha256(body).hexdigest():
            raise RefusedError(400, "XAmzContentSHA256Mismatch")
    signed = {name: headers[name] for name in names.split(";")}
    request = AWSRequest(method=method, url=root + path, headers=signed, data=body)
    request.context["timestamp"] = moment
    text = signer.string_to_sign(request, signer.canonical_request(request))
    if signer.signature(text, request) != given:
        raise RefusedError(403, "SignatureDoesNotMatch")
    age = datetime.now(UTC) - datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if abs(age) > timedelta(seconds=lasting):
        raise RefusedError(403, "AccessDenied")


def _fields_of(headers: dict[str, str]) -> list[str]:
    if "authorization" not in headers:
        raise RefusedError(403, "AccessDenied")
    return headers["authorization"].removeprefix("AWS4-HMAC-SHA256 ").split(",")


def _joined(parts: dict[int, bytes], body: bytes) -> bytes:
    listed = [
        (int(part.findtext("{*}PartNumber") or 0), part.findtext("{*}ETag"))
        for part in ET.fromstring(body)
    ]
    if [(n, _tag(parts.get(n, b""))) for n, _ in listed] != listed or not listed:
        raise RefusedError(400, "InvalidPart")
    if any(len(parts[n]) < _MIN_PART for n, _ in listed[:-1]):
        raise RefusedError(400, "EntityTooSmall")
    return b"".join(parts[n] for n, _ in listed)


def _tag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


def _xml(name: str, **values: str) -> tuple[dict[str, str], bytes]:
    inner = "".join(f"<{key}>{value}</{key}>" for key, value in values.items())
    return {"Content-Type": "application/xml"}, f"{_XML}<{name}>{inner}</{name}>".encode()


def _failure(code: str) -> tuple[int, str]:
    return (403 if code == "AccessDenied" else 400), code
