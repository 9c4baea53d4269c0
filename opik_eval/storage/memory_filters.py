"""What filters ask of records that the records do not hold, from the memory backend's tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from opik_eval.records import ScoredEntity, Span, SpanType, Thread, Trace
from opik_eval.storage.memory_state import MemoryState, score_group
from opik_eval.storage.merge import project_key
from opik_eval.storage.query import DERIVED, Filter, fields_of

Extras = Mapping[str, object]


class FilterValues:
    """The derived values that one filter looks at; to be used inside the state's lock."""

    def __init__(self, state: MemoryState, where: Filter | None) -> None:
        self._state = state
        self._fields = fields_of(where) & DERIVED["trace"]

    def of_traces(self, traces: Iterable[Trace]) -> dict[str, Extras]:
        """Return the values by trace id; nothing if the filter needs none."""
        return {trace.id: self._of_trace(trace) for trace in traces} if self._fields else {}

    def of_spans(self, spans: Iterable[Span]) -> dict[str, Extras]:
        """Return the values by span id; nothing if the filter needs none."""
        if "feedback_scores" not in self._fields:
            return {}
        return {span.id: {"feedback_scores": self._scores("span", [span.id])} for span in spans}

    def of_thread(self, thread: Thread) -> Extras:
        """Return the values of a thread."""
        if "feedback_scores" not in self._fields:
            return {}
        return {"feedback_scores": self._scores("thread", [thread.id], thread.project_name)}

    def _of_trace(self, trace: Trace) -> Extras:
        values: dict[str, object] = {"feedback_scores": self._scores("trace", [trace.id])}
        if "experiment_id" in self._fields:
            values["experiment_id"] = self._experiments.get(trace.id, ())
        if self._fields - {"feedback_scores", "experiment_id"}:
            spans = list(self._state.spans.records([trace.id]))
            values |= sums_of(spans)
            values["span_feedback_scores"] = self._scores("span", [span.id for span in spans])
        return values

    @cached_property
    def _experiments(self) -> Mapping[str, set[str]]:
        """Experiments by the traces of their items."""
        found: dict[str, set[str]] = {}
        for item in self._state.experiment_items.records():
            if item.trace_id is not None:
                found.setdefault(item.trace_id, set()).add(item.experiment_id)
        return found

    def _scores(
        self, entity_type: ScoredEntity, ids: Iterable[str], project_name: str | None = None
    ) -> dict[str, list[float]]:
        values: dict[str, list[float]] = {}
        for score in self._state.scores.records(score_group(entity_type, i) for i in ids):
            if is_in(project_name, score.project_name):
                values.setdefault(score.name, []).append(score.value)
        return values


def sums_of(spans: Sequence[Span]) -> dict[str, object]:
    """Return what filters may ask of a trace's spans: counts, usage and cost, where known."""
    usage: Counter[str] = Counter()
    for span in spans:
        usage.update(span.usage or {})
    costs = [span.cost_usd for span in spans if span.cost_usd is not None]
    return {
        "span_count": len(spans),
        "llm_span_count": sum(span.type is SpanType.LLM for span in spans),
        "usage": usage,
        "cost_usd": sum(costs) if costs else None,
    }


def is_in(wanted: str | None, project_name: str | None) -> bool:
    """Return True if a project is the wanted one; every one is if none is wanted."""
    return wanted is None or project_key(project_name) == project_key(wanted)
