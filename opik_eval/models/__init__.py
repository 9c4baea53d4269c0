"""Models: one way to call an LLM, with retries, limits, cache, budget and structured output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opik_eval.lazy import lazily

if TYPE_CHECKING:
    from opik_eval.models.base import (
        Completion,
        Message,
        Model,
        ModelRequest,
        ResponseFormat,
        TokenLogprob,
        ToolCall,
        Transport,
        Usage,
    )
    from opik_eval.models.budget import Budget, BudgetReport
    from opik_eval.models.cache import CacheMode, CacheStats, ResponseCache
    from opik_eval.models.client import ChatModel, get_model
    from opik_eval.models.congestion import ConcurrencyBounds
    from opik_eval.models.context import use_models
    from opik_eval.models.embedding import ModelEmbeddings, embedding_function
    from opik_eval.models.fake import (
        EchoTransport,
        FakeTransport,
        FlakyTransport,
        FunctionTransport,
        LabelNoiseTransport,
        LatencyTransport,
        ScriptedTransport,
    )
    from opik_eval.models.limiter import AdaptiveLimiter, limiter_for
    from opik_eval.models.naming import available_models
    from opik_eval.models.pricing import cost_usd
    from opik_eval.models.retry import RetryPolicy

__all__ = [
    "AdaptiveLimiter",
    "Budget",
    "BudgetReport",
    "CacheMode",
    "CacheStats",
    "ChatModel",
    "Completion",
    "ConcurrencyBounds",
    "EchoTransport",
    "FakeTransport",
    "FlakyTransport",
    "FunctionTransport",
    "LabelNoiseTransport",
    "LatencyTransport",
    "Message",
    "Model",
    "ModelEmbeddings",
    "ModelRequest",
    "ResponseCache",
    "ResponseFormat",
    "RetryPolicy",
    "ScriptedTransport",
    "TokenLogprob",
    "ToolCall",
    "Transport",
    "Usage",
    "available_models",
    "cost_usd",
    "embedding_function",
    "get_model",
    "limiter_for",
    "use_models",
]

_HOMES = {
    "AdaptiveLimiter": "limiter",
    "Budget": "budget",
    "BudgetReport": "budget",
    "CacheMode": "cache",
    "CacheStats": "cache",
    "ChatModel": "client",
    "Completion": "base",
    "ConcurrencyBounds": "congestion",
    "EchoTransport": "fake",
    "FakeTransport": "fake",
    "FlakyTransport": "fake",
    "FunctionTransport": "fake",
    "LabelNoiseTransport": "fake",
    "LatencyTransport": "fake",
    "Message": "base",
    "Model": "base",
    "ModelEmbeddings": "embedding",
    "ModelRequest": "base",
    "ResponseCache": "cache",
    "ResponseFormat": "base",
    "RetryPolicy": "retry",
    "ScriptedTransport": "fake",
    "TokenLogprob": "base",
    "ToolCall": "base",
    "Transport": "base",
    "Usage": "base",
    "available_models": "naming",
    "cost_usd": "pricing",
    "embedding_function": "embedding",
    "get_model": "client",
    "limiter_for": "limiter",
    "use_models": "context",
}

__getattr__, __dir__ = lazily(__name__, _HOMES)
