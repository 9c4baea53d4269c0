"""One server, as one workspace: requests, replies, and what becomes of failures."""

from __future__ import annotations

import gzip
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit, urlunsplit

from opik_eval.config import proxy_for
from opik_eval.errors import (
    ConfigError,
    ConflictError,
    NotFoundError,
    StorageError,
    UnavailableError,
)
from opik_eval.records import utc_now
from opik_eval.serialization import dumps, loads
from opik_eval.storage.http_retry import RETRYABLE_STATUSES, wait_seconds

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

_CONNECT_SECONDS = 10.0
_READ_SECONDS = 100.0
_PARALLEL = 16
_GZIP_FROM_BYTES = 256
_NEAR_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts on this machine: compression would cost more than it saves."""
_IN_MEMORY_BYTES = 8 << 20
_PATIENCE_SECONDS = 15.0
_CHUNK_BYTES = 1 << 16
_SHOWN = 500


class Unreachable(UnavailableError):  # noqa: N818 - a state of the server, as in httpx
    """No usable reply came: the same request may succeed later.

    Args:
        message: What happened.
        headers: Headers of the reply, if there was one; they may say when to try again.
    """

    def __init__(
        self,
        message: str,
        *,
        remedy: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.headers = headers or {}


@dataclass(frozen=True)
class Reply:
    """What a server answered.

    Attributes:
        status: HTTP status.
        body: The bytes, decompressed.
        headers: By lower-case name.
        attempts: How often the request was sent; an earlier one may have had its effect.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    attempts: int = 1

    @property
    def is_success(self) -> bool:
        """True for 2xx."""
        return 200 <= self.status < 300

    def json(self) -> object:
        """Return the parsed body.

        Raises:
            Unreachable: It is not JSON, as when a proxy answers or the reply was cut off.
        """
        try:
            return loads(self.body)
        except ValueError as error:
            raise Unreachable(f"the server's reply is not JSON: {error}") from error

    def explanation(self) -> str:
        """Return what the server says about a failure, in either of its two shapes."""
        try:
            content = loads(self.body)
        except ValueError:
            content = None
        if isinstance(content, Mapping):
            errors = content.get("errors")
            if isinstance(errors, list):
                return f"{self.status}: {'; '.join(map(str, errors))}"[:_SHOWN]
            if "message" in content:
                return f"{self.status}: {content['message']}"[:_SHOWN]
        text = self.body[:_SHOWN].decode("utf-8", "replace").strip()
        return f"{self.status}: {text}" if text else str(self.status)


def normalised_url(url: str) -> str:
    """Return a base URL without credentials, query and slashes at the end.

    Raises:
        ConfigError: It has no host, or is neither http nor https.

    Example:
        >>> normalised_url("HTTP://me:secret@Host:5173//opik/api/")
        'http://host:5173/opik/api'
    """
    try:
        parts = urlsplit(url.strip())
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise ConfigError(f"the server's URL is wrong: {error}", remedy=_URL_FORM) from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("the server's URL is neither http:// nor https://", remedy=_URL_FORM)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = str(PurePosixPath("/" + parts.path.strip("/"))).rstrip("/")
    return urlunsplit((parts.scheme, host + port, path, "", ""))


_URL_FORM = "give it as http://HOST:PORT/api or https://HOST/opik/api"


class Connection:
    """Sends requests to one server. May be used from many threads, and after a fork.

    Args:
        url: Base URL; what follows ``/v1/private`` in Opik's documentation is appended to it.
        workspace: Workspace on the server.
        api_key: Key, if the server wants one; appears in no text of this package.
        transport: Takes the network's place, in tests.
        now: Clock for dates in ``Retry-After``.
        sleep: Waits; replaced in tests.
        patience_seconds: How long ``ask`` goes on trying.
    """

    def __init__(
        self,
        url: str,
        *,
        workspace: str = "default",
        api_key: str | None = None,
        transport: httpx.BaseTransport | None = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> None:
        self.url = normalised_url(url)
        self._is_near = urlsplit(self.url).hostname in _NEAR_HOSTS
        self.workspace = workspace
        self._api_key = api_key
        self._transport = transport
        self._now = now
        self._sleep = sleep
        self._patience_seconds = patience_seconds
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._process = 0

    def exchange(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Reply:
        """Send one request once and return whatever the server answers.

        Raises:
            Unreachable: There was no complete answer.
        """
        headers = {}
        if body is not None:
            headers["Content-Type"] = content_type
            if len(body) >= _GZIP_FROM_BYTES and not self._is_near:
                body = gzip.compress(body, compresslevel=1, mtime=0)
                headers["Content-Encoding"] = "gzip"
        with self._explained():
            reply = self._http().request(
                method, f"{self.url}/{path}", content=body, params=params, headers=headers
            )
        return Reply(reply.status_code, reply.content, reply.headers)

    def exchange_elsewhere(self, method: str, url: str, *, body: bytes | None = None) -> Reply:
        """Send one request to a URL that the server gave out; the key goes to the server only.

        Raises:
            Unreachable: There was no complete answer.
        """
        is_own = url.startswith(f"{self.url}/")
        with self._explained():
            request = self._http().build_request(method, url, content=body)
            if not is_own:
                for name in ("Authorization", "Comet-Workspace"):
                    request.headers.pop(name, None)
            reply = self._http().send(request)
        return Reply(reply.status_code, reply.content, reply.headers)

    def ask(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        body: bytes | None = None,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        missing: bool = False,
    ) -> Reply:
        """Send a request until it has an answer, and return a success.

        Args:
            method: HTTP method.
            path: Path below the base URL.
            json: Body, sent as canonical JSON.
            body: Body as it is.
            params: Query.
            content_type: Type of the body.
            missing: Return a reply of 404 too.

        Raises:
            UnavailableError: The server could not be reached, or refuses the key or workspace.
            ConflictError: It answered 409.
            NotFoundError: It answered 404.
            StorageError: It refused the request for another reason.
        """
        sent = body if json is None else dumps(json, sort_keys=False)
        attempts = count(1)

        def once() -> Reply:
            number = next(attempts)
            reply = self.exchange(method, path, body=sent, params=params, content_type=content_type)
            return replace(retryable_raised(reply), attempts=number)

        reply = self.retried(once)
        if reply.is_success or (missing and reply.status == 404):
            return reply
        raise self.refusal(reply, f"{method} {path}")

    @contextmanager
    def download(
        self, path: str, json: object, *, check: Callable[[bytes], None] | None = None
    ) -> Iterator[IO[bytes]]:
        """Yield all that a stream holds, as a file; like ``ask`` otherwise.

        The file is complete before the first byte of it is read, so a connection that breaks is
        tried again and the reader never stops half-way.

        Args:
            path: Path below the base URL.
            json: Body of the request.
            check: Raises ``Unreachable`` if the last line shows that something is missing.
        """
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as content:
            reply = self.retried(lambda: self._fill(content, path, dumps(json), check))
            if not reply.is_success:
                raise self.refusal(reply, f"POST {path}")
            content.seek(0)
            yield content

    def retried(self, attempt: Callable[[], T]) -> T:
        """Return what ``attempt`` returns, tried again while it raises ``Unreachable``."""
        deadline = self._now() + self._patience_seconds
        for failures in count(1):
            try:
                return attempt()
            except Unreachable as error:
                seconds = wait_seconds(failures, error.headers, utc_now())
                if self._now() + seconds > deadline:
                    raise
                self._sleep(seconds)
        raise AssertionError("counting never ends")

    def refusal(self, reply: Reply, what: str) -> StorageError:
        """Return the error that a reply without success stands for."""
        text = f"{self.url} answered {what} with {reply.explanation()}"
        if reply.status in (401, 403):
            return UnavailableError(
                text,
                remedy="check OPIK_API_KEY and OPIK_WORKSPACE; `opik-eval configure` sets them",
            )
        kinds = {404: NotFoundError, 409: ConflictError}
        return kinds.get(reply.status, StorageError)(text)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._client is not None and self._process == os.getpid():
                self._client.close()
            self._client = None

    def _fill(
        self,
        content: IO[bytes],
        path: str,
        body: bytes,
        check: Callable[[bytes], None] | None,
    ) -> Reply:
        content.seek(0)
        content.truncate()
        headers = {"Content-Type": "application/json"}
        with (
            self._explained(),
            self._http().stream(
                "POST", f"{self.url}/{path}", content=body, headers=headers
            ) as reply,
        ):
            if not reply.is_success:
                return retryable_raised(Reply(reply.status_code, reply.read(), reply.headers))
            tail = b""
            for chunk in reply.iter_bytes(_CHUNK_BYTES):
                content.write(chunk)
                tail = (tail + chunk)[-_CHUNK_BYTES:]
            if check is not None:
                check(tail.rstrip(b"\n").rpartition(b"\n")[2])
            return Reply(reply.status_code, headers=reply.headers)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        import httpx

        try:
            yield
        except (httpx.TransportError, httpx.DecodingError, httpx.TooManyRedirects) as error:
            reason = str(error) or type(error).__name__
            raise Unreachable(
                f"{self.url} cannot be reached: {reason}",
                remedy="check that the server runs and that the URL is right",
            ) from error

    def _http(self) -> httpx.Client:
        with self._lock:
            if self._client is None or self._process != os.getpid():
                self._client = self._new_client()
                self._process = os.getpid()
            return self._client

    def _new_client(self) -> httpx.Client:
        import httpx

        headers = {"Comet-Workspace": self.workspace, "Accept-Encoding": "gzip"}
        if self._api_key:
            headers["Authorization"] = self._api_key
        return httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS, pool=_READ_SECONDS),
            limits=httpx.Limits(max_connections=_PARALLEL, max_keepalive_connections=_PARALLEL),
            follow_redirects=True,
            trust_env=False,
            proxy=proxy_for(self.url),
            transport=self._transport,
        )


def retryable_raised(reply: Reply) -> Reply:
    """Return a reply that is final.

    Raises:
        Unreachable: The server asks to try again, or failed.
    """
    if reply.status not in RETRYABLE_STATUSES:
        return reply
    raise Unreachable(f"the server answered {reply.explanation()}", headers=reply.headers)
