"""Traces and spans that a program ends itself.

A handle stores what it knows at once and again at every change, so a program that never ends it, or
is killed before, loses the end time and nothing else.
"""

from __future__ import annotations

from datetime import datetime
from typing import Unpack, cast

from opik_eval.tracing.state import SpanFields, SpanState, TraceFields, TraceState


class SpanChange(SpanFields, total=False):
    """What may be said of a span of the client.

    Attributes:
        total_cost: Cost in USD; Opik's name of ``cost_usd``.
    """

    total_cost: float | None


class HandleFields(SpanChange, total=False):
    """What may be said of a new span of the client.

    Attributes:
        id: UUIDv7; a fresh one if absent.
        start_time: Now if absent.
    """

    id: str | None
    start_time: datetime | None


class SpanHandle:
    """A span that the program ends itself. Made by ``Opik.span`` and the handles' ``span``."""

    def __init__(self, state: SpanState) -> None:
        self._state = state

    @classmethod
    def start(
        cls,
        trace: TraceState,
        name: str | None,
        *,
        parent: SpanState | None = None,
        owns_trace: bool = False,
        fields: HandleFields,
    ) -> SpanHandle:
        """Start a span and store it."""
        state = SpanState(
            trace,
            name,
            parent=parent,
            id=fields.pop("id", None),
            start_time=fields.pop("start_time", None),
            owns_trace=owns_trace,
            **_fields_of(fields),
        )
        state.store()
        return cls(state)

    @property
    def id(self) -> str:
        """Id of the span."""
        return self._state.id

    @property
    def trace_id(self) -> str:
        """Id of its trace."""
        return self._state.trace.id

    def span(self, name: str | None = None, **fields: Unpack[HandleFields]) -> SpanHandle:
        """Start a span inside this one."""
        return SpanHandle.start(self._state.trace, name, parent=self._state, fields=fields)

    def update(self, *, name: str | None = None, **fields: Unpack[SpanChange]) -> None:
        """Add to what is known of the span: mappings and tags merge, all else replaces."""
        self._state.update(name=name, **_fields_of(fields))
        self._state.store()

    def end(self, *, end_time: datetime | None = None, **fields: Unpack[SpanChange]) -> None:
        """Add to what is known of the span and end it, now or at ``end_time``."""
        self._state.update(**_fields_of(fields))
        self._state.end(end_time)

    def log_feedback_score(
        self, name: str, value: float, reason: str | None = None, category_name: str | None = None
    ) -> None:
        """Score the span; a score of the same name is replaced."""
        self._state.score(name, value, reason=reason, category_name=category_name)
        self._state.store()


class TraceHandle:
    """A trace that the program ends itself. Made by ``Opik.trace``."""

    def __init__(self, state: TraceState) -> None:
        self._state = state
        state.store()

    @property
    def id(self) -> str:
        """Id of the trace."""
        return self._state.id

    def span(self, name: str | None = None, **fields: Unpack[HandleFields]) -> SpanHandle:
        """Start a span directly below the trace."""
        return SpanHandle.start(self._state, name, fields=fields)

    def update(self, *, name: str | None = None, **fields: Unpack[TraceFields]) -> None:
        """Add to what is known of the trace: mappings and tags merge, all else replaces."""
        self._state.update(name=name, **fields)
        self._state.store()

    def end(self, *, end_time: datetime | None = None, **fields: Unpack[TraceFields]) -> None:
        """Add to what is known of the trace and end it, now or at ``end_time``."""
        self._state.update(**fields)
        self._state.end(end_time)

    def log_feedback_score(
        self, name: str, value: float, reason: str | None = None, category_name: str | None = None
    ) -> None:
        """Score the trace; a score of the same name is replaced."""
        self._state.score(name, value, reason=reason, category_name=category_name)
        self._state.store()


def _fields_of(change: SpanChange) -> SpanFields:
    """Return what is said under our names."""
    cost = change.pop("total_cost", None)
    if cost is not None:
        change["cost_usd"] = cost
    return cast("SpanFields", change)
