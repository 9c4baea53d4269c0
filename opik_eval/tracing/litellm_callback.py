"""Spans for calls that a traced program makes through litellm.

litellm tells a callback of every call: before it is sent, in the caller's context, which is where
the span is opened; and when it has succeeded or failed, often in a thread or task of litellm's own,
shortly *after* the caller has gone on. Whoever needs the spans of a finished task therefore waits
with ``wait_for_calls``. Calls that our own model client makes inside ``own_call`` are left to it.
"""

# ruff: noqa: ARG002 - the signatures of the callback's methods are litellm's
from __future__ import annotations

import asyncio
import functools
import importlib
import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Protocol, cast

from opik_eval.records import ErrorInfo
from opik_eval.tracing.capture import error_info_of, redact, snapshot
from opik_eval.tracing.context import current_trace, open_span
from opik_eval.tracing.state import SpanFields, SpanState, TraceState
from opik_eval.tracing.tracer import is_tracing_active

Details = Mapping[str, object]
_MAX_OPEN = 10_000
_own_call: ContextVar[bool] = ContextVar("opik_eval_own_call", default=False)


class _Litellm(Protocol):
    callbacks: list[object]

    def completion_cost(self, *, completion_response: object) -> float: ...


@contextmanager
def own_call() -> Iterator[None]:
    """Mark the litellm calls inside the block as our own: whoever makes them records them."""
    token = _own_call.set(True)
    try:
        yield
    finally:
        _own_call.reset(token)


def track_litellm() -> None:
    """Record every litellm call that is made inside a trace, from now on; imports litellm."""
    litellm = cast("_Litellm", importlib.import_module("litellm"))
    if _callback() not in litellm.callbacks:
        litellm.callbacks.append(_callback())


def ensure_installed() -> None:
    """Do what ``track_litellm`` does if the program has already imported litellm."""
    if "litellm" in sys.modules:
        track_litellm()


def wait_for_calls(trace: TraceState, timeout_seconds: float = 2.0) -> bool:
    """Wait until litellm has reported the end of the calls that were made inside a trace.

    Args:
        trace: Whose calls to wait for.
        timeout_seconds: How long to wait. Calls that are still open then, such as streams nobody
            reads to the end, are ended as they are, with ``incomplete`` in their metadata.

    Returns:
        True if all calls were reported.
    """
    return _open_calls.wait_for(trace, timeout_seconds)


async def await_calls(trace: TraceState, timeout_seconds: float = 2.0) -> bool:
    """Do what ``wait_for_calls`` does without blocking the event loop."""
    if not _open_calls.has_any_of(trace):
        return True
    return await asyncio.to_thread(wait_for_calls, trace, timeout_seconds)


class _OpenCalls:
    """The spans of calls that litellm has announced and not yet reported, by its id of the call."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._spans: OrderedDict[str, SpanState] = OrderedDict()
        self._claimed: set[str] = set()
        self._refused: deque[str] = deque(maxlen=1000)

    def begin(self, details: Details) -> None:
        if not _is_of_interest():
            return
        span, call_id = _span_of(details), _id_of(details)
        with self._changed:
            if call_id in self._spans:  # litellm announces the attempts of one call one by one
                return
            self._spans[call_id] = span
            oldest = self._spans.popitem(last=False)[1] if len(self._spans) > _MAX_OPEN else None
        if oldest is not None:
            _end_incomplete(oldest)

    def end(self, details: Details, reply: object, at: datetime | None = None) -> None:
        span = self._claim(_id_of(details))
        if span is not None:
            self._finish(span, _outcome(details, reply), at)

    def fail(self, details: Details, at: datetime | None = None) -> None:
        call_id = _id_of(details)
        span = self._claim(call_id)
        if span is None:
            # Refused before it was announced. litellm reports this twice for asynchronous calls.
            if call_id in self._refused or not _is_of_interest():
                return
            self._refused.append(call_id)
            span = _span_of(details)
        self._finish(span, {"error_info": _error_of(details), **_outcome(details, None)}, at)

    def has_any_of(self, trace: TraceState) -> bool:
        if not self._spans:  # a call of this trace would have been announced by now
            return False
        with self._changed:
            return any(span.trace is trace for span in self._spans.values())

    def wait_for(self, trace: TraceState, timeout_seconds: float) -> bool:
        if not self._spans:
            return True
        with self._changed:
            if self._changed.wait_for(lambda: not self.has_any_of(trace), timeout_seconds):
                return True
            late = [
                key
                for key, span in self._spans.items()
                if span.trace is trace and key not in self._claimed
            ]
            spans = [self._spans.pop(key) for key in late]
        for span in spans:
            _end_incomplete(span)
        return False

    def _claim(self, call_id: str) -> SpanState | None:
        """Return a call's span to the one reporter who is to end it; it stays open until then."""
        with self._changed:
            span = self._spans.get(call_id)
            if span is None or call_id in self._claimed:
                return None
            self._claimed.add(call_id)
            return span

    def _finish(self, span: SpanState, fields: SpanFields, at: datetime | None) -> None:
        try:
            span.update(**fields)
        finally:
            span.end(at)
            with self._changed:
                for call_id in [key for key, ended in self._spans.items() if ended is span]:
                    del self._spans[call_id]
                    self._claimed.discard(call_id)
                self._changed.notify_all()


_open_calls = _OpenCalls()


class _Recorder:
    """The methods that litellm calls; mixed into its ``CustomLogger``."""

    def log_pre_api_call(self, model: str, messages: object, kwargs: Details) -> None:
        _open_calls.begin(kwargs)

    def log_success_event(
        self,
        kwargs: Details,
        response_obj: object,
        start_time: object,
        end_time: object,
    ) -> None:
        _open_calls.end(kwargs, response_obj, _moment(end_time))

    def log_failure_event(
        self,
        kwargs: Details,
        response_obj: object,
        start_time: object,
        end_time: object,
    ) -> None:
        _open_calls.fail(kwargs, _moment(end_time))

    async def async_log_success_event(
        self,
        kwargs: Details,
        response_obj: object,
        start_time: object,
        end_time: object,
    ) -> None:
        _open_calls.end(kwargs, response_obj, _moment(end_time))

    async def async_log_failure_event(
        self,
        kwargs: Details,
        response_obj: object,
        start_time: object,
        end_time: object,
    ) -> None:
        _open_calls.fail(kwargs, _moment(end_time))

    async def async_post_call_success_deployment_hook(
        self,
        request_data: Details,
        response: object,
        call_type: object,
    ) -> None:
        # Runs before the caller goes on, and does so even if the event loop is closed right after
        # (``asyncio.run`` for every call). Streams have no usage yet; they are reported later.
        if hasattr(response, "usage"):
            _open_calls.end({**request_data, "response_cost": _price_of(response)}, response)


@functools.cache
def _callback() -> object:
    base = importlib.import_module("litellm.integrations.custom_logger").CustomLogger
    return type("OpikEvalRecorder", (_Recorder, base), {})()


def _is_of_interest() -> bool:
    return not _own_call.get() and current_trace() is not None and is_tracing_active()


def _id_of(details: Details) -> str:
    return str(details.get("litellm_call_id"))


def _span_of(details: Details) -> SpanState:
    span = open_span(str(details.get("call_type") or "completion"))
    parameters = cast("Details", details.get("optional_params") or {})
    asked = details.get("messages") or details.get("input")
    plain = redact(snapshot({"messages": asked, **parameters}))
    span.update(
        type="llm",
        input=plain,
        model=cast("str | None", details.get("model")),
        provider=_provider_of(details),
        metadata={"created_from": "litellm"},
    )
    return span


def _provider_of(details: Details) -> str | None:
    nested = cast("Details", details.get("litellm_params") or {})
    return cast(
        "str | None", details.get("custom_llm_provider") or nested.get("custom_llm_provider")
    )


def _outcome(details: Details, reply: object) -> SpanFields:
    fields: SpanFields = {"provider": _provider_of(details)}
    cost = details.get("response_cost")
    if isinstance(cost, int | float) and reply is not None:
        fields["cost_usd"] = cost
    usage = getattr(reply, "usage", None)
    if usage is not None:
        fields["usage"] = cast("Details", snapshot(usage))
    if reply is not None:
        fields["output"] = _output_of(reply)
    if details.get("stream"):
        fields["ttft_seconds"] = _seconds_to_first_token(details)
    return fields


def _price_of(reply: object) -> float | None:
    """Return what litellm's price table says of a reply, where litellm has not looked yet."""
    litellm = cast("_Litellm", sys.modules["litellm"])
    try:
        return litellm.completion_cost(completion_response=reply)
    except Exception:  # noqa: BLE001 - litellm's way to say that it knows no price
        return None


def _output_of(reply: object) -> object:
    choices = getattr(reply, "choices", None)
    if choices is not None:
        return {"choices": snapshot(choices)}
    data = getattr(reply, "data", None)
    return {"embeddings": len(data)} if isinstance(data, list) else snapshot(reply)


def _error_of(details: Details) -> ErrorInfo:
    error = details.get("exception")
    if isinstance(error, BaseException):
        return error_info_of(error)
    text = str(details.get("traceback_exception") or error)
    return ErrorInfo(exception_type="ModelError", message=str(error), traceback=text)


def _seconds_to_first_token(details: Details) -> float | None:
    sent, first = details.get("api_call_start_time"), details.get("completion_start_time")
    if isinstance(sent, datetime) and isinstance(first, datetime):
        return max(0.0, (first - sent).total_seconds())
    return None


def _moment(value: object) -> datetime | None:
    """Return litellm's naive local time as an aware one."""
    return value.astimezone(UTC) if isinstance(value, datetime) else None


def _end_incomplete(span: SpanState) -> None:
    span.update(metadata={"incomplete": True})
    span.end()
