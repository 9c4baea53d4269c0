"""Threads: the conversations that traces with a ``thread_id`` make up."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from opik_eval.config import DEFAULT_PROJECT
from opik_eval.records import Thread, Trace
from opik_eval.storage.merge import project_key

_LAST = datetime.max.replace(tzinfo=UTC)


def derive_threads(traces: Iterable[Trace]) -> list[Thread]:
    """Return the threads of some traces, ordered by project and thread id.

    Traces count in the order of their start (those without one last), then of their ids. The first
    message is the first input, the last message the last output; every input and every output is a
    message.
    """
    groups: dict[tuple[str, str], list[Trace]] = {}
    for trace in traces:
        if trace.thread_id:
            key = (project_key(trace.project_name), trace.thread_id)
            groups.setdefault(key, []).append(trace)
    return [_derive(thread_id, groups[key, thread_id]) for key, thread_id in sorted(groups)]


def _derive(thread_id: str, traces: list[Trace]) -> Thread:
    traces.sort(key=lambda trace: (trace.start_time or _LAST, trace.id))
    inputs = [trace.input for trace in traces if trace.input is not None]
    outputs = [trace.output for trace in traces if trace.output is not None]
    start = min((t.start_time for t in traces if t.start_time), default=None)
    end = max((t.end_time for t in traces if t.end_time), default=None)
    return Thread(
        id=thread_id,
        project_name=min(traces, key=lambda trace: trace.id).project_name or DEFAULT_PROJECT,
        start_time=start,
        end_time=end,
        first_message=inputs[0] if inputs else None,
        last_message=outputs[-1] if outputs else None,
        number_of_messages=len(inputs) + len(outputs),
        duration_seconds=(end - start).total_seconds() if start and end else None,
    )
