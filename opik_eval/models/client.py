"""The door to models: ``get_model`` and the client behind it.

One path for every call, from the outside in: span, response cache, slot of the account, retries,
budget, transport. Structured output asks again along that same path.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from urllib.parse import urlsplit

from opik_eval.concurrency import run_sync
from opik_eval.errors import ConfigError, ParseError
from opik_eval.models.base import (
    Completion,
    Message,
    Model,
    ModelRequest,
    ResponseFormat,
    Transport,
)
from opik_eval.models.budget import Budget
from opik_eval.models.cache import ResponseCache, cache_key, without_secrets
from opik_eval.models.clock import Clock, SystemClock
from opik_eval.models.congestion import ConcurrencyBounds
from opik_eval.models.context import current_repeat, model_context
from opik_eval.models.dispatch import Dispatcher
from opik_eval.models.endpoints import find_endpoint, takes_direct_path
from opik_eval.models.limiter import AdaptiveLimiter, limiter_for
from opik_eval.models.naming import default_name, full_name, provider_of
from opik_eval.models.retry import RetryPolicy
from opik_eval.models.string_model import StringModel, StringModelTransport
from opik_eval.models.structured import (
    ReplySchema,
    both_turns,
    parse_reply,
    repair_messages,
    reply_schema,
    with_schema_in_prompt,
)
from opik_eval.models.transports import Address, transport_for
from opik_eval.storage.base import CacheStore
from opik_eval.tracing.context import current_trace, start_span
from opik_eval.tracing.litellm_callback import own_call
from opik_eval.tracing.state import SpanState


def get_model(
    model: str | Model | StringModel | None = None,
    *,
    api_base: str | None = None,
    api_key: str | None = None,
    timeout_seconds: float | None = None,
    retry: RetryPolicy | None = None,
    cache: ResponseCache | CacheStore | None = None,
    budget: Budget | None = None,
    **params: object,
) -> Model:
    """Return a model to call. Nothing is sent and no connection is made before the first call.

    Args:
        model: ``provider/model``, such as ``openai/gpt-5-nano``, ``local/smollm2-135m-instruct`` or
            ``fake/echo``; a model, which is returned as it is; an object with Opik's
            ``generate_string``; ``None`` = the default model of the settings
            (``OPIK_DEFAULT_LLM``).
        api_base: Base URL of an OpenAI-compatible server, or of the provider's, where it is not in
            its usual place.
        api_key: Key; from the environment if absent.
        timeout_seconds: Limit for each single request; 60 if absent, and 300 for a model on this
            machine, which is slow while others keep the machine busy, but does not hang.
        retry: How often and how long a failing request is tried.
        cache: Where to keep replies, beside what ``use_models`` says.
        budget: Limits for this model's calls, beside what ``use_models`` says.
        **params: Parameters of every call, such as ``temperature`` or ``max_tokens``.

    Raises:
        ConfigError: Nobody is known to serve that model, or none is named and there is no default.

    Example:
        >>> get_model("fake/echo").generate_sync("hello").text
        'hello'
    """
    transport = None
    if model is None or isinstance(model, str):
        name = full_name(model or default_name(), api_base=api_base)
    elif not isinstance(model, ChatModel) and isinstance(model, StringModel):  # the latter is slow
        transport = StringModelTransport(model)
        name = transport.account
    else:
        if api_base or api_key or retry or cache or budget or params:
            raise ConfigError(
                f"options were given for a model that exists already: {model.name}",
                remedy="give them to get_model together with the model's name",
            )
        return model
    if timeout_seconds is None:
        timeout_seconds = 300.0 if name.startswith("local/") else 60.0
    if timeout_seconds <= 0:
        raise ConfigError(f"timeout_seconds must be above 0, not {timeout_seconds:g}")
    if cache is not None and not isinstance(cache, ResponseCache):
        cache = ResponseCache(cache)
    return ChatModel(
        name=name,
        api_base=api_base,
        api_key=api_key,
        timeout_seconds=timeout_seconds,
        retry=retry or RetryPolicy(),
        cache=cache,
        budget=budget,
        params=params,
        transport=transport,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class ChatModel:
    """A model behind all layers of this package; usually made by ``get_model``.

    It holds configuration alone: it is cheap to make, works in any thread and event loop, and can
    be pickled unless it has a budget. Models of one address share connections, models of one
    account its limiter.

    Attributes:
        name: Full name.
        api_base: Base URL, where it is not the usual one.
        api_key: Key, where it does not come from the environment.
        timeout_seconds: Limit for each single request.
        retry: How often and how long a failing request is tried.
        cache: A response cache of its own.
        budget: A budget of its own.
        params: Parameters of every call.
        transport: Takes the place of the one that belongs to the name; must work on every event
            loop that calls the model.
        clock: Time source of the waits between attempts.
        rng: Source of their jitter.

    Example:
        >>> from opik_eval.models.fake import ScriptedTransport
        >>> model = ChatModel(name="fake/script", transport=ScriptedTransport(["one", "two"]))
        >>> model.generate_sync("?").text, model.generate_sync("?").text
        ('one', 'two')
    """

    name: str
    api_base: str | None = None
    api_key: str | None = field(default=None, repr=False)
    timeout_seconds: float = 60.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    cache: ResponseCache | None = None
    budget: Budget | None = None
    params: Mapping[str, object] = field(default_factory=dict, repr=False)
    transport: Transport | None = None
    clock: Clock = field(default_factory=SystemClock, repr=False)
    rng: random.Random = field(default_factory=random.Random, repr=False)

    async def supports(self, feature: str) -> bool:
        """Tell whether the provider offers a feature; see ``Transport.supports``."""
        transport = self.transport or await transport_for(self._address)
        return transport.supports(feature)

    async def generate(
        self,
        messages: Sequence[Message] | str,
        *,
        response_format: ResponseFormat = None,
        repeat: int = 0,
        **params: object,
    ) -> Completion:
        """Return the model's reply; see ``opik_eval.models.base.Model.generate``."""
        schema = reply_schema(response_format)
        repeat = repeat or current_repeat()
        transport = self.transport or await transport_for(self._address)
        request = ModelRequest(
            model=self.name,
            messages=[{"role": "user", "content": messages}]
            if isinstance(messages, str)
            else list(messages),
            params={**self.params, **params},
            timeout_seconds=self.timeout_seconds,
        )
        if schema is None:
            return await self._complete(transport, request, repeat)
        request = _asking_for(schema, request, transport)
        reply = await self._complete(transport, request, repeat)
        if reply.tool_calls and not reply.text.strip():
            return reply  # the answer comes once the tools have been called
        try:
            return replace(reply, parsed=parse_reply(reply.text, schema))
        except ParseError as error:
            messages = repair_messages(request.messages, reply, error, schema)
        repair = await self._complete(transport, replace(request, messages=messages), repeat)
        return both_turns(reply, self._parsed(repair, schema))

    def generate_sync(
        self,
        messages: Sequence[Message] | str,
        *,
        response_format: ResponseFormat = None,
        repeat: int = 0,
        **params: object,
    ) -> Completion:
        """Do the same from synchronous code, also where an event loop is running."""
        return run_sync(
            lambda: self.generate(
                messages, response_format=response_format, repeat=repeat, **params
            )
        )

    async def _complete(
        self, transport: Transport, request: ModelRequest, repeat: int
    ) -> Completion:
        """Send one request along the whole path."""
        context = model_context()
        cache, mode = context.cache_for(self.cache)
        dispatcher = Dispatcher(
            transport=transport,
            limiter=_limiter_of(transport),
            policy=self.retry,
            budgets=context.budgets_with(self.budget),
            clock=self.clock,
            rng=self.rng,
        )
        with _llm_span(request) as span:
            if cache is None or mode == "off":
                reply = await dispatcher.send(request)
            else:
                key = cache_key(request, endpoint=self._endpoint(), repeat=repeat)
                reply = await cache.get_or_call(
                    key, lambda: dispatcher.send(request), model=self.name, mode=mode
                )
            if span is not None:
                _record(span, reply)
        return reply

    def _parsed(self, reply: Completion, schema: ReplySchema) -> Completion:
        try:
            return replace(reply, parsed=parse_reply(reply.text, schema))
        except ParseError as error:
            raise ParseError(
                f"{self.name}: the reply does not fit the schema, even after a repair turn: "
                f"{error.message}",
                reply=reply.text,
                remedy="raise max_tokens: the reply was cut off"
                if reply.finish_reason == "length"
                else "simplify the schema, or use a model that is better at JSON",
            ) from error

    @property
    def _address(self) -> Address:
        return Address(name=self.name, api_base=self.api_base, api_key=self.api_key)

    def _endpoint(self) -> str | None:
        """Return the URL that answers, where the name alone does not determine the model."""
        base = self.api_base
        if self.transport is None and takes_direct_path(self.name, api_base=base):
            base = find_endpoint(self.name, api_base=base, api_key=self.api_key).api_base
        if base is None:
            return None
        parts = urlsplit(base)
        return f"{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"


def _asking_for(schema: ReplySchema, request: ModelRequest, transport: Transport) -> ModelRequest:
    if transport.supports("json_schema"):
        return replace(request, json_schema=schema.json_schema)
    return replace(request, messages=with_schema_in_prompt(request.messages, schema.json_schema))


def _limiter_of(transport: Transport) -> AdaptiveLimiter:
    # Only a server of our own has a known size; further requests would wait inside it, with their
    # time running.
    slots = getattr(getattr(transport, "options", None), "slots", None)
    if slots is None:
        return limiter_for(transport.account)
    return limiter_for(transport.account, ConcurrencyBounds(start=slots, maximum=slots))


@contextmanager
def _llm_span(request: ModelRequest) -> Iterator[SpanState | None]:
    """Record a call as a span of the current trace; outside of traces record nothing."""
    with own_call():
        if current_trace() is None:
            yield None
            return
        with start_span(
            request.model,
            type="llm",
            model=request.model,
            provider=provider_of(request.model),
            input={"messages": request.messages},
            metadata=without_secrets(request.params),
        ) as span:
            yield span


def _record(span: SpanState, reply: Completion) -> None:
    calls = [asdict(call) for call in reply.tool_calls]
    facts = {
        "finish_reason": reply.finish_reason,
        "cached": reply.cached,
        "attempts": reply.attempts,
        "cost_known": reply.cost_usd is not None,
    }
    span.update(
        output={"content": reply.text, **({"tool_calls": calls} if calls else {})},
        usage=asdict(reply.usage),
        cost_usd=reply.cost_usd,
        ttft_seconds=reply.ttft_seconds,
        metadata={name: fact for name, fact in facts.items() if fact is not None},
    )
