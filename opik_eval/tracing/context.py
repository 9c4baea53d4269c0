"""What is being traced here and now.

One context variable holds the innermost running span, or the trace where no span runs; a span knows
its parent and its trace. It follows asyncio tasks by itself and threads through
``opik_eval.tracing.propagation``.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from types import TracebackType
from typing import Generic, TypeVar, Unpack

from opik_eval.tracing.sink import CollectingSink, Emitted, NullSink, Sink, Upload
from opik_eval.tracing.state import (
    SpanFields,
    SpanState,
    TraceFields,
    TraceState,
    idle_span,
)
from opik_eval.tracing.tracer import is_tracing_active, process_tracer

__all__ = [
    "CollectingSink",
    "Emitted",
    "Sink",
    "SpanState",
    "TraceState",
    "Upload",
    "current_span",
    "current_trace",
    "new_trace",
    "open_span",
    "project_context",
    "scope",
    "start_span",
    "start_trace",
    "trace_scope",
]

State = TypeVar("State", bound=TraceState | SpanState)
_current: ContextVar[TraceState | SpanState | None] = ContextVar("opik_eval_current", default=None)
_project: ContextVar[str | None] = ContextVar("opik_eval_project", default=None)


def current_span() -> SpanState | None:
    """Return the innermost running span."""
    state = _current.get()
    return state if isinstance(state, SpanState) else None


def current_trace() -> TraceState | None:
    """Return the running trace."""
    state = _current.get()
    return state.trace if isinstance(state, SpanState) else state


class scope(Generic[State]):  # noqa: N801 - used like a function
    """Make a trace or span the current one; neither starts nor ends it."""

    __slots__ = ("_state", "_token")

    def __init__(self, state: State) -> None:
        self._state: State = state

    def __enter__(self) -> State:
        self._token: Token[TraceState | SpanState | None] = _current.set(self._state)
        return self._state

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            _current.reset(self._token)
        except ValueError:
            # Left in another context than entered (a generator closed elsewhere). Where that one
            # inherited the state, the value is put back.
            if _current.get() is self._state:
                _current.set(_outside(self._token))


class trace_scope(scope[TraceState]):  # noqa: N801 - used like a function
    """Make a trace the current one, without starting or ending it.

    Example:
        >>> with trace_scope(TraceState(NullSink(), "task")) as trace:
        ...     current_trace() is trace
        True
    """


class _EndingScope(scope[State]):
    """Ends its trace or span on leaving, with the exception if there is one."""

    __slots__ = ("_flush",)

    def __init__(self, state: State, *, flush: bool) -> None:
        super().__init__(state)
        self._flush = flush

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        if error is not None:
            self._state.fail(error)
        self._state.end()
        if self._flush:
            process_tracer().flush()


class start_span(_EndingScope[SpanState]):  # noqa: N801 - used like a function
    """Run a block as a span of the current trace, or of a new trace if there is none.

    The span is emitted however the block ends; an exception, cancellation and Ctrl-C included, is
    recorded in ``error_info`` and passes on. While tracing is off the span is recorded nowhere.

    Args:
        name: What the span stands for.
        project_name: Project of the trace, if this starts one; a span lies where its trace does.
        flush: Wait on leaving until everything is stored.
        **fields: See ``SpanFields``.

    Example:
        >>> with start_span("retrieve", type="tool", input={"query": "opik"}) as span:
        ...     span.update(output={"documents": 3})
    """

    __slots__ = ("_active",)

    def __init__(
        self,
        name: str,
        *,
        project_name: str | None = None,
        flush: bool = False,
        **fields: Unpack[SpanFields],
    ) -> None:
        self._active = is_tracing_active()
        span = open_span(name, project_name=project_name) if self._active else idle_span(name)
        span.update(**fields)
        super().__init__(span, flush=flush and self._active)

    def __enter__(self) -> SpanState:
        return super().__enter__() if self._active else self._state

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._active:
            super().__exit__(kind, error, trace)


class start_trace(_EndingScope[TraceState]):  # noqa: N801 - used like a function
    """Run a block as a trace of its own, whatever trace is running around it.

    Args:
        name: What is traced.
        flush: Wait on leaving until everything is stored.
        **fields: See ``TraceFields``.
    """

    __slots__ = ()

    def __init__(self, name: str, *, flush: bool = False, **fields: Unpack[TraceFields]) -> None:
        active = is_tracing_active()
        trace = new_trace(name, **fields) if active else TraceState(NullSink(), name, **fields)
        super().__init__(trace, flush=flush and active)


class project_context:  # noqa: N801 - used like a function
    """Send the traces that start inside the block to a project, unless they name one themselves."""

    __slots__ = ("_name", "_token")

    def __init__(self, project_name: str) -> None:
        self._name = project_name

    def __enter__(self) -> str:
        self._token: Token[str | None] = _project.set(self._name)
        return self._name

    def __exit__(self, *_: object) -> None:
        _project.reset(self._token)


def new_trace(
    name: str | None, *, id: str | None = None, **fields: Unpack[TraceFields]
) -> TraceState:
    """Return a trace that emits to the process's tracer; project and environment are filled in."""
    tracer = process_tracer()
    fields["project_name"] = fields.get("project_name") or _project.get() or tracer.project_name
    fields["environment"] = fields.get("environment") or tracer.environment
    return TraceState(tracer, name, id=id, **fields)


def open_span(
    name: str,
    *,
    within: TraceState | SpanState | None = None,
    project_name: str | None = None,
) -> SpanState:
    """Return a new span below ``within``, below the current one, or of a trace of its own.

    It is neither made current nor ended here: ``scope`` and ``SpanState.end`` do that.

    Args:
        name: What the span stands for.
        within: Trace or span that it lies in; the current one if absent.
        project_name: Project of the trace, if one is started.
    """
    parent = within or _current.get()
    if isinstance(parent, SpanState):
        return SpanState(parent.trace, name, parent=parent)
    if parent is not None:
        return SpanState(parent, name)
    return SpanState(new_trace(name, project_name=project_name), name, owns_trace=True)


def _outside(token: Token[TraceState | SpanState | None]) -> TraceState | SpanState | None:
    return None if token.old_value is Token.MISSING else token.old_value
