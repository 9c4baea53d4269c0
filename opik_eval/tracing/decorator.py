"""``@track``: every call of a function becomes a span."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar, Unpack, cast, overload

from opik_eval.tracing.calls import Calls, Function, TrackOptions, run, run_async
from opik_eval.tracing.generators import start_async_generator, start_generator

P = ParamSpec("P")
R = TypeVar("R")


@overload
def track(name: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def track(
    name: str | None = None, **options: Unpack[TrackOptions]
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def track(
    name: str | Callable[P, R] | None = None, **options: Unpack[TrackOptions]
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Make every call of a function a span of the current trace, or a trace if there is none.

    Works on functions and methods, synchronous, asynchronous and generators; the span of a
    generator lasts until it is exhausted, closed or fails. Exceptions, cancellation and Ctrl-C are
    recorded and pass on. Arguments are recorded as they are at the time of the call; secrets are
    redacted (see ``opik_eval.tracing.capture``). A result that is no mapping is recorded as
    ``{"output": result}``. What the function sets through ``opik_context`` wins over what is
    captured.

    A decorated function takes two more keywords: ``opik_distributed_trace_headers`` continues a
    trace of another process, and ``opik_args={"span": {...}, "trace": {...}}`` adds fields to the
    span and its trace (``tags``, ``metadata``, for the trace ``thread_id`` and, if it is new,
    ``id``).

    Args:
        name: Name of the span; the function's if absent.
        type: ``general``, ``tool``, ``llm`` or ``guardrail``.
        tags: Put on every span.
        metadata: Put on every span.
        capture_input: Record the arguments.
        ignore_arguments: Arguments that are not recorded.
        capture_output: Record the result.
        generations_aggregator: Makes the output of a generator from the list of all it yielded.
            Without one texts are joined, and at most ``MAX_YIELDED`` items are kept; the
            metadata say how many are not.
        flush: Wait after every call until it is stored.
        project_name: Project of the traces that calls start.
        create_duplicate_root_span: Give a new trace a span of the same name.
        source: Who makes the traces that calls start.
        environment: Deployment of the traces that calls start.

    Raises:
        TypeError: There is no such option.

    Example:
        >>> @track(type="tool", tags=["demo"])
        ... def double(number: int) -> int:
        ...     return 2 * number
        >>> double(21)
        42
    """
    if name is not None and not isinstance(name, str):
        return cast("Callable[P, R]", _decorate(name, None, {}))
    unknown = set(options) - TrackOptions.__optional_keys__
    if unknown:
        raise TypeError(f"track() has no option {sorted(unknown)[0]!r}")
    return lambda function: cast("Callable[P, R]", _decorate(function, name, options))


def _decorate(function: Function, name: str | None, options: TrackOptions) -> Function:
    if isinstance(function, staticmethod | classmethod):
        return cast("Function", type(function)(_decorate(function.__func__, name, options)))
    calls = Calls.of(function, name, options)
    wrapper = functools.wraps(function)(_wrapper(function, calls))
    wrapper.opik_tracked = True  # type: ignore[attr-defined]
    return wrapper


def _wrapper(function: Function, calls: Calls) -> Function:
    # The wrappers hold nothing but a function and a dataclass and name nothing but functions, so
    # that cloudpickle can send one that lives in ``__main__``.
    if inspect.iscoroutinefunction(function):

        async def wrapped_async(*args: object, **kwargs: object) -> object:
            return await run_async(calls, function, args, kwargs)

        return wrapped_async

    perform = run
    if inspect.isgeneratorfunction(function):
        perform = start_generator
    elif inspect.isasyncgenfunction(function):
        perform = start_async_generator

    def wrapped(*args: object, **kwargs: object) -> object:
        return perform(calls, function, args, kwargs)

    return wrapped
