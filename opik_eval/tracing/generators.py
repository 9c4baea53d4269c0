"""Tracked generators: the span is the current one while the generator's body runs, not between.

The span is opened by the call, so that it belongs to the caller's span wherever the generator is
consumed, and ends when the generator is exhausted, is closed or fails. A generator that is never
started leaves no span: its body did not run either.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from functools import partial
from typing import cast

from opik_eval.records import SpanType, utc_now
from opik_eval.tracing.calls import Aggregator, Calls, Function
from opik_eval.tracing.capture import snapshot
from opik_eval.tracing.context import scope
from opik_eval.tracing.state import SpanState, TraceState
from opik_eval.tracing.tracer import is_tracing_active

logger = logging.getLogger("opik_eval.tracing")
MAX_YIELDED = 10_000
MAX_YIELDED_CHARS = 10_000_000
Items = Generator[object, object, object]
AsyncItems = AsyncGenerator[object, object]


def start_generator(
    calls: Calls, function: Function, args: tuple[object, ...], kwargs: dict[str, object]
) -> Items:
    """Return the generator that a tracked generator function makes."""
    if not is_tracing_active():
        return cast("Items", function(*args, **calls.without_ours(kwargs)))
    state = calls.begin(args, kwargs)
    return _drive(calls, state, cast("Items", function(*args, **kwargs)))


def start_async_generator(
    calls: Calls, function: Function, args: tuple[object, ...], kwargs: dict[str, object]
) -> AsyncItems:
    """Return the generator that a tracked asynchronous generator function makes."""
    if not is_tracing_active():
        return cast("AsyncItems", function(*args, **calls.without_ours(kwargs)))
    state = calls.begin(args, kwargs)
    return _drive_async(calls, state, cast("AsyncItems", function(*args, **kwargs)))


def _drive(calls: Calls, state: SpanState | TraceState, inner: Items) -> Items:
    yielded = _Yielded(calls, state)
    step: Callable[[], object] = partial(next, inner)
    try:
        while True:
            with scope(state):
                item = step()
            yielded.add(item)
            try:
                sent = yield item
            except GeneratorExit:
                with scope(state):
                    inner.close()
                return None
            except BaseException as error:  # noqa: BLE001 - thrown in by the consumer
                step = partial(inner.throw, error)
            else:
                step = partial(inner.send, sent)
    except StopIteration as stop:
        return stop.value
    except BaseException as error:
        state.fail(error)
        raise
    finally:
        yielded.end()


async def _drive_async(
    calls: Calls, state: SpanState | TraceState, inner: AsyncItems
) -> AsyncItems:
    yielded = _Yielded(calls, state)
    step: Callable[[], Awaitable[object]] = inner.__anext__
    try:
        while True:
            with scope(state):
                item = await step()
            yielded.add(item)
            try:
                sent = yield item
            except GeneratorExit:
                with scope(state):
                    await inner.aclose()
                return
            except BaseException as error:  # noqa: BLE001 - thrown in by the consumer
                step = partial(inner.athrow, error)
            else:
                step = partial(inner.asend, sent)
    except StopAsyncIteration:
        return
    except BaseException as error:
        state.fail(error)
        raise
    finally:
        yielded.end()


class _Yielded:
    """What a generator has yielded, within bounds unless an aggregator wants all of it."""

    def __init__(self, calls: Calls, state: SpanState | TraceState) -> None:
        self._calls = calls
        self._state = state
        self._aggregator: Aggregator | None = calls.options.get("generations_aggregator")
        self._captures = calls.options.get("capture_output", True)
        self._items: list[object] = []
        self._chars = 0
        self._left_out = 0

    def add(self, item: object) -> None:
        """Keep an item: itself for an aggregator, else a snapshot while there is room."""
        if not self._items and self._left_out == 0:
            self._time_first_item()
        if not self._captures:
            self._left_out += 1
        elif self._aggregator is not None:
            self._items.append(item)
        elif len(self._items) < MAX_YIELDED and self._chars < MAX_YIELDED_CHARS:
            self._items.append(snapshot(item))
            self._chars += len(item) if isinstance(item, str) else 0
        else:
            self._left_out += 1

    def end(self) -> None:
        """End the span with what was yielded."""
        if self._captures:
            output = self._output()
            self._state.fill_output(output if isinstance(output, dict) else {"output": output})
            if self._left_out:
                self._state.update(metadata={"yielded_items_not_recorded": self._left_out})
        self._calls.end(self._state)

    def _time_first_item(self) -> None:
        is_model_call = self._calls.type is SpanType.LLM
        if is_model_call and self._state.start_time is not None:
            elapsed = utc_now() - self._state.start_time
            self._state.update(ttft_seconds=max(0.0, elapsed.total_seconds()))

    def _output(self) -> object:
        if self._aggregator is not None:
            try:
                return snapshot(self._aggregator(self._items))
            except Exception as error:  # noqa: BLE001 - user code; it must not break the stream
                logger.warning("generations_aggregator of %r failed: %r", self._calls.name, error)
                return snapshot(self._items)
        texts = [item for item in self._items if isinstance(item, str)]
        return "".join(texts) if texts and len(texts) == len(self._items) else self._items
