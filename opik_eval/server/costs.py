"""What spans cost whose clients did not say: from the price list of litellm.

A cost is added where model and token counts are known. A model that the list does not have leaves
the cost absent, never 0, and readers of the span are told.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache

from opik_eval.models.base import Usage
from opik_eval.models.pricing import cost_usd
from opik_eval.records import Span

_log = logging.getLogger("opik_eval.server.costs")
_PROVIDERS = {
    "anthropic_vertexai": "vertex_ai",
    "aws.bedrock": "bedrock",
    "az.ai.inference": "azure_ai",
    "az.ai.openai": "azure",
    "azure.ai.inference": "azure_ai",
    "azure.ai.openai": "azure",
    "gcp.gemini": "gemini",
    "gcp.vertex_ai": "vertex_ai",
    "google_ai": "gemini",
    "google_vertexai": "vertex_ai",
    "mistral_ai": "mistral",
    "x_ai": "xai",
}
"""Names that Opik and OpenTelemetry have for providers, and those of the price list."""
_CACHED = (
    "cached_tokens",
    "cache_read_input_tokens",
    "cache_read.input_tokens",
    "prompt_details.cache_read",
    "original_usage.prompt_tokens_details.cached_tokens",
    "original_usage.cache_read_input_tokens",
)
_REASONING = (
    "reasoning_tokens",
    "completion_details.reasoning",
    "original_usage.completion_tokens_details.reasoning_tokens",
)


def priced(span: Span) -> Span:
    """Return a span with its cost, if it has none and that can be told."""
    cost = estimated_cost(span) if span.cost_usd is None else None
    return span if cost is None else span.model_copy(update={"cost_usd": cost})


def cost_of(span: Span) -> float | None:
    """Return what a span cost: what was written, else what can be told; ``None`` = unknown."""
    return estimated_cost(span) if span.cost_usd is None else span.cost_usd


def is_unpriced(span: Span) -> bool:
    """Return whether a span used tokens of a model without a known price."""
    return bool(span.model and span.usage) and cost_of(span) is None


def estimated_cost(span: Span) -> float | None:
    """Return what the tokens of a span cost by the price list, in US dollars."""
    return cost_of_tokens(span.provider, span.model, span.usage)


def cost_of_tokens(
    provider: str | None, model: str | None, usage: Mapping[str, int] | None
) -> float | None:
    """Return what tokens of a model cost by the price list, in US dollars; ``None`` = unknown."""
    if not model or not usage:
        return None
    name = model_name(provider, model)
    cost = cost_usd(name, _usage(usage))
    if cost is None and usage.get("prompt_tokens") is not None:
        _warn_once(name)
    return cost


def model_name(provider: str | None, model: str) -> str:
    """Return the name of a model in the price list.

    Example:
        >>> model_name("google_ai", "gemini-2.5-flash"), model_name(None, "gpt-4o")
        ('gemini/gemini-2.5-flash', 'gpt-4o')
    """
    if not provider:
        return model
    owner = provider.lower()
    owner = _PROVIDERS.get(owner, owner)
    return model if model.startswith(f"{owner}/") else f"{owner}/{model}"


def _usage(usage: Mapping[str, int]) -> Usage:
    def first(names: tuple[str, ...]) -> int | None:
        return next((usage[name] for name in names if name in usage), None)

    return Usage(
        prompt_tokens=usage.get("prompt_tokens"),
        completion_tokens=usage.get("completion_tokens"),
        total_tokens=usage.get("total_tokens"),
        cached_tokens=first(_CACHED),
        reasoning_tokens=first(_REASONING),
    )


@lru_cache(maxsize=1024)
def _warn_once(model: str) -> None:
    _log.warning("no price is known for the model %r; its spans have no cost", model)
