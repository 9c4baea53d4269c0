"""The spans of one trace as a tree, for metrics that look into a task's run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from opik_eval.records import ErrorInfo, FeedbackScore, Span, Trace


@dataclass(kw_only=True)
class SpanModel:
    """A span, or the trace at the root, with the spans that lie in it.

    Attributes:
        type: ``general``, ``tool``, ``llm`` or ``guardrail``; ``None`` for the trace.
        total_cost: Cost of this step alone in USD; ``None`` = unknown.
        spans: Children in order of start.

    Example:
        >>> model = SpanModel(id="1", name="task", spans=[SpanModel(id="2", name="search")])
        >>> [span.name for span in model.walk()]
        ['task', 'search']
    """

    id: str
    name: str | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    input: object = None
    output: object = None
    tags: tuple[str, ...] | None = None
    metadata: dict[str, object] | None = None
    type: str | None = None
    usage: dict[str, int] | None = None
    model: str | None = None
    provider: str | None = None
    error_info: ErrorInfo | None = None
    total_cost: float | None = None
    ttft_seconds: float | None = None
    feedback_scores: list[FeedbackScore] = field(default_factory=list)
    spans: list[SpanModel] = field(default_factory=list)

    def walk(self) -> Iterator[SpanModel]:
        """Yield this span and all below it, parents first."""
        waiting = [self]
        while waiting:
            span = waiting.pop()
            yield span
            waiting.extend(reversed(span.spans))


SpanTree = SpanModel
"""The model at the root stands for the whole tree."""


def build_tree(
    trace: Trace, spans: Iterable[Span], scores: Iterable[FeedbackScore] = ()
) -> SpanModel:
    """Return a trace as a tree.

    Args:
        trace: The root.
        spans: Its spans, in any order. One whose parent is missing, or is itself or below itself,
            is put directly under the root, so that no span is lost.
        scores: Feedback scores of any of them.

    Returns:
        The root; children are ordered by start time, then id.
    """
    root = _model_of_trace(trace)
    records = sorted({span.id: span for span in spans}.values(), key=_position)
    models = {span.id: _model_of_span(span) for span in records}
    parents: dict[str, str | None] = {
        span.id: span.parent_span_id for span in records if span.parent_span_id in models
    }
    _cut_loops(parents)
    for span in records:
        parent = parents.get(span.id)
        (root if parent is None else models[parent]).spans.append(models[span.id])
    for score in scores:
        owner = root if score.entity_id == root.id else models.get(score.entity_id)
        if owner is not None:
            owner.feedback_scores.append(score)
    return root


def _position(span: Span) -> tuple[float, str]:
    return (span.start_time.timestamp() if span.start_time else 0.0, span.id)


def _cut_loops(parents: dict[str, str | None]) -> None:
    """Drop one edge of every loop, so that each span is reached from the root."""
    safe: set[str] = set()
    for start in tuple(parents):
        path: set[str] = set()
        here: str | None = start
        while here is not None and here not in safe:
            path.add(here)
            if parents.get(here) in path:
                del parents[here]
            here = parents.get(here)
        safe |= path


def _model_of_trace(trace: Trace) -> SpanModel:
    return SpanModel(
        id=trace.id,
        name=trace.name,
        start_time=trace.start_time,
        end_time=trace.end_time,
        input=trace.input,
        output=trace.output,
        tags=trace.tags,
        metadata=trace.metadata,
        error_info=trace.error_info,
        ttft_seconds=trace.ttft_seconds,
    )


def _model_of_span(span: Span) -> SpanModel:
    return SpanModel(
        id=span.id,
        name=span.name,
        start_time=span.start_time,
        end_time=span.end_time,
        input=span.input,
        output=span.output,
        tags=span.tags,
        metadata=span.metadata,
        type=None if span.type is None else str(span.type),
        usage=span.usage,
        model=span.model,
        provider=span.provider,
        error_info=span.error_info,
        total_cost=span.cost_usd,
        ttft_seconds=span.ttft_seconds,
    )
