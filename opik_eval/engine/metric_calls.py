"""The model calls that metrics make: counted with their scores, recorded below the task's trace."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from opik_eval.engine.scorers import Scorer
from opik_eval.experiments.model_use import ModelUse, total_use
from opik_eval.ids import new_id
from opik_eval.metrics.base import ScoreResult
from opik_eval.records import FeedbackScore, Span, SpanType, Trace, utc_now
from opik_eval.tracing.context import CollectingSink, Sink, TraceState

Record = Trace | Span | FeedbackScore


def model_use_of(records: Iterable[object]) -> ModelUse:
    """Sum usage and cost over the ``llm`` spans among some records."""
    return total_use(
        ModelUse(1, record.usage, record.cost_usd, int(record.cost_usd is None))
        for record in records
        if isinstance(record, Span) and record.type is SpanType.LLM
    )


@dataclass(slots=True)
class MetricCalls:
    """What the metrics of one unit do besides computing; used from several threads at once.

    Attributes:
        trace_id: The task's trace; ``None`` or empty if there is none, then nothing is recorded.
        fallback: Receives spans of work that outlives its metric.
        records: What there is to store: a span for each metric that called a model, and its calls.
    """

    trace_id: str | None
    project_name: str
    source: str
    fallback: Sink
    records: list[Record] = field(default_factory=list)

    def open(self, scorer: Scorer) -> Recording:
        """Return where the calls of one metric are gathered."""
        return Recording(self, scorer)


class Recording:
    """One call of one metric.

    Attributes:
        trace: The task's trace, to be the current one while the metric runs.
    """

    __slots__ = ("_calls", "_scorer", "_sink", "_started", "trace")

    def __init__(self, calls: MetricCalls, scorer: Scorer) -> None:
        self._calls, self._scorer = calls, scorer
        self._started = utc_now()
        self._sink = CollectingSink(calls.fallback)
        # The trace has ended and is stored by others: to its metrics it is a remote one.
        self.trace = TraceState(self._sink, id=calls.trace_id, remote=True)
        self.trace.project_name = scorer.project_name or calls.project_name
        self.trace.source = calls.source

    def close(self, scores: list[ScoreResult]) -> list[ScoreResult]:
        """Keep the spans, and return the scores with what the model calls used."""
        records = self._sink.take()
        if not records:
            return scores
        if self._scorer.is_tracked and self._calls.trace_id:
            self._calls.records += self._in_one_span(records, scores, self._started)
        use = model_use_of(records)
        return _with_account(scores, use) if use.calls else scores

    def _in_one_span(
        self, records: Sequence[Record], scores: Sequence[ScoreResult], started: datetime
    ) -> list[Record]:
        """Return the records below a span of the metric's.

        It is made afterwards: most metrics call no model, and need none.
        """
        now = utc_now()
        shown = [{"name": s.name, "value": s.value, "reason": s.reason} for s in scores]
        span = Span(
            id=new_id(),
            trace_id=self.trace.id,
            project_name=self.trace.project_name,
            name=self._scorer.name,
            type=SpanType.GENERAL,
            start_time=started,
            end_time=now,
            output={"scores": shown},
            tags=("metric",),
            source=self.trace.source,
            last_updated_at=now,
        )
        below = [
            record.model_copy(update={"parent_span_id": span.id})
            if isinstance(record, Span) and record.parent_span_id is None
            else record
            for record in records
        ]
        return [span, *below]


def _with_account(scores: Sequence[ScoreResult], use: ModelUse) -> list[ScoreResult]:
    """Return scores of which the first carries what all calls used, and the others nothing."""
    account = use.as_metadata()
    rest = {"model_calls": 0}
    return [
        replace(score, metadata={**_without_account(score.metadata), **(rest if n else account)})
        for n, score in enumerate(scores)
    ]


def _without_account(metadata: dict[str, object] | None) -> dict[str, object]:
    known = ("model_calls", "usage", "cost_usd", "unpriced_calls")
    return {name: fact for name, fact in (metadata or {}).items() if name not in known}
