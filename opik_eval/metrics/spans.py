"""What metrics read of the span tree that the engine hands them as ``task_span``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol, cast

from opik_eval.errors import MetricError


class TaskSpan(Protocol):
    """A span of a task's run with the spans inside it, as ``opik_eval.tracing.SpanModel`` is.

    Attributes:
        type: ``general``, ``tool``, ``llm`` or ``guardrail``; ``None`` for a trace.
        usage: Token counts by kind.
        total_cost: Cost of this step alone in USD; ``None`` = unknown.
        spans: The spans inside, in order of start.
    """

    name: str | None
    type: str | None
    start_time: datetime | None
    end_time: datetime | None
    input: object
    usage: Mapping[str, int] | None
    total_cost: float | None

    @property
    def spans(self) -> Sequence[TaskSpan]:
        """The spans inside."""
        ...


def require_span(value: object, *, metric: str) -> TaskSpan:
    """Return a value that must be a span tree.

    Raises:
        MetricError: It is ``None`` or something else.
    """
    if not hasattr(value, "spans") or not hasattr(value, "start_time"):
        raise MetricError(
            f"metric {metric!r} reads the run of the task, but 'task_span' is a "
            f"{type(value).__name__}",
            remedy="leave task_span to the engine; it needs tracing to be on, and a task that "
            "really ran: stored outputs that are scored again have none",
        )
    return cast("TaskSpan", value)


def walk(span: TaskSpan) -> Iterator[TaskSpan]:
    """Yield a span and all inside it, parents first, siblings in order of start."""
    waiting = [span]
    while waiting:
        here = waiting.pop()
        yield here
        waiting.extend(reversed(here.spans))


__all__ = ["TaskSpan", "require_span", "walk"]
