"""Traces across threads and processes."""

from __future__ import annotations

import contextvars
import logging
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from opik_eval.errors import TracingError
from opik_eval.tracing.context import current_span, current_trace, scope
from opik_eval.tracing.state import TraceState
from opik_eval.tracing.tracer import is_tracing_active, process_tracer

logger = logging.getLogger("opik_eval.tracing")
P = ParamSpec("P")
R = TypeVar("R")

TRACE_ID = "opik_trace_id"
PARENT_SPAN_ID = "opik_parent_span_id"
PROJECT_NAME = "opik_project_name"


def get_distributed_trace_headers() -> dict[str, str]:
    """Return what another process needs to continue the current trace, as HTTP headers.

    Returns:
        ``opik_trace_id``, the percent-encoded ``opik_project_name`` and, inside a span,
        ``opik_parent_span_id``.

    Raises:
        TracingError: No trace is running.
    """
    trace, span = current_trace(), current_span()
    if trace is None:
        raise TracingError(
            "there is no trace to propagate",
            remedy="call this inside a function decorated with @track or a start_as_current_trace",
        )
    parent = trace.remote_parent_id if span is None else span.id
    headers = {
        TRACE_ID: trace.id,
        PARENT_SPAN_ID: parent,
        PROJECT_NAME: trace.project_name and urllib.parse.quote(trace.project_name),
    }
    return {name: value for name, value in headers.items() if value}


@contextmanager
def distributed_headers(headers: Mapping[str, str] | None) -> Iterator[None]:
    """Continue the trace of another process: spans inside the block belong to it.

    Args:
        headers: What ``get_distributed_trace_headers`` returned there; the case of names does not
            matter. Without a trace in them the block is traced as if they were absent.
    """
    trace = remote_trace(headers)
    if trace is None:
        yield
        return
    with scope(trace):
        yield


def remote_trace(headers: Mapping[str, str] | None) -> TraceState | None:
    """Return the trace that headers speak of; ``None`` without one or while tracing is off."""
    found = {name.lower().replace("-", "_"): value for name, value in (headers or {}).items()}
    trace_id, parent_id = found.get(TRACE_ID), found.get(PARENT_SPAN_ID)
    if not trace_id or not is_tracing_active():
        return None
    if not _is_uuid(trace_id) or not (parent_id is None or _is_uuid(parent_id)):
        # Headers come from outside: a malformed one must not fail the request that carries it.
        logger.warning("ignoring malformed trace headers: %r, %r", trace_id, parent_id)
        return None
    tracer = process_tracer()
    project_name = urllib.parse.unquote(found.get(PROJECT_NAME, "")) or tracer.project_name
    return TraceState(
        tracer,
        id=trace_id,
        remote=True,
        remote_parent_id=parent_id,
        project_name=project_name,
        environment=tracer.environment,
    )


def with_context(function: Callable[P, R]) -> Callable[P, R]:
    """Return ``function`` bound to what is being traced now, to be called in any thread.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> with ThreadPoolExecutor() as pool:
        ...     list(pool.map(with_context(str.upper), ["a", "b"]))
        ['A', 'B']
    """
    context = contextvars.copy_context()

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        # A context can be entered once at a time, so every call runs in a copy.
        return context.copy().run(function, *args, **kwargs)

    return call


class TracedThreadPool(ThreadPoolExecutor):
    """A thread pool whose work belongs to the span that was running when it was submitted."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Submit a call that runs in a copy of the caller's context."""
        return super().submit(with_context(fn), *args, **kwargs)


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
