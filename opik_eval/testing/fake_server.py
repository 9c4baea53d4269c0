"""A real HTTP server that speaks OpenAI's protocol and answers as it is told.

For tests that want everything but the model: the client, the network stack, the failures. It runs
in a thread of its own on a free port of 127.0.0.1, needs no key and no network, and its latency
blocks nobody.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, cast

import orjson

from opik_eval.models.base import Message
from opik_eval.testing.fake_replies import (
    FakeReply,
    Json,
    chunks_json,
    completion_json,
    failure,
    with_latency,
)

if TYPE_CHECKING:
    from aiohttp.web import AppRunner, Request, StreamResponse

Answer = str | FakeReply
Responder = Answer | Callable[[Sequence[Message]], Answer]

_PIECES = 4  # of a reply that is not streamed but dripped or cut
_DIMENSIONS = 8


@dataclass(frozen=True, kw_only=True)
class RecordedRequest:
    """A request that reached the server; names of headers are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: Json


class FakeServer:
    """An OpenAI-compatible server for tests, used as a context manager.

    It serves ``/chat/completions`` (also streamed), ``/embeddings`` and ``/models`` below
    ``base_url``. Thread-safe.

    Args:
        reply: What it answers when nothing is scripted: a text, a ``FakeReply``, or a function of
            the messages that returns one of these (called on the server's thread; must not block).
        latency_seconds: Wait before each answer.
        api_key: If given, requests with another key are refused, with the wrong key in the message,
            as some servers do.

    Attributes:
        requests: What has reached the server, in order of arrival.
        peak_in_flight: Most requests that were in the server at the same time.

    Example:
        >>> from opik_eval.testing.fake_replies import rate_limited
        >>> with FakeServer(lambda messages: messages[-1]["content"].upper()) as server:
        ...     server.script(rate_limited("0.5"))  # the first request; then it shouts
        ...     server.base_url.startswith("http://127.0.0.1:")
        True
    """

    def __init__(
        self,
        reply: Responder = "ok",
        *,
        latency_seconds: float = 0.0,
        api_key: str | None = None,
    ) -> None:
        self.reply = reply
        self.latency_seconds = latency_seconds
        self.api_key = api_key
        self.requests: list[RecordedRequest] = []
        self.peak_in_flight = 0
        self._in_flight = 0
        self._scripted: deque[Answer] = deque()
        self._port = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        """What a client takes as ``api_base``.

        Raises:
            RuntimeError: The server does not run.
        """
        if self._thread is None:
            raise RuntimeError("the server does not run: use it as a context manager")
        return f"http://127.0.0.1:{self._port}/v1"

    def script(self, *answers: Answer) -> None:
        """Answer the next requests with these, one each."""
        self._scripted.extend(answers)

    def start(self) -> Self:
        """Start serving; ``with`` does it for you."""
        started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._run, args=(self._loop, started), name="fake-model-server", daemon=True
        )
        self._thread.start()
        started.wait()
        return self

    def stop(self) -> None:
        """Stop serving; requests in flight are dropped."""
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop, self._thread = None, None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _run(self, loop: asyncio.AbstractEventLoop, started: threading.Event) -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(self._serve())
        started.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    async def _serve(self) -> AppRunner:
        from aiohttp import web  # 200 ms that only users of the server pay

        app = web.Application(client_max_size=2**30)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/embeddings", self._embeddings)
        app.router.add_get("/v1/models", self._models)
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.01
        )
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._port = runner.addresses[0][1]
        return runner

    async def _chat(self, request: Request) -> StreamResponse:
        body = await self._record(request)
        self._in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self._in_flight)
        try:
            reply = self._refusal(request) or self._next_reply(body)
            if reply.latency_seconds:
                await asyncio.sleep(reply.latency_seconds)
            return await _answer(request, reply, body)
        finally:
            self._in_flight -= 1

    async def _embeddings(self, request: Request) -> StreamResponse:
        body = await self._record(request)
        reply = self._refusal(request)
        if reply is None and self._scripted:
            reply = _as_reply(self._scripted.popleft())
        if reply is None:
            reply = FakeReply(body=orjson.dumps(_embeddings_json(body)))
        return await _answer(request, reply, body)

    async def _models(self, request: Request) -> StreamResponse:
        listed = {"object": "list", "data": [{"id": "fake", "object": "model"}]}
        return await _answer(request, FakeReply(body=orjson.dumps(listed)), {})

    async def _record(self, request: Request) -> Json:
        body = cast("Json", orjson.loads(await request.read()))
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(RecordedRequest(path=request.path, headers=headers, body=body))
        return body

    def _refusal(self, request: Request) -> FakeReply | None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.api_key is None or given == self.api_key:
            return None
        return failure(401, f"Incorrect API key provided: {given}.", code="invalid_api_key")

    def _next_reply(self, body: Json) -> FakeReply:
        answer: Responder
        try:
            answer = self._scripted.popleft()
        except IndexError:
            answer = self.reply
        if callable(answer):
            answer = answer(cast("Sequence[Message]", body.get("messages", ())))
        return with_latency(_as_reply(answer), self.latency_seconds)


def _as_reply(answer: Answer) -> FakeReply:
    return FakeReply(text=answer) if isinstance(answer, str) else answer


async def _answer(request: Request, reply: FakeReply, body: Json) -> StreamResponse:
    """Send a reply, whole where nothing else was asked for, else piece by piece."""
    from aiohttp import web  # 200 ms that only users of the server pay

    headers = {"Content-Type": "application/json", **reply.headers}
    is_streamed = bool(body.get("stream")) and reply.body is None
    if is_streamed:
        headers["Content-Type"] = "text/event-stream"
        pieces = [b"data: %b\n\n" % orjson.dumps(c) for c in chunks_json(reply, body)]
        pieces.append(b"data: [DONE]\n\n")
    else:
        content = orjson.dumps(completion_json(reply, body)) if reply.body is None else reply.body
        if not reply.drip_seconds and reply.cut_after is None:
            return web.Response(status=reply.status, headers=headers, body=content)
        headers["Content-Length"] = str(len(content))
        size = -(-len(content) // _PIECES)
        pieces = [content[start : start + size] for start in range(0, len(content), size)]
    response = web.StreamResponse(status=reply.status, headers=headers)
    await _send_pieces(request, response, pieces, reply)
    return response


async def _send_pieces(
    request: Request, response: StreamResponse, pieces: Sequence[bytes], reply: FakeReply
) -> None:
    for count, piece in enumerate(pieces):
        if count == reply.cut_after:
            if request.transport is not None:
                request.transport.close()
            return
        if count == 0:
            await response.prepare(request)
        if reply.drip_seconds:
            await asyncio.sleep(reply.drip_seconds)
        await response.write(piece)
    await response.write_eof()


def _embeddings_json(body: Json) -> Json:
    given = body.get("input")
    texts = cast("Sequence[str]", given if isinstance(given, list) else [given])
    size = body.get("dimensions")
    count = size if isinstance(size, int) else _DIMENSIONS
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(text, count)}
        for index, text in enumerate(texts)
    ]
    tokens = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": body.get("model"), "usage": usage}


def _vector(text: str, count: int) -> list[float]:
    """Return a unit vector that depends on the text alone."""
    digest = hashlib.shake_256(text.encode()).digest(count)
    numbers = [byte / 127.5 - 1 for byte in digest]
    length = sum(number * number for number in numbers) ** 0.5 or 1.0
    return [number / length for number in numbers]
