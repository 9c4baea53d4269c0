"""What code inside a traced function may ask and say about the running trace and span.

Example:
    >>> from opik_eval import opik_context
    >>> from opik_eval.tracing import track
    >>> @track
    ... def answer(question: str) -> str:
    ...     opik_context.update_current_span(metadata={"retriever": "bm25"})
    ...     return question.upper()
    >>> answer("why?")
    'WHY?'
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TypeVar, Unpack

from opik_eval.errors import TracingError
from opik_eval.records import Span, Trace
from opik_eval.tracing.context import current_span, current_trace, start_trace
from opik_eval.tracing.propagation import get_distributed_trace_headers
from opik_eval.tracing.state import SpanFields, SpanState, TraceFields, TraceState
from opik_eval.tracing.tracer import is_tracing_active

__all__ = [
    "get_current_span_data",
    "get_current_trace_data",
    "get_distributed_trace_headers",
    "trace_context",
    "update_current_span",
    "update_current_trace",
]

State = TypeVar("State", SpanState, TraceState)
_REMEDY = (
    "call this inside a function decorated with @track, or a start_as_current_span or "
    "start_as_current_trace block"
)


def get_current_span_data() -> Span | None:
    """Return a copy of the running span as it stands; ``None`` outside of any."""
    span = current_span()
    return None if span is None else span.record().model_copy(deep=True)


def get_current_trace_data() -> Trace | None:
    """Return a copy of the running trace as it stands; ``None`` outside of any."""
    trace = current_trace()
    return None if trace is None else trace.record().model_copy(deep=True)


def update_current_span(
    *, name: str | None = None, total_cost: float | None = None, **fields: Unpack[SpanFields]
) -> None:
    """Add to the running span: mappings and tags merge, all else replaces.

    Args:
        name: New name.
        total_cost: Cost in USD; Opik's name of ``cost_usd``.
        **fields: See ``opik_eval.tracing.state.SpanFields``.

    Raises:
        TracingError: No span is running. While tracing is switched off this does nothing.
        TypeError: A span has no such field.
    """
    span = _required(current_span(), "span")
    if span is not None:
        if total_cost is not None:
            fields["cost_usd"] = total_cost
        span.update(name=name, **fields)


def update_current_trace(*, name: str | None = None, **fields: Unpack[TraceFields]) -> None:
    """Add to the running trace: mappings and tags merge, all else replaces.

    Args:
        name: New name.
        **fields: See ``opik_eval.tracing.state.TraceFields``; ``thread_id`` makes it part of a
            conversation.

    Raises:
        TracingError: No trace is running. While tracing is switched off this does nothing.
        TypeError: A trace has no such field.
    """
    trace = _required(current_trace(), "trace")
    if trace is not None:
        trace.update(name=name, **fields)


def trace_context(
    name: str = "trace", **fields: Unpack[TraceFields]
) -> AbstractContextManager[TraceState]:
    """Run a block as a trace of its own; see ``opik_eval.tracing.start_as_current_trace``."""
    return start_trace(name, **fields)


def _required(state: State | None, kind: str) -> State | None:
    if state is None and is_tracing_active():
        raise TracingError(f"no {kind} is running here", remedy=_REMEDY)
    return state
