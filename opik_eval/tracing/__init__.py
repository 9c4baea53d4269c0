"""Traces and spans of the program at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opik_eval.lazy import lazily

if TYPE_CHECKING:
    from opik_eval.tracing.attachments import Attachment
    from opik_eval.tracing.context import (
        CollectingSink,
        Sink,
        SpanState,
        TraceState,
        current_span,
        current_trace,
        project_context,
        trace_scope,
    )
    from opik_eval.tracing.context import start_span as start_as_current_span
    from opik_eval.tracing.context import start_trace as start_as_current_trace
    from opik_eval.tracing.decorator import track
    from opik_eval.tracing.litellm_callback import track_litellm
    from opik_eval.tracing.propagation import (
        TracedThreadPool,
        distributed_headers,
        get_distributed_trace_headers,
        with_context,
    )
    from opik_eval.tracing.tracer import (
        configure_tracing,
        flush_tracker,
        is_tracing_active,
        reset_tracing_to_config_default,
        set_tracing_active,
    )
    from opik_eval.tracing.tree import SpanModel, build_tree

__all__ = [
    "Attachment",
    "CollectingSink",
    "Sink",
    "SpanModel",
    "SpanState",
    "TraceState",
    "TracedThreadPool",
    "build_tree",
    "configure_tracing",
    "current_span",
    "current_trace",
    "distributed_headers",
    "flush_tracker",
    "get_distributed_trace_headers",
    "is_tracing_active",
    "project_context",
    "reset_tracing_to_config_default",
    "set_tracing_active",
    "start_as_current_span",
    "start_as_current_trace",
    "trace_scope",
    "track",
    "track_litellm",
    "with_context",
]

_HOMES = {
    "attachments": ("Attachment",),
    "context": (
        "CollectingSink",
        "Sink",
        "SpanState",
        "TraceState",
        "current_span",
        "current_trace",
        "project_context",
        "trace_scope",
    ),
    "decorator": ("track",),
    "litellm_callback": ("track_litellm",),
    "propagation": (
        "TracedThreadPool",
        "distributed_headers",
        "get_distributed_trace_headers",
        "with_context",
    ),
    "tracer": (
        "configure_tracing",
        "flush_tracker",
        "is_tracing_active",
        "reset_tracing_to_config_default",
        "set_tracing_active",
    ),
    "tree": ("SpanModel", "build_tree"),
}
_PLACES = {name: (home, name) for home, names in _HOMES.items() for name in names}
_PLACES["start_as_current_span"] = ("context", "start_span")
_PLACES["start_as_current_trace"] = ("context", "start_trace")

__getattr__, __dir__ = lazily(__name__, _PLACES)
