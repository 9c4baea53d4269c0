"""Traces and spans as clients read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast

from opik_eval.records import Span, SpanType, Trace
from opik_eval.server.context import RequestContext
from opik_eval.server.costs import cost_of, is_unpriced, priced
from opik_eval.server.projects import Projects
from opik_eval.server.views.notes import COMMENT, GUARDRAIL, notes_on
from opik_eval.server.views.scores import mean_scores, scores_by_entity
from opik_eval.storage.query import created_at
from opik_eval.storage.wire import EXTRAS, FILLED, span_to_wire, trace_to_wire, wire_time

View = dict[str, object]
UNPRICED = "unpriced"
"""In the extras: a span used tokens of a model without a known price; how many a trace has."""

_MILLISECOND = timedelta(milliseconds=1)
_NOBODY = "admin"


class TraceViews:
    """Makes read models of traces.

    Args:
        context: The request.
        exclude: Fields to leave out.
    """

    def __init__(self, context: RequestContext, exclude: Collection[str] = ()) -> None:
        self._context = context
        self._projects = Projects(context)
        self._exclude = frozenset(exclude)

    def of(self, traces: Sequence[Trace]) -> list[View]:
        """Return the read models of traces."""
        ids = [trace.id for trace in traces]
        spans = self._spans(ids)
        scores = scores_by_entity(self._context, "trace", ids)
        span_ids = [span.id for members in spans.values() for span in members]
        span_scores = scores_by_entity(self._context, "span", span_ids)
        comments = notes_on(self._context, COMMENT, ids)
        guardrails = notes_on(self._context, GUARDRAIL, ids)
        views: list[View] = []
        for trace in traces:
            view = trace_to_wire(trace)
            own = spans.get(trace.id, ())
            view |= traced_fields(trace, self._projects)
            view |= sums_of(own)
            if unpriced := sum(map(is_unpriced, own)):
                view[EXTRAS] = {**cast("View", view.get(EXTRAS, {})), UNPRICED: unpriced}
            view["feedback_scores"] = scores.get(trace.id, [])
            means = mean_scores(span_scores.get(s.id, ()) for s in own)
            view["span_feedback_scores"] = [{**mean, "source": "sdk"} for mean in means]
            view["comments"] = comments.get(trace.id, [])
            view["guardrails_validations"] = guardrails.get(trace.id, [])
            view["visibility_mode"] = "default"
            views.append(without(view, self._exclude))
        return views

    def _spans(self, trace_ids: Sequence[str]) -> Mapping[str, list[Span]]:
        found: dict[str, list[Span]] = {}
        if trace_ids:
            for span in self._context.storage.list_spans(trace_ids=trace_ids):
                found.setdefault(span.trace_id, []).append(span)
        return found


class SpanViews:
    """Makes read models of spans.

    Args:
        context: The request.
        exclude: Fields to leave out.
    """

    def __init__(self, context: RequestContext, exclude: Collection[str] = ()) -> None:
        self._context = context
        self._projects = Projects(context)
        self._exclude = frozenset(exclude)

    def of(self, spans: Sequence[Span]) -> list[View]:
        """Return the read models of spans."""
        ids = [span.id for span in spans]
        scores = scores_by_entity(self._context, "span", ids)
        comments = notes_on(self._context, COMMENT, ids)
        views: list[View] = []
        for span in spans:
            view = {**span_to_wire(priced(span)), **traced_fields(span, self._projects)}
            if is_unpriced(span):
                view[EXTRAS] = {**cast("View", view.get(EXTRAS, {})), UNPRICED: True}
            view["feedback_scores"] = scores.get(span.id, [])
            view["comments"] = comments.get(span.id, [])
            views.append(without(view, self._exclude))
        return views


def traced_fields(record: Trace | Span, projects: Projects) -> View:
    """Return what traces and spans alike get on top of what was written.

    Clients demand a start; an update that came before its create has none yet, and gets the time
    inside its id.
    """
    view: View = {
        "project_id": projects.id_of(record.project_name),
        "duration": milliseconds(record.start_time, record.end_time),
        "created_by": _NOBODY,
        "last_updated_by": _NOBODY,
    }
    made = created_at(record.id)
    if made is not None:
        view["created_at"] = wire_time(made)
    filled = []
    if record.start_time is None and made is not None:
        view["start_time"] = wire_time(made)
        filled.append("start_time")
    if record.last_updated_at is None and made is not None:
        view["last_updated_at"] = wire_time(record.end_time or made)
        filled.append("last_updated_at")
    if filled:
        view[EXTRAS] = {FILLED: filled}
    return view


def sums_of(spans: Sequence[Span]) -> View:
    """Return what a trace says of its spans."""
    usage: Counter[str] = Counter()
    for span in spans:
        usage.update(span.usage or {})
    costs = [cost for cost in map(cost_of, spans) if cost is not None]
    return {
        "usage": dict(usage) if usage else None,
        "total_estimated_cost": sum(costs) if costs else None,
        "span_count": len(spans),
        "llm_span_count": sum(span.type is SpanType.LLM for span in spans),
        "has_tool_spans": any(span.type is SpanType.TOOL for span in spans),
        "providers": sorted({span.provider for span in spans if span.provider}),
    }


def milliseconds(start: datetime | None, end: datetime | None) -> float | None:
    """Return the time between two moments; ``None`` if one is unknown."""
    return None if start is None or end is None else (end - start) / _MILLISECOND


def without(view: View, names: Iterable[str]) -> View:
    """Return a read model without some fields; the id always stays."""
    for name in names:
        if name != "id":
            view.pop(name, None)
    return view
