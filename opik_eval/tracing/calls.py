"""Calls of tracked functions: how arguments and results become the input and output of spans."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict, cast

from opik_eval.records import SpanType
from opik_eval.tracing.arguments import Arguments
from opik_eval.tracing.capture import redact, snapshot
from opik_eval.tracing.context import current_trace, new_trace, open_span, scope
from opik_eval.tracing.propagation import remote_trace
from opik_eval.tracing.state import SpanFields, SpanState, TraceFields, TraceState
from opik_eval.tracing.tracer import is_tracing_active, process_tracer

Function = Callable[..., object]
Aggregator = Callable[[list[object]], object]
HEADERS, OPIK_ARGS = "opik_distributed_trace_headers", "opik_args"


class TrackOptions(TypedDict, total=False):
    """How ``@track`` records; see ``opik_eval.tracing.track``."""

    type: SpanType | str
    tags: Iterable[str] | None
    metadata: Mapping[str, object] | None
    capture_input: bool
    ignore_arguments: Sequence[str] | None
    capture_output: bool
    generations_aggregator: Aggregator | None
    flush: bool
    project_name: str | None
    create_duplicate_root_span: bool
    source: str | None
    environment: str | None


@dataclass(frozen=True)
class Calls:
    """What all calls of one function have in common.

    Attributes:
        name: Name of the spans.
        type: Type of the spans.
        tags: Put on every span, and on every trace that a call starts.
        metadata: Put on every span, and on every trace that a call starts.
        trace_fields: Said of every trace that a call starts.
    """

    name: str
    arguments: Arguments
    options: TrackOptions
    type: SpanType
    tags: tuple[str, ...] | None
    metadata: dict[str, object] | None
    trace_fields: TraceFields

    @classmethod
    def of(cls, function: Function, name: str | None, options: TrackOptions) -> Calls:
        """Prepare what the calls of a function share.

        Raises:
            ValueError: There is no such type of span.
        """
        tags, metadata = options.get("tags"), options.get("metadata")
        return cls(
            name=name or str(getattr(function, "__name__", type(function).__name__)),
            arguments=Arguments.of(function, options.get("ignore_arguments") or ()),
            options=options,
            type=SpanType(options.get("type") or "general"),
            tags=None if tags is None else tuple(map(str, tags)),
            metadata=None if metadata is None else cast("dict[str, object]", snapshot(metadata)),
            trace_fields={
                "project_name": options.get("project_name"),
                "source": options.get("source"),
                "environment": options.get("environment"),
            },
        )

    def begin(self, args: Sequence[object], kwargs: dict[str, object]) -> SpanState | TraceState:
        """Open the span of one call; keywords meant for us are taken out of ``kwargs``."""
        headers, extra = self._ours(kwargs, HEADERS), self._ours(kwargs, OPIK_ARGS)
        within = remote_trace(cast("Mapping[str, str]", headers)) if headers else None
        extras = cast("Mapping[str, Mapping[str, object]]", extra or {})
        of_trace = dict(extras.get("trace") or {})
        state = self._open(within, cast("str | None", of_trace.pop("id", None)))
        state.tags, state.metadata = self.tags, self.metadata
        if self.options.get("capture_input", True):
            captured = self.arguments.capture(args, kwargs)
            state.input = redact(captured) if self.type is SpanType.LLM else captured
        if extras:
            _add(state, extras.get("span") or {}, of_trace)
        return state

    def finish(self, state: SpanState | TraceState, result: object) -> None:
        """End the span with the call's result."""
        if self.options.get("capture_output", True):
            captured = snapshot(result)
            state.fill_output(captured if isinstance(result, Mapping) else {"output": captured})
        self.end(state)

    def fail(self, state: SpanState | TraceState, error: BaseException) -> None:
        """End the span with the exception that ended the call."""
        state.fail(error)
        self.end(state)

    def end(self, state: SpanState | TraceState) -> None:
        """End the span as it is."""
        state.end()
        if self.options.get("flush", False):
            process_tracer().flush()

    def without_ours(self, kwargs: dict[str, object]) -> dict[str, object]:
        """Return the keywords of a call that is not traced."""
        self._ours(kwargs, HEADERS)
        self._ours(kwargs, OPIK_ARGS)
        return kwargs

    def _open(self, within: TraceState | None, trace_id: str | None) -> SpanState | TraceState:
        if within is not None or current_trace() is not None:
            span = open_span(self.name, within=within)
        else:
            trace = new_trace(self.name, id=trace_id, **self.trace_fields)
            trace.tags, trace.metadata = self.tags, self.metadata
            if not self.options.get("create_duplicate_root_span", True):
                return trace
            span = SpanState(trace, self.name, owns_trace=True)
        span.type = self.type
        return span

    def _ours(self, kwargs: dict[str, object], keyword: str) -> object:
        """Take out a keyword, unless the function has an argument of that name itself."""
        return kwargs.pop(keyword, None) if keyword not in self.arguments.names else None


def _add(
    state: SpanState | TraceState, of_span: Mapping[str, object], of_trace: Mapping[str, object]
) -> None:
    """Say more of a span and its trace; a trace without a span of its own takes both."""
    if isinstance(state, SpanState):
        state.update(**cast("SpanFields", of_span))
        state.trace.update(**cast("TraceFields", of_trace))
    else:
        state.update(**cast("TraceFields", of_span))
        state.update(**cast("TraceFields", of_trace))


def run(
    calls: Calls, function: Function, args: tuple[object, ...], kwargs: dict[str, object]
) -> object:
    """Call a function inside a span."""
    if not is_tracing_active():
        return function(*args, **calls.without_ours(kwargs))
    state = calls.begin(args, kwargs)
    try:
        with scope(state):
            result = function(*args, **kwargs)
    except BaseException as error:
        calls.fail(state, error)
        raise
    calls.finish(state, result)
    return result


async def run_async(
    calls: Calls, function: Function, args: tuple[object, ...], kwargs: dict[str, object]
) -> object:
    """Await a coroutine function inside a span."""
    awaitable = cast("Callable[..., Awaitable[object]]", function)
    if not is_tracing_active():
        return await awaitable(*args, **calls.without_ours(kwargs))
    state = calls.begin(args, kwargs)
    try:
        with scope(state):
            result = await awaitable(*args, **kwargs)
    except BaseException as error:
        calls.fail(state, error)
        raise
    calls.finish(state, result)
    return result
