"""Embeddings by name of a model, within the same limits as every other call of a model."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

from opik_eval.errors import ConfigError, ModelError
from opik_eval.models.base import Transport, Usage
from opik_eval.models.budget import Reservation, estimate_usage, reserve_all
from opik_eval.models.clock import SystemClock
from opik_eval.models.context import model_context
from opik_eval.models.dispatch import settle_failure
from opik_eval.models.limiter import limiter_for
from opik_eval.models.naming import full_name
from opik_eval.models.pricing import cost_usd
from opik_eval.models.retry import RetryPolicy, call_with_retry
from opik_eval.models.transports import Address, transport_for


class _Embedder(Protocol):
    """What is used of a transport that embeds."""

    async def embed(
        self, texts: Sequence[str], *, timeout_seconds: float, **params: object
    ) -> list[list[float]]: ...


def embedding_function(
    model: str,
    *,
    api_base: str | None = None,
    api_key: str | None = None,
    timeout_seconds: float = 60.0,
    retry: RetryPolicy | None = None,
    batch_size: int = 256,
    **params: object,
) -> ModelEmbeddings:
    """Return a function that embeds texts, for ``EmbeddingSimilarity``. Nothing is sent yet.

    Args:
        model: ``provider/model``, such as ``openai/text-embedding-3-small`` or
            ``local/smollm2-135m-instruct``.
        api_base: Base URL of an OpenAI-compatible server, or of the provider's, where it is not in
            its usual place.
        api_key: Key; from the environment if absent.
        timeout_seconds: Limit for each single request.
        retry: How often and how long a failing request is tried.
        batch_size: Texts in one request.
        **params: Parameters for the provider, such as ``dimensions``.

    Raises:
        ConfigError: Nobody is known to serve that model, or ``batch_size`` is below 1.

    Example:
        >>> from opik_eval.metrics import EmbeddingSimilarity
        >>> metric = EmbeddingSimilarity(embedding_function("openai/text-embedding-3-small"))
        >>> metric.function.name
        'openai/text-embedding-3-small'
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size must be 1 or more, not {batch_size}")
    return ModelEmbeddings(
        name=full_name(model, api_base=api_base),
        api_base=api_base,
        api_key=api_key,
        timeout_seconds=timeout_seconds,
        retry=retry or RetryPolicy(),
        batch_size=batch_size,
        params=params,
    )


@dataclass(frozen=True, kw_only=True)
class ModelEmbeddings:
    """A coroutine function of texts; made by ``embedding_function``.

    It holds configuration alone: it can be pickled, and works in any thread and event loop. The
    limiter of the account and the budgets of ``use_models`` apply; tokens are counted by estimate,
    because transports do not report those of embeddings.

    Attributes:
        name: Full name of the model.
    """

    name: str
    api_base: str | None = None
    api_key: str | None = field(default=None, repr=False)
    timeout_seconds: float = 60.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    batch_size: int = 256
    params: Mapping[str, object] = field(default_factory=dict)

    async def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a vector for each text, in their order.

        Raises:
            ConfigError: The model's provider has no embeddings.
            ModelError: A call failed for good.
            BudgetExceededError: The next request does not fit into a budget.
        """
        address = Address(name=self.name, api_base=self.api_base, api_key=self.api_key)
        transport = await transport_for(address)
        if not hasattr(transport, "embed"):
            raise ConfigError(
                f"the model {self.name!r} has no embeddings",
                remedy="name an embedding model, such as openai/text-embedding-3-small",
            )
        vectors: list[list[float]] = []
        for start in range(0, len(texts), self.batch_size):
            vectors += await self._embed(transport, texts[start : start + self.batch_size])
        return vectors

    async def _embed(self, transport: Transport, texts: Sequence[str]) -> list[list[float]]:
        limiter = limiter_for(transport.account)

        async def attempt(number: int) -> list[list[float]]:
            reservation = self._reserve(texts)
            try:
                vectors = await cast("_Embedder", transport).embed(
                    texts,
                    timeout_seconds=min(self.timeout_seconds, _seconds_left()),
                    **self.params,
                )
            except BaseException as error:
                settle_failure(reservation, error)
                if isinstance(error, ModelError):
                    limiter.failed(error)
                raise
            reservation.settle()
            limiter.succeeded(attempt=number)
            return vectors

        async with limiter.slot():
            return await call_with_retry(
                attempt,
                self.retry,
                clock=SystemClock(),
                rng=random.Random(),
                deadline_seconds=_seconds_left(),
            )

    def _reserve(self, texts: Sequence[str]) -> Reservation:
        budgets = model_context().budgets
        if not budgets:
            return reserve_all(())
        messages = [{"role": "user", "content": text} for text in texts]
        tokens = estimate_usage(messages, {}, None).prompt_tokens or 0
        usage = Usage(prompt_tokens=tokens, completion_tokens=0, total_tokens=tokens)
        return reserve_all(
            budgets,
            tokens=tokens,
            cost_usd=cost_usd(self.name, usage),
            purpose=f"embeddings by {self.name}",
        )


def _seconds_left() -> float:
    budgets = model_context().budgets
    return min((budget.remaining_seconds() for budget in budgets), default=float("inf"))


__all__ = ["ModelEmbeddings", "embedding_function"]
