"""Threads as clients read them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from opik_eval.ids import derived_id
from opik_eval.records import Document, Thread, Trace
from opik_eval.server.context import RequestContext
from opik_eval.server.projects import Projects
from opik_eval.server.views.notes import COMMENT, notes_on
from opik_eval.server.views.scores import scores_by_entity
from opik_eval.server.views.traces import sums_of
from opik_eval.storage.merge import project_key
from opik_eval.storage.query import Condition
from opik_eval.storage.wire import thread_to_wire, wire_time

View = dict[str, object]
STATE = "thread"
"""Kind of the documents that keep what the server knows of threads: status and tags."""


def thread_model_id(project_name: str, thread_id: str) -> str:
    """Return the id of a thread that is unique among all projects."""
    return derived_id("thread", project_key(project_name), thread_id)


def thread_state(context: RequestContext, project_name: str, thread_id: str) -> Document | None:
    """Return what is kept of a thread."""
    return context.documents.find_document(STATE, thread_model_id(project_name, thread_id))


class ThreadViews:
    """Makes read models of threads.

    Args:
        context: The request.
    """

    def __init__(self, context: RequestContext) -> None:
        self._context = context
        self._projects = Projects(context)

    def of(self, threads: Sequence[Thread]) -> list[View]:
        """Return the read models of threads."""
        return [self._view(thread) for thread in threads]

    def own_values(self, thread: Thread) -> View:
        """Return the values of the fields that only the server can filter by."""
        state = thread_state(self._context, thread.project_name, thread.id)
        traces = self._traces(thread)
        body = state.body if state else {}
        return {
            "status": body.get("status", "active"),
            "tags": body.get("tags", []),
            "environment": _environment(traces),
            "created_at": thread.start_time,
            "last_updated_at": _last_change(thread, traces),
        }

    def _view(self, thread: Thread) -> View:
        context, traces = self._context, self._traces(thread)
        model_id = thread_model_id(thread.project_name, thread.id)
        ids = [trace.id for trace in traces]
        spans = list(context.storage.list_spans(trace_ids=ids)) if ids else []
        sums = sums_of(spans)
        scores = scores_by_entity(context, "thread", [thread.id], project_name=thread.project_name)
        own = self.own_values(thread)
        dates = ("created_at", "last_updated_at")
        own |= {n: wire_time(t) for n in dates if isinstance(t := own[n], datetime)}
        return {
            **thread_to_wire(thread),
            **own,
            "project_id": self._projects.id_of(thread.project_name),
            "thread_model_id": model_id,
            "feedback_scores": scores.get(thread.id, []),
            "comments": notes_on(context, COMMENT, [model_id]).get(model_id, []),
            "usage": sums["usage"],
            "total_estimated_cost": sums["total_estimated_cost"],
            "created_by": context.user,
            "last_updated_by": context.user,
        }

    def _traces(self, thread: Thread) -> list[Trace]:
        where = Condition("thread_id", "=", thread.id)
        found = self._context.storage.list_traces(project_name=thread.project_name, where=where)
        return [trace for trace in found if trace.thread_id == thread.id]


def _environment(traces: Sequence[Trace]) -> str | None:
    named = [trace.environment for trace in traces if trace.environment]
    return named[-1] if named else None


def _last_change(thread: Thread, traces: Sequence[Trace]) -> datetime | None:
    times = [trace.last_updated_at for trace in traces if trace.last_updated_at]
    return max(times, default=thread.end_time)
