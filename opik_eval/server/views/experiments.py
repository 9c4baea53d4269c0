"""Experiments and their items as clients read them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from opik_eval.records import Experiment, ExperimentItem, Span, Trace
from opik_eval.server.context import RequestContext
from opik_eval.server.datasets import Versions
from opik_eval.server.projects import Projects
from opik_eval.server.views.notes import ASSERTION, COMMENT, notes_on
from opik_eval.server.views.scores import scores_by_entity
from opik_eval.server.views.traces import milliseconds, sums_of
from opik_eval.storage.wire import experiment_item_to_wire, experiment_to_wire, trace_to_wire

View = dict[str, object]
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_UNSAID = ("resume_key", "scores")


class ExperimentViews:
    """Makes read models of experiments.

    Args:
        context: The request.
    """

    def __init__(self, context: RequestContext) -> None:
        self._context = context
        self._projects = Projects(context)

    def of(self, experiments: Sequence[Experiment]) -> list[View]:
        """Return the read models of experiments."""
        means = self._means([experiment.id for experiment in experiments])
        return [self._view(experiment, means) for experiment in experiments]

    def _view(self, experiment: Experiment, means: Mapping[str, list[View]]) -> View:
        items = list(self._context.storage.list_experiment_items(experiment.id))
        view: View = {"type": "regular", **experiment_to_wire(experiment)}
        view["project_id"] = self._projects.id_of(experiment.project_name)
        view["feedback_scores"] = means.get(experiment.id, [])
        view["trace_count"] = len(items)
        view["dataset_item_count"] = len({item.dataset_item_id for item in items})
        view |= self._totals(items)
        view |= self._pass_rate(items)
        if experiment.dataset_id is not None and experiment.dataset_version_id is not None:
            versions = Versions(self._context, experiment.dataset_id)
            found = [v for v in versions.stored if v.id == experiment.dataset_version_id]
            view["dataset_version_summary"] = versions.summary(found[0]) if found else None
        return view

    def _means(self, ids: Sequence[str]) -> Mapping[str, list[View]]:
        found: dict[str, list[View]] = {}
        for summary in self._context.storage.summarize_scores(ids):
            if summary.mean is not None:
                mean: View = {"name": summary.name, "value": summary.mean}
                found.setdefault(summary.experiment_id, []).append(mean)
        return found

    def _totals(self, items: Sequence[ExperimentItem]) -> View:
        ids = [item.trace_id for item in items if item.trace_id]
        spans = list(self._context.storage.list_spans(trace_ids=ids)) if ids else []
        sums = sums_of(spans)
        cost, usage = sums["total_estimated_cost"], sums["usage"]
        traces = (self._context.storage.find_trace(trace_id) for trace_id in ids)
        durations = [
            duration
            for trace in traces
            if trace and (duration := milliseconds(trace.start_time, trace.end_time)) is not None
        ]
        return {
            "total_estimated_cost": cost,
            "total_estimated_cost_avg": cost / len(ids) if isinstance(cost, float) else None,
            "usage": _per_item(usage, len(ids)),
            "duration": quantiles(durations),
        }

    def _pass_rate(self, items: Sequence[ExperimentItem]) -> View:
        """Return how many dataset items passed all their assertions, if there are any."""
        notes = notes_on(self._context, ASSERTION, [i.trace_id for i in items if i.trace_id])
        if not notes:
            return {}
        passed: dict[str, bool] = {}
        for item in items:
            results = notes.get(item.trace_id or "")
            if results:
                ok = all(result.get("status") == "passed" for result in results)
                passed[item.dataset_item_id] = passed.get(item.dataset_item_id, True) and ok
        count = sum(passed.values())
        return {
            "pass_rate": count / len(passed),
            "passed_count": count,
            "total_count": len(passed),
        }


class ExperimentItemViews:
    """Makes read models of experiments' items, with what their traces say.

    Args:
        context: The request.
    """

    def __init__(self, context: RequestContext) -> None:
        self._context = context
        self._projects = Projects(context)

    def of(self, items: Sequence[ExperimentItem]) -> list[View]:
        """Return the read models of items."""
        ids = [item.trace_id for item in items if item.trace_id]
        scores = scores_by_entity(self._context, "trace", ids)
        assertions = notes_on(self._context, ASSERTION, ids)
        comments = notes_on(self._context, COMMENT, ids)
        spans: dict[str, list[Span]] = {}
        for span in self._context.storage.list_spans(trace_ids=ids) if ids else ():
            spans.setdefault(span.trace_id, []).append(span)
        views: list[View] = []
        for item in items:
            key = item.trace_id or ""
            trace = self._context.storage.find_trace(key) if key else None
            view = experiment_item_to_wire(item)
            view |= self._of_trace(item, trace, spans.get(key, ()))
            view["trace_id"] = key
            view["feedback_scores"] = scores.get(key, [])
            view["comments"] = comments.get(key, [])
            if key in assertions:
                view |= assertion_fields(assertions[key])
            views.append(view)
        return views

    def _of_trace(self, item: ExperimentItem, trace: Trace | None, spans: Sequence[Span]) -> View:
        """Return what the trace says where the item itself says nothing."""
        project = item.project_name or (trace.project_name if trace else None)
        view: View = {"project_id": self._projects.id_of(project)}
        sums = sums_of(spans)
        if item.usage is None:
            view["usage"] = sums["usage"]
        if item.cost_usd is None:
            view["total_estimated_cost"] = sums["total_estimated_cost"]
        if trace is not None:
            wire = trace_to_wire(trace)
            view["duration"] = milliseconds(trace.start_time, trace.end_time)
            view["trace_metadata"] = wire.get("metadata")
            view["trace_visibility_mode"] = "default"
            view |= {n: wire.get(n) for n in ("input", "output") if getattr(item, n) is None}
        return view


def assertion_fields(results: Iterable[View]) -> View:
    """Return the results of assertions, and whether all hold."""
    shown = [
        {
            "value": result.get("name"),
            "passed": result.get("status") == "passed",
            "reason": result.get("reason"),
        }
        for result in results
    ]
    status = "passed" if all(result["passed"] for result in shown) else "failed"
    return {"assertion_results": shown, "status": status}


def quantiles(values: Sequence[float]) -> View | None:
    """Return the 50th, 90th and 99th percentile, by linear interpolation; ``None`` of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return {name: _quantile(ordered, share) for name, share in _QUANTILES.items()}


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low, high = math.floor(place), math.ceil(place)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _per_item(usage: object, count: int) -> View | None:
    if not isinstance(usage, dict) or not count:
        return None
    return {name: total / count for name, total in Counter(usage).items()}
