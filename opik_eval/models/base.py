"""What a model is: one asynchronous path from messages to a completion."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import BaseModel

Message = Mapping[str, object]
"""A chat message in OpenAI's form: ``role``, ``content`` (text or parts), ``tool_calls`` ..."""

ResponseFormat = type[BaseModel] | Mapping[str, object] | None
"""A pydantic class, a JSON schema, or nothing."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Token counts of one call. ``None`` = the provider did not say.

    Attributes:
        cached_tokens: Prompt tokens that the provider read from its own cache.
        reasoning_tokens: Completion tokens spent on hidden reasoning.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A call of a tool that the model asks for; ``arguments`` is the JSON text as it came."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, kw_only=True)
class TokenLogprob:
    """Log-probability of one token of the reply and of its rivals at that place."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Completion:
    """A model's reply.

    Attributes:
        text: The reply's text; empty if the model only calls tools.
        parsed: The reply as an instance of the pydantic class, or as plain JSON types for a JSON
            schema, if ``response_format`` asked for one.
        usage: Token counts.
        cost_usd: What the call cost now; 0 for a cached or a local reply, ``None`` = price unknown.
        finish_reason: ``stop``, ``length``, ``tool_calls`` ...
        cached: True if the reply came from our response cache.
        latency_seconds: Time from dispatch to the last byte, waiting for slots excluded.
        ttft_seconds: Time to the first token, for streamed replies.
        attempts: Requests that were sent for this reply.
        raw: The provider's own reply as JSON types.
    """

    text: str
    model: str
    parsed: object = None
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = field(default_factory=Usage)
    cost_usd: float | None = None
    logprobs: tuple[TokenLogprob, ...] | None = None
    finish_reason: str | None = None
    cached: bool = False
    latency_seconds: float = 0.0
    ttft_seconds: float | None = None
    attempts: int = 1
    raw: Mapping[str, object] | None = None


@dataclass(frozen=True, kw_only=True)
class ModelRequest:
    """One request as a transport sends it.

    Attributes:
        model: Full name, such as ``openai/gpt-5-nano``.
        params: Sampling parameters and whatever else the provider takes (``temperature``,
            ``tools``, ``logprobs``, ``seed`` ...), passed on unchanged.
        json_schema: Schema the reply must fit, for providers that constrain the reply themselves.
        timeout_seconds: Limit for this one request.
    """

    model: str
    messages: Sequence[Message]
    params: Mapping[str, object] = field(default_factory=dict)
    json_schema: Mapping[str, object] | None = None
    timeout_seconds: float = 60.0


class Transport(Protocol):
    """Sends one request, once. Retries, limits, cache and budget are above it (``client.py``).

    Every failure is a ``ModelError`` of the right kind, with ``retry_after_seconds`` where the
    provider gave one. A transport may be used from one event loop at a time.
    """

    @property
    def account(self) -> str:
        """What a rate limit applies to: provider and a fingerprint of the key, never the key."""
        ...

    def supports(self, feature: str) -> bool:
        """Tell whether the provider offers ``json_schema``, ``logprobs``, ``tools`` or ``seed``."""
        ...

    async def send(self, request: ModelRequest) -> Completion:
        """Return the reply to a request."""
        ...

    def stream(self, request: ModelRequest) -> AsyncIterator[str]:
        """Yield the pieces of the reply's text as they come."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


class Model(Protocol):
    """A model as the rest of the framework sees it."""

    @property
    def name(self) -> str:
        """Full name, such as ``local/smollm2-135m-instruct``."""
        ...

    async def generate(
        self,
        messages: Sequence[Message] | str,
        *,
        response_format: ResponseFormat = None,
        repeat: int = 0,
        **params: object,
    ) -> Completion:
        """Return the model's reply.

        Args:
            messages: Chat messages; a text stands for one user message.
            response_format: What the reply must fit; then ``Completion.parsed`` is set.
            repeat: Which of several equal requests this is; part of the cache key, so that trials
                sample anew while a re-run finds each of them again.
            **params: Parameters for the provider.

        Raises:
            ModelError: The call failed for good.
            ParseError: The reply does not fit ``response_format`` even after one repair turn.
            BudgetExceededError: The call would pass a limit of the budget; nothing was sent.
        """
        ...

    def generate_sync(
        self,
        messages: Sequence[Message] | str,
        *,
        response_format: ResponseFormat = None,
        repeat: int = 0,
        **params: object,
    ) -> Completion:
        """Do the same from synchronous code."""
        ...
