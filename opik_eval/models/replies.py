"""Raw replies as completions with a cost, or as errors: what all transports do last."""

from __future__ import annotations

from dataclasses import replace

from opik_eval.models.base import Completion
from opik_eval.models.failures import CallSite
from opik_eval.models.openai_format import (
    Json,
    MalformedReplyError,
    parse_completion,
    parse_embeddings,
)
from opik_eval.models.pricing import cost_usd


def complete(raw: Json, *, site: CallSite, latency_seconds: float) -> Completion:
    """Return a chat completion with its cost.

    Raises:
        ModelUnavailableError: It is no chat completion.
        EmptyReplyError: It has neither text nor tool calls.
    """
    try:
        reply = parse_completion(raw, model=site.model)
    except MalformedReplyError as error:
        raise site.broken(str(error)) from error
    if not reply.text and not reply.tool_calls:
        raise site.empty(reply.finish_reason)
    tier = raw.get("service_tier")
    cost = cost_usd(site.model, reply.usage, service_tier=tier if isinstance(tier, str) else None)
    return replace(reply, cost_usd=cost, latency_seconds=latency_seconds)


def vectors(raw: Json, *, site: CallSite, count: int) -> list[list[float]]:
    """Return embeddings in the order of their texts.

    Raises:
        ModelUnavailableError: There is not one for each text.
    """
    try:
        return parse_embeddings(raw, count=count)
    except MalformedReplyError as error:
        raise site.broken(str(error)) from error
