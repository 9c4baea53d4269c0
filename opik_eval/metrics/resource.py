"""What an answer took: time, tokens, money, length."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from opik_eval.errors import MetricError
from opik_eval.metrics.arguments import require_choice, require_text
from opik_eval.metrics.base import DataclassMetric, ScoreResult
from opik_eval.metrics.spans import TaskSpan, require_span, walk

_NO_CALLS = "no model call was recorded"


@dataclass
class Latency(DataclassMetric):
    """Seconds that the task took, from its first moment to its last; lower is better.

    Args:
        span_name: Measure the steps of this name instead: the sum of their durations. A run without
            such a step is unscored.

    Example:
        >>> from datetime import UTC, datetime
        >>> from opik_eval.tracing import SpanModel
        >>> start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC)
        >>> Latency().score(task_span=SpanModel(id="1", start_time=start, end_time=end)).value
        2.0
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, math.inf)
    higher_is_better: ClassVar[bool | None] = False

    span_name: str | None = None
    name: str = field(default="latency_metric", kw_only=True)

    def score(self, task_span: object, **_ignored: object) -> ScoreResult:
        """Measure the run of a task.

        Raises:
            MetricError: There is no span tree, or a span has no start or no end.
        """
        root = require_span(task_span, metric=self.name)
        if self.span_name is None:
            return ScoreResult(self.name, self._seconds(root))
        found = [span for span in walk(root) if span.name == self.span_name]
        if not found:
            return ScoreResult(self.name, None, reason=f"no span is called {self.span_name!r}")
        seconds = math.fsum(map(self._seconds, found))
        return ScoreResult(self.name, seconds, reason=f"{len(found)} spans")

    def _seconds(self, span: TaskSpan) -> float:
        if span.start_time is None or span.end_time is None:
            raise MetricError(
                f"metric {self.name!r}: the span {span.name!r} of 'task_span' has no "
                f"{'start' if span.start_time is None else 'end'} time",
                remedy="end spans that are opened by hand",
            )
        # Clocks can be set back while a task runs.
        return max(0.0, (span.end_time - span.start_time).total_seconds())


@dataclass
class TokenUsage(DataclassMetric):
    """Tokens of all model calls inside the task; lower is better.

    Unscored if a call did not report its usage, or if no call was recorded: an unknown number is
    not 0.

    Args:
        kind: ``total_tokens``, ``prompt_tokens``, ``completion_tokens`` or another key of the
            recorded usage. Where a total is not recorded it is prompt + completion.

    Example:
        >>> from opik_eval.tracing import SpanModel
        >>> call = SpanModel(id="2", type="llm", usage={"total_tokens": 30})
        >>> TokenUsage().score(task_span=SpanModel(id="1", spans=[call, call])).value
        60.0
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, math.inf)
    higher_is_better: ClassVar[bool | None] = False

    kind: str = "total_tokens"
    name: str = field(default="token_usage_metric", kw_only=True)

    def score(self, task_span: object, **_ignored: object) -> ScoreResult:
        """Count the tokens of a task's run.

        Raises:
            MetricError: There is no span tree.
        """
        counts = [
            self._tokens(span)
            for span in walk(require_span(task_span, metric=self.name))
            if span.type == "llm" or span.usage
        ]
        return _total(self.name, counts, f"no {self.kind}")

    def _tokens(self, span: TaskSpan) -> float | None:
        usage = span.usage or {}
        parts = [usage.get("prompt_tokens"), usage.get("completion_tokens")]
        if self.kind == "total_tokens" and "total_tokens" not in usage and None not in parts:
            return float(sum(part for part in parts if part is not None))
        return usage.get(self.kind)


@dataclass
class Cost(DataclassMetric):
    """What the model calls inside the task cost in USD; lower is better.

    Unscored if the price of a call is unknown, or if no call was recorded: an unknown cost is not
    0.

    Example:
        >>> from opik_eval.tracing import SpanModel
        >>> calls = [SpanModel(id="2", type="llm", total_cost=0.25), SpanModel(id="3", type="llm")]
        >>> Cost().score(task_span=SpanModel(id="1", spans=calls)).reason
        '1 of 2 model calls: no known price; the others: 0.25'
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, math.inf)
    higher_is_better: ClassVar[bool | None] = False

    name: str = field(default="cost_metric", kw_only=True)

    def score(self, task_span: object, **_ignored: object) -> ScoreResult:
        """Add up the costs of a task's run.

        Raises:
            MetricError: There is no span tree.
        """
        costs = [
            span.total_cost
            for span in walk(require_span(task_span, metric=self.name))
            if span.type == "llm" or span.total_cost is not None
        ]
        return _total(self.name, costs, "no known price")


@dataclass
class OutputLength(DataclassMetric):
    """Length of the output; neither end is better.

    Args:
        unit: ``characters`` (Unicode code points), ``words`` (between spaces), or a function that
            counts, such as the one that counts a model's tokens.

    Raises:
        MetricError: There is no such unit.

    Example:
        >>> OutputLength("words").score(output="three short words").value
        3.0
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, math.inf)
    higher_is_better: ClassVar[bool | None] = None

    unit: Literal["characters", "words"] | Callable[[str], int] = "characters"
    name: str = field(default="output_length_metric", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.unit):
            require_choice(self.unit, "unit", ("characters", "words"), metric=self.name)

    def score(self, output: str, **_ignored: object) -> ScoreResult:
        """Measure ``output``.

        Raises:
            MetricError: ``output`` is no text.
        """
        text = require_text(output, "output", metric=self.name)
        if callable(self.unit):
            return ScoreResult(self.name, float(self.unit(text)))
        return ScoreResult(
            self.name, float(len(text if self.unit == "characters" else text.split()))
        )


def _total(name: str, amounts: list[float | None], missing: str) -> ScoreResult:
    known = [amount for amount in amounts if amount is not None]
    if not amounts:
        return ScoreResult(name, None, reason=_NO_CALLS)
    unknown = len(amounts) - len(known)
    if unknown:
        reason = f"{unknown} of {len(amounts)} model calls: {missing}"
        reason += f"; the others: {math.fsum(known):g}" if known else ""
        return ScoreResult(name, None, reason=reason)
    return ScoreResult(name, math.fsum(known), reason=f"{len(amounts)} model calls")


__all__ = ["Cost", "Latency", "OutputLength", "TokenUsage"]
