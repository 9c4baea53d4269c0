"""Every provider that litellm knows.

The only module that imports litellm, and only on first use.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import traceback
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Protocol, cast

from opik_eval.config import environment_value, set_default_environment
from opik_eval.errors import ModelError
from opik_eval.models.base import Completion, ModelRequest
from opik_eval.models.endpoints import account_of, host_of
from opik_eval.models.failures import CallSite, call_site
from opik_eval.models.naming import provider_of
from opik_eval.models.openai_format import Json, chat_arguments
from opik_eval.models.pricing import offers
from opik_eval.models.replies import complete, vectors
from opik_eval.models.streaming import CompletionStream

if TYPE_CHECKING:
    from types import ModuleType


class _Zero(int):
    """A zero that is true, since litellm reads ``max_retries or 2`` for embeddings."""

    def __bool__(self) -> bool:
        return True


# Retries are counted above: neither litellm nor the SDKs below it may add theirs.
_ONE_TRY = {"num_retries": 0, "max_retries": _Zero()}
_EXCEPTION_NAMES = re.compile(r"^(?:[\w.]*(?:Error|Exception)(?::| -) ?)+")
_LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")


class LiteLLMTransport:
    """Transport through litellm; see ``opik_eval.models.base.Transport``.

    A parameter that the model does not take is an error that names it; nothing is ever dropped.

    Args:
        model: Full name, such as ``anthropic/claude-sonnet-4-5``.
        **settings: What litellm's ``completion`` takes about the provider: ``api_key``,
            ``api_base``, ``api_version``, ``vertex_project``, ``aws_region_name`` ...

    Example:
        >>> LiteLLMTransport("anthropic/claude-sonnet-4-5", api_key="sk-secret").account
        'anthropic#746b4ad1'
    """

    def __init__(self, model: str, **settings: object) -> None:
        self._model = model
        self._settings = settings

    @property
    def account(self) -> str:
        """Provider, or host of its server, and a fingerprint of the key."""
        base = self._settings.get("api_base")
        key = self._settings.get("api_key") or environment_value(_key_variable_of(self._model))
        return account_of(host_of(str(base)) if base else provider_of(self._model), str(key or ""))

    def supports(self, feature: str) -> bool:
        """Tell whether the model takes ``json_schema``, ``logprobs``, ``tools`` or ``seed``."""
        known = offers(self._model, feature)
        if known is not None:
            return known
        # Many providers take response_format and then ignore its schema.
        return feature != "json_schema" and feature in _parameters_of(self._model)

    async def send(self, request: ModelRequest) -> Completion:
        """Return the reply to a request.

        Raises:
            ModelError: The call failed; its kind says how.
        """
        if request.params.get("stream"):
            raise self._site.streamed_by_send()
        await _load()
        started = time.perf_counter()
        async with self._translated(request.timeout_seconds, request.params):
            reply = await self._start(request, stream=False)
        latency = time.perf_counter() - started
        raw = _with_refusal(cast("_Dumps", reply).model_dump())
        completion = complete(raw, site=self._site, latency_seconds=latency)
        # litellm also knows of cache writes and searches, but its 0 may mean "unknown".
        billed = getattr(reply, "_hidden_params", {}).get("response_cost")
        return replace(completion, cost_usd=billed) if billed else completion

    def stream(self, request: ModelRequest) -> CompletionStream:
        """Return the pieces of the reply's text as they come; failures are raised while reading."""
        return CompletionStream(self._chunks(request), site=self._site)

    async def embed(
        self, texts: Sequence[str], *, timeout_seconds: float = 60.0, **params: object
    ) -> list[list[float]]:
        """Return a vector for each text, by one request.

        Args:
            texts: At most as many as the provider takes at once.
            timeout_seconds: Limit for the request.
            **params: Parameters for the provider, such as ``dimensions``.

        Raises:
            ModelError: The call failed; its kind says how.
        """
        if not texts:
            return []
        await _load()
        given = {**self._settings, **params, **_ONE_TRY, "timeout": timeout_seconds}
        async with self._translated(timeout_seconds, params):
            reply = await _litellm().aembedding(model=self._model, input=list(texts), **given)
        return vectors(cast("_Dumps", reply).model_dump(), site=self._site, count=len(texts))

    async def aclose(self) -> None:
        """Do nothing: all users of litellm in this process share its connections."""

    async def _start(self, request: ModelRequest, *, stream: bool) -> object:
        self._refuse_dropped(request)
        given = chat_arguments(request, model=self._model, stream=stream)
        given["messages"] = [dict(message) for message in request.messages]
        given |= {**self._settings, **_ONE_TRY, "timeout": request.timeout_seconds}
        return await _litellm().acompletion(**given)

    async def _chunks(self, request: ModelRequest) -> AsyncGenerator[Json]:
        await _load()
        started = time.perf_counter()
        async with self._translated(request.timeout_seconds, request.params):
            reply = cast("_Stream", await self._start(request, stream=True))
        async with aclosing(reply):
            while True:
                async with self._translated(request.timeout_seconds, request.params, started):
                    chunk = await anext(reply, None)
                if chunk is None:
                    return
                yield chunk.model_dump()

    @asynccontextmanager
    async def _translated(
        self, timeout_seconds: float, params: Mapping[str, object], started: float | None = None
    ) -> AsyncIterator[None]:
        """Raise our errors for litellm's, and keep the time limit, which litellm does not."""
        passed = 0.0 if started is None else time.perf_counter() - started
        site = self._site.hiding(params)
        try:
            async with asyncio.timeout(timeout_seconds - passed):
                yield
        except TimeoutError as error:
            raise site.timed_out(timeout_seconds) from error
        except ModelError:
            raise
        except Exception as error:  # noqa: BLE001 - a model call raises what the SDKs below raise
            shown = "".join(traceback.format_exception(error))
            cause = None if site.hides(shown) else error
            raise _translate(error, site, timeout_seconds) from cause

    def _refuse_dropped(self, request: ModelRequest) -> None:
        """Refuse what litellm would drop where somebody has told it to; else it refuses itself."""
        if not (_litellm().drop_params or request.params.get("drop_params")):
            return
        asked = set(request.params) | ({"response_format"} if request.json_schema else set())
        openai = set(_litellm().OPENAI_CHAT_COMPLETION_PARAMS)
        if dropped := sorted((asked & openai) - _parameters_of(self._model)):
            raise self._site.invalid(
                f"the model does not take {', '.join(dropped)}", remedy="leave out these parameters"
            )

    @cached_property
    def _site(self) -> CallSite:
        base = self._settings.get("api_base")
        variable = _key_variable_of(self._model)
        site = call_site(
            self._model,
            str(base) if base else f"//{provider_of(self._model)}",
            api_key=environment_value(variable) or "",
            key_variable=None if "api_key" in self._settings else variable,
        )
        return replace(site.hiding(self._settings), place=f"{site.place} (through litellm)")


def _translate(error: Exception, site: CallSite, timeout_seconds: float) -> ModelError:
    litellm = _litellm()
    text, headers = _EXCEPTION_NAMES.sub("", str(error)), _headers_of(error)
    status = getattr(error, "status_code", None)
    if isinstance(error, litellm.Timeout):
        return site.timed_out(timeout_seconds)
    if isinstance(error, litellm.ContextWindowExceededError):
        return site.refused(400, headers, f"{text} (context_length_exceeded)")
    if isinstance(error, litellm.UnsupportedParamsError):
        return site.invalid(text.partition("To drop")[0], remedy="leave out these parameters")
    if "LLM Provider NOT provided" in text:
        return site.invalid(
            "litellm knows no such provider",
            remedy="write PROVIDER/MODEL, or pass api_base for an OpenAI-compatible server",
        )
    if not isinstance(status, int) or (status >= 500 and not headers):
        return site.lost(error)
    return site.refused(status, headers, text)


class _Dumps(Protocol):
    def model_dump(self) -> dict[str, object]: ...


class _Stream(Protocol):
    async def __anext__(self) -> _Dumps: ...
    async def aclose(self) -> None: ...


async def _load() -> None:
    """Import litellm beside the event loop, and not at the cost of a request's time limit."""
    if not _litellm.cache_info().currsize:
        await asyncio.to_thread(_litellm)


@cache
def _litellm() -> ModuleType:
    """Import litellm without its look-up of prices on the network and without its chatter."""
    set_default_environment("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm  # takes 3 s and 200 MB

    with warnings.catch_warnings():
        # These types are built on first use and warn then, which would fail calls where warnings
        # are errors.
        warnings.simplefilter("ignore")
        litellm.ModelResponse()
        litellm.ModelResponseStream()
        litellm.EmbeddingResponse()
    litellm.suppress_debug_info = True
    for name in _LOGGERS:
        if logging.getLogger(name).level == logging.NOTSET:
            logging.getLogger(name).setLevel(logging.ERROR)
    return cast("ModuleType", litellm)


@cache
def _parameters_of(model: str) -> frozenset[str]:
    """Return the names of OpenAI's parameters that litellm can hand to a model."""
    return frozenset(_litellm().get_supported_openai_params(model=model) or ())


def _key_variable_of(model: str) -> str:
    return f"{provider_of(model).upper()}_API_KEY"


def _headers_of(error: Exception) -> Mapping[str, str]:
    """Return the headers of the reply that an exception stands for, as far as litellm kept them."""
    kept = getattr(error, "litellm_response_headers", None)
    if not kept:
        kept = getattr(getattr(error, "response", None), "headers", None)
    return dict(kept) if kept else {}


def _with_refusal(raw: dict[str, object]) -> Json:
    """Put a refusal, which litellm tucks away, where OpenAI has it."""
    for choice in cast("list[dict[str, dict[str, object]]]", raw.get("choices") or []):
        fields = choice["message"].get("provider_specific_fields")
        if isinstance(fields, Mapping) and fields.get("refusal"):
            choice["message"]["refusal"] = fields["refusal"]
    return raw
