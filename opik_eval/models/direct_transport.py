"""A lean client for servers that speak OpenAI's protocol.

It costs some .4 ms of CPU per call, where litellm costs 6.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

from opik_eval.models.base import Completion, ModelRequest
from opik_eval.models.connections import Connections
from opik_eval.models.endpoints import find_endpoint
from opik_eval.models.failures import CallSite, call_site
from opik_eval.models.openai_format import Json, chat_body, encode
from opik_eval.models.pricing import offers
from opik_eval.models.replies import complete, vectors
from opik_eval.models.sse import SseParser
from opik_eval.models.streaming import CompletionStream
from opik_eval.serialization import loads

if TYPE_CHECKING:
    from aiohttp import ClientResponse

_CHAT = "/chat/completions"
_EMBEDDINGS = "/embeddings"
_DONE = b"[DONE]"


class DirectTransport:
    """Transport to an OpenAI-compatible server; see ``opik_eval.models.base.Transport``.

    An instance serves any number of event loops, with connections of its own for each.

    Args:
        model: Full name; see ``endpoints.py`` for the prefixes that are known.
        api_base: Base URL, such as ``http://localhost:8000/v1``.
        api_key: Key; an empty text for servers that want none. ``None`` = from the environment.
        headers: Further headers of every request.
        features: What the server offers, where the defaults of its kind are wrong.

    Raises:
        ConfigError: Nothing says where the server is.

    Example:
        >>> transport = DirectTransport(
        ...     "hosted_vllm/qwen3", api_base="http://gpu:8000/v1", api_key=""
        ... )
        >>> transport.account, transport.supports("json_schema")
        ('gpu:8000', True)
    """

    def __init__(
        self,
        model: str,
        *,
        api_base: str | None = None,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        features: frozenset[str] | None = None,
    ) -> None:
        self._model = model
        self._endpoint = find_endpoint(model, api_base=api_base, api_key=api_key)
        self._features = features
        sent = {"Content-Type": "application/json", **(headers or {})}
        if self._endpoint.api_key:
            sent["Authorization"] = f"Bearer {self._endpoint.api_key}"
        self._connections = Connections(self._endpoint.api_base, sent)
        self._sites = {path: self._site(path, sent) for path in (_CHAT, _EMBEDDINGS)}

    @property
    def account(self) -> str:
        """Host and a fingerprint of the key."""
        return self._endpoint.account

    def supports(self, feature: str) -> bool:
        """Tell whether the server offers ``json_schema``, ``logprobs``, ``tools`` or ``seed``.

        The price file knows public models; of others, what their kind of server can do counts.
        """
        if self._features is not None:
            return feature in self._features
        known = offers(self._model, feature)
        return feature in self._endpoint.features if known is None else known

    async def send(self, request: ModelRequest) -> Completion:
        """Return the reply to a request.

        Raises:
            ModelError: The call failed; its kind says how.
        """
        if request.params.get("stream"):
            raise self._sites[_CHAT].streamed_by_send()
        started = time.perf_counter()
        body = chat_body(request, model=self._endpoint.model)
        raw = await self._post(_CHAT, body, request.timeout_seconds)
        latency = time.perf_counter() - started
        return complete(raw, site=self._sites[_CHAT], latency_seconds=latency)

    def stream(self, request: ModelRequest) -> CompletionStream:
        """Return the pieces of the reply's text as they come; failures are raised while reading."""
        return CompletionStream(self._chunks(request), site=self._sites[_CHAT])

    async def embed(
        self, texts: Sequence[str], *, timeout_seconds: float = 60.0, **params: object
    ) -> list[list[float]]:
        """Return a vector for each text, by one request.

        Args:
            texts: At most as many as the provider takes at once (OpenAI: 2048).
            timeout_seconds: Limit for the request.
            **params: Parameters for the provider, such as ``dimensions``.

        Raises:
            ModelError: The call failed; its kind says how.
        """
        if not texts:
            return []
        body = {"model": self._endpoint.model, "input": list(texts), **params}
        raw = await self._post(_EMBEDDINGS, body, timeout_seconds)
        return vectors(raw, site=self._sites[_EMBEDDINGS], count=len(texts))

    async def aclose(self) -> None:
        """Close the connections; a later request opens new ones."""
        await self._connections.aclose()

    async def _post(self, path: str, body: Json, timeout_seconds: float) -> Json:
        async with self._request(path, body, timeout_seconds) as response:
            content = await response.read()
        return self._decode(path, content)

    async def _chunks(self, request: ModelRequest) -> AsyncGenerator[Json]:
        body = chat_body(request, model=self._endpoint.model, stream=True)
        parser = SseParser()
        async with self._request(_CHAT, body, request.timeout_seconds) as response:
            async for piece in response.content.iter_any():
                for data in parser.feed(piece):
                    if data == _DONE:
                        return
                    yield self._decode(_CHAT, data)

    @asynccontextmanager
    async def _request(
        self, path: str, body: Json, timeout_seconds: float
    ) -> AsyncIterator[ClientResponse]:
        """Send a request and hand on a reply with a good status; raise everything else."""
        import aiohttp  # 200 ms that only users of this path pay

        site = self._sites[path].hiding(body)
        data = self._encode(site, body)
        try:
            async with self._connections.session().post(
                self._endpoint.api_base + path,
                data=data,
                allow_redirects=False,  # a redirected POST would become a GET
                timeout=aiohttp.ClientTimeout(total=timeout_seconds),
            ) as response:
                if response.status != 200:
                    raise site.refused(response.status, response.headers, await response.read())
                yield response
        except TimeoutError as error:
            raise site.timed_out(timeout_seconds) from error
        except (aiohttp.ClientError, OSError) as error:
            raise site.lost(error) from error

    def _encode(self, site: CallSite, body: Json) -> bytes:
        if self._endpoint.is_key_missing:
            raise site.no_key(self._endpoint.key_variable or "the key")
        try:
            return encode(body)
        except (TypeError, ValueError) as error:
            raise site.invalid(
                f"the request cannot be written as JSON: {error}",
                remedy="give messages and parameters as texts, numbers, lists and dictionaries",
            ) from error

    def _decode(self, path: str, content: bytes) -> Json:
        site = self._sites[path]
        try:
            value = loads(content)
        except ValueError as error:
            raise site.broken("something that is not JSON", content) from error
        if not isinstance(value, Mapping):
            raise site.broken("JSON that is not an object", content)
        failure = value.get("error")
        if failure:  # some gateways report the provider's failure with status 200
            code = failure.get("code") if isinstance(failure, Mapping) else None
            status = code if isinstance(code, int) and 400 <= code < 600 else 500
            raise site.refused(status, {}, content)
        return cast("Json", value)

    def _site(self, path: str, headers: Mapping[str, str]) -> CallSite:
        return call_site(
            self._model,
            self._endpoint.api_base + path,
            api_key=self._endpoint.api_key,
            headers=headers,
            key_variable=self._endpoint.key_variable,
        )
