"""Models that need no network: for tests, demonstrations and dry runs.

They are transports, so that everything above a transport (retries, limits, cache, budget,
structured output, spans) runs for real. All are deterministic: what they answer depends on their
seed, the request's content and how often that content came before, never on timing or order.

Each has a name besides (``fake_names.py``), for ``get_model`` and configuration files. In code a
transport becomes a model by ``ChatModel(name="fake/...", transport=...)``.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import random
import re
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from inspect import isawaitable

from pydantic import BaseModel

from opik_eval.errors import (
    ConfigError,
    ModelError,
    ModelTimeoutError,
    ModelUnavailableError,
    RateLimitedError,
)
from opik_eval.models.base import Completion, Message, ModelRequest, Usage
from opik_eval.models.clock import Clock, SystemClock
from opik_eval.serialization import content_hash, dumps

Reply = str | Mapping[str, object] | BaseModel | Completion | ModelError
"""What a fake answers: text, a value that becomes JSON, a completion, or an error to raise."""

_BYTES_PER_TOKEN = 4
_numbers = itertools.count(1)


class FakeTransport:
    """Base of the fakes: counts usage, keeps the requests, and leaves the reply to a subclass.

    Args:
        account: What a rate limit applies to; one of its own for each fake if absent.
        features: What ``supports`` affirms.

    Attributes:
        account: What a rate limit applies to.
        requests: The latest 10 000 requests, in order of arrival.
    """

    def __init__(
        self, *, account: str | None = None, features: frozenset[str] = frozenset({"seed"})
    ) -> None:
        self.account = account or f"fake#{next(_numbers)}"
        self._features = features
        self.requests: deque[ModelRequest] = deque(maxlen=10_000)

    def supports(self, feature: str) -> bool:
        """Tell whether the fake claims a feature."""
        return feature in self._features

    async def send(self, request: ModelRequest) -> Completion:
        """Return the reply to a request, or raise its error."""
        self.requests.append(request)
        try:
            async with asyncio.timeout(request.timeout_seconds):
                reply = await self.reply(request)
        except TimeoutError as error:
            raise ModelTimeoutError(
                f"{request.model}: no reply within {request.timeout_seconds:g} s"
            ) from error
        if isinstance(reply, ModelError):
            raise copy.copy(reply)
        return _completion(reply, request)

    async def reply(self, request: ModelRequest) -> Reply:
        """Return what to answer; subclasses implement it."""
        raise NotImplementedError

    async def stream(self, request: ModelRequest) -> AsyncIterator[str]:
        """Yield the reply word by word."""
        for word in re.findall(r"\s*\S+\s*", (await self.send(request)).text):
            yield word

    async def aclose(self) -> None:
        """Do nothing: there are no connections."""


class EchoTransport(FakeTransport):
    """Answers with the text of the last user message."""

    async def reply(self, request: ModelRequest) -> Reply:
        """Return the last user message."""
        return last_user_text(request.messages)


class ScriptedTransport(FakeTransport):
    """Answers with the next entry of a script, in order of arrival.

    Args:
        script: Replies and errors.
        features: What ``supports`` affirms.
    """

    def __init__(
        self, script: Sequence[Reply], *, features: frozenset[str] = frozenset({"seed"})
    ) -> None:
        super().__init__(features=features)
        self._size = len(script)
        self._left = deque(script)

    async def reply(self, request: ModelRequest) -> Reply:
        """Return the next entry.

        Raises:
            ModelError: The script is at its end.
        """
        try:
            return self._left.popleft()
        except IndexError:
            raise ModelError(
                f"{request.model}: the script is at its end after {self._size} replies",
                remedy="add replies to the script, or look for a request you did not expect",
            ) from None


class FunctionTransport(FakeTransport):
    """Answers with what a function makes of the request.

    Args:
        function: Takes the ``ModelRequest``; may be a coroutine function.
        features: What ``supports`` affirms.
    """

    def __init__(
        self,
        function: Callable[[ModelRequest], Reply | Awaitable[Reply]],
        *,
        features: frozenset[str] = frozenset({"seed"}),
    ) -> None:
        super().__init__(features=features)
        self._function = function

    async def reply(self, request: ModelRequest) -> Reply:
        """Return the function's result."""
        result = self._function(request)
        return await result if isawaitable(result) else result


class WrappedTransport(FakeTransport):
    """Base of the fakes that change what another one does."""

    def __init__(self, inner: FakeTransport) -> None:
        super().__init__(account=inner.account)
        self._inner = inner

    def supports(self, feature: str) -> bool:
        """Tell what the wrapped fake claims."""
        return self._inner.supports(feature)

    async def reply(self, request: ModelRequest) -> Reply:
        """Return the wrapped fake's reply."""
        return await self._inner.send(request)


class LatencyTransport(WrappedTransport):
    """Answers after a while.

    Args:
        inner: What answers.
        seconds: How long it takes.
        clock: What to wait on.
    """

    def __init__(self, inner: FakeTransport, seconds: float, *, clock: Clock | None = None) -> None:
        super().__init__(inner)
        self._seconds = seconds
        self._clock = clock or SystemClock()

    async def reply(self, request: ModelRequest) -> Reply:
        """Return the wrapped fake's reply, later."""
        await self._clock.sleep(self._seconds)
        return await super().reply(request)


class _SeededTransport(WrappedTransport):
    """Draws from a generator that depends on seed, content and how often that content came."""

    def __init__(self, inner: FakeTransport, seed: int) -> None:
        super().__init__(inner)
        self._seed = seed
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def _generator(self, request: ModelRequest) -> random.Random:
        content = content_hash((request.model, request.messages, request.params))
        with self._lock:
            self._seen[content] += 1
            occurrence = self._seen[content]
        return random.Random(f"{self._seed}/{content}/{occurrence}")


class FlakyTransport(_SeededTransport):
    """Fails now and then, as providers do.

    Args:
        inner: What answers otherwise.
        error_rate: Share of requests that end in a ``ModelUnavailableError``.
        rate_limit_rate: Share of requests that end in a ``RateLimitedError``.
        retry_after_seconds: What the latter asks for.
        seed: Which requests fail.
    """

    def __init__(
        self,
        inner: FakeTransport,
        *,
        error_rate: float = 0.0,
        rate_limit_rate: float = 0.0,
        retry_after_seconds: float | None = None,
        seed: int = 0,
    ) -> None:
        if min(error_rate, rate_limit_rate) < 0 or error_rate + rate_limit_rate > 1:
            raise ConfigError(
                f"error_rate {error_rate:g} and rate_limit_rate {rate_limit_rate:g} must be shares "
                "of at most 1 together"
            )
        super().__init__(inner, seed)
        self._error_rate = error_rate
        self._rate_limit_rate = rate_limit_rate
        self._retry_after_seconds = retry_after_seconds

    async def reply(self, request: ModelRequest) -> Reply:
        """Return an error or the wrapped fake's reply."""
        drawn = self._generator(request).random()
        if drawn < self._error_rate:
            return ModelUnavailableError(f"{request.model}: simulated failure", status=503)
        if drawn < self._error_rate + self._rate_limit_rate:
            return RateLimitedError(
                f"{request.model}: simulated rate limit",
                retry_after_seconds=self._retry_after_seconds,
                status=429,
            )
        return await super().reply(request)


class LabelNoiseTransport(_SeededTransport):
    """Replaces right labels by wrong ones at a known rate, for tests of agreement statistics.

    Args:
        inner: What answers; its reply is taken for the right label.
        labels: All labels.
        error_rate: Share of replies that become one of the other labels.
        seed: Which replies.
    """

    def __init__(
        self, inner: FakeTransport, labels: Sequence[str], *, error_rate: float, seed: int = 0
    ) -> None:
        if len(set(labels)) < 2 or not 0 <= error_rate <= 1:
            raise ConfigError(
                f"label noise needs two labels or more and an error_rate within 0..1, not "
                f"{list(labels)} and {error_rate:g}"
            )
        super().__init__(inner, seed)
        self._labels = list(dict.fromkeys(labels))
        self._error_rate = error_rate

    async def reply(self, request: ModelRequest) -> Reply:
        """Return the wrapped fake's label, or another one."""
        right = await self._inner.send(request)
        generator = self._generator(request)
        if generator.random() >= self._error_rate:
            return right
        others = [label for label in self._labels if label != right.text.strip()]
        return replace(right, text=generator.choice(others))


def last_user_text(messages: Sequence[Message]) -> str:
    """Return the text of the last user message; an empty text if there is none."""
    for message in reversed(messages):
        if message.get("role") == "user":
            content = message.get("content")
            parts = content if isinstance(content, list | tuple) else [{"text": content}]
            return "\n".join(
                str(part["text"]) for part in parts if isinstance(part, Mapping) and "text" in part
            )
    return ""


def _completion(reply: Reply, request: ModelRequest) -> Completion:
    if isinstance(reply, Completion):
        return reply
    text = reply if isinstance(reply, str) else dumps(reply).decode()
    prompt = sum(_tokens(str(message.get("content") or "")) for message in request.messages)
    completion = _tokens(text)
    return Completion(
        text=text,
        model=request.model,
        usage=Usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=prompt + completion,
        ),
        cost_usd=0.0,
        finish_reason="stop",
    )


def _tokens(text: str) -> int:
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN)
