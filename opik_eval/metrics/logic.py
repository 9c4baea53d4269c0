"""Metrics made of metrics: negation, and, or, thresholds, weighted means.

Every result lies in 0 to 1 and higher is better. The scores of the parts are brought there first:
from their declared range, and turned round where lower is better, so that 1 is the best score of
every part. Metrics that declare no range at all, such as plain functions, must return 0 to 1
themselves; one with half a range, such as ``Latency``, needs a threshold (``passes``).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from typing import ClassVar, Literal, cast

from opik_eval.errors import MetricError
from opik_eval.metrics.base import (
    Arguments,
    BaseMetric,
    DataclassMetric,
    MetricReturn,
    ScoreResult,
    implementation_of,
    normalise,
)
from opik_eval.metrics.function import FunctionMetric, as_metric
from opik_eval.metrics.parts import joint_arguments, named_after

Part = BaseMetric | Callable[..., object]
Rule = Literal["not", "any", "all", "mean", "at_least", "at_most"]


def not_(metric: Part, *, name: str | None = None) -> BaseMetric:
    """Return a metric that is 1 where another is at its worst, and 0 where it is at its best.

    Args:
        metric: A metric or a function.
        name: Name of the score; ``not_`` and the part's if absent.

    Raises:
        MetricError: The metric has no finite range.

    Example:
        >>> from opik_eval.metrics import Contains
        >>> not_(Contains(reference="sorry")).score(output="Sure!").value
        1.0
    """
    part = _part(metric)
    return _combined("not", [part], name=name or f"not_{part.name}")


def any_of(*metrics: Part, name: str | None = None) -> BaseMetric:
    """Return a metric that is as good as the best of others: *or*, for scores of 0 and 1.

    Args:
        *metrics: Metrics or functions with different names, at least one.
        name: Name of the score; that of the parts joined by ``_or_`` if absent.

    Raises:
        MetricError: A metric has no finite range, or two share a name.

    Example:
        >>> from opik_eval.metrics import Contains, Equals
        >>> answer = any_of(Equals(), Contains(), name="right")
        >>> answer.score(output="It is Paris.", reference="Paris").reason
        'equals_metric=0, contains_metric=1'
    """
    parts = [_part(metric) for metric in metrics]
    return _combined("any", parts, name=name or "_or_".join(part.name for part in parts))


def all_of(*metrics: Part, name: str | None = None) -> BaseMetric:
    """Return a metric that is as good as the worst of others: *and*, for scores of 0 and 1.

    Args:
        *metrics: Metrics or functions with different names, at least one.
        name: Name of the score; that of the parts joined by ``_and_`` if absent.

    Raises:
        MetricError: A metric has no finite range, or two share a name.

    Example:
        >>> from opik_eval.metrics import IsJson, OutputLength
        >>> short_json = all_of(IsJson(), passes(OutputLength(), at_most=10))
        >>> short_json.score(output="[1, 2, 3, 4]").value
        0.0
    """
    parts = [_part(metric) for metric in metrics]
    return _combined("all", parts, name=name or "_and_".join(part.name for part in parts))


def weighted(*metrics: tuple[Part, float], name: str = "weighted_metric") -> BaseMetric:
    """Return a metric that is the weighted mean of others.

    Args:
        *metrics: Metrics or functions with different names, each with its weight above 0; the
            weights need not add up to 1.
        name: Name of the score.

    Raises:
        MetricError: A weight is not above 0, a metric has no finite range, or two share a name.

    Example:
        >>> from opik_eval.metrics import Equals, TokenF1
        >>> metric = weighted((TokenF1(), 3), (Equals(), 1))
        >>> metric.score(output="in the year 1912", reference="1912").value
        0.375
    """
    parts = [_part(metric) for metric, _ in metrics]
    weights = tuple(float(weight) for _, weight in metrics)
    if not all(0 < weight < math.inf for weight in weights):
        raise MetricError(
            f"metric {name!r} got the weights {weights}",
            remedy="give weights above 0; leave out what should not count",
        )
    return _combined("mean", parts, name=name, weights=weights)


def passes(
    metric: Part,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    name: str | None = None,
) -> BaseMetric:
    """Return a metric that is 1 if another's score reaches a threshold, else 0.

    Args:
        metric: A metric or a function, of any range.
        at_least: Scores from here on pass. In the unit of the metric itself.
        at_most: Or scores up to here.
        name: Name of the score; the part's and ``_passes`` if absent.

    Raises:
        MetricError: Not exactly one of the two thresholds was given, or it is not finite.

    Example:
        >>> from opik_eval.metrics import LevenshteinRatio
        >>> close = passes(LevenshteinRatio(), at_least=0.9)
        >>> close.score(output="Nuremberg", reference="Nürnberg").value
        0.0
    """
    part = _part(metric)
    name = name or f"{part.name}_passes"
    given = {"at_least": at_least, "at_most": at_most}
    chosen = [(rule, limit) for rule, limit in given.items() if limit is not None]
    if len(chosen) != 1 or not math.isfinite(chosen[0][1]):
        raise MetricError(
            f"metric {name!r} got at_least={at_least} and at_most={at_most}",
            remedy="give one finite threshold, for example at_least=0.8",
        )
    rule, limit = chosen[0]
    return _combined(cast("Rule", rule), [part], name=name, weights=(limit,))


@dataclass
class Combination(DataclassMetric):
    """A metric made of metrics; made by ``not_``, ``any_of``, ``all_of``, ``weighted``, ``passes``.

    It takes what its parts take. If a part fails, so does the whole; if one is unscored, so is the
    whole: what is unknown is not guessed. The reason lists the parts' scores.

    Attributes:
        rule: How the parts become one score.
        parts: The metrics.
        weights: One for each part with the rule ``mean``; the threshold with ``at_least`` and
            ``at_most``.
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    rule: Rule
    parts: tuple[BaseMetric, ...]
    weights: tuple[float, ...] = ()
    name: str = field(default="", kw_only=True)

    def score_arguments(self) -> Arguments:
        """Return the arguments of all parts; one that any part requires is required."""
        return joint_arguments(self.parts)

    def score(self, **values: object) -> MetricReturn:
        """Score with all parts, which get those of the values that they take."""
        with named_after(self.name):
            return self._combine([part.score(*p, **n) for part, p, n in self._calls(values)])

    def _calls(
        self, values: Mapping[str, object]
    ) -> list[tuple[BaseMetric, list[object], Mapping[str, object]]]:
        return [(part, *part.score_arguments().select(values)) for part in self.parts]

    def _combine(self, returned: Sequence[object]) -> ScoreResult:
        scores = [_single(part, value) for part, value in zip(self.parts, returned, strict=True)]
        metadata: dict[str, object] = {"parts": {score.name: score.value for score in scores}}
        unusable = [score for score in scores if not score.is_scored]
        if unusable:
            first = next((score for score in unusable if score.scoring_failed), unusable[0])
            return ScoreResult(
                self.name,
                None,
                reason=f"{first.name}: {first.reason or first.category_name or 'unscored'}",
                metadata=metadata,
                scoring_failed=first.scoring_failed,
            )
        values = [cast("float", score.value) for score in scores]
        reason = ", ".join(f"{score.name}={score.value:.4g}" for score in scores)
        return ScoreResult(self.name, self._value(values), reason=reason, metadata=metadata)

    def _value(self, values: Sequence[float]) -> float:
        if self.rule == "at_least":
            return float(values[0] >= self.weights[0])
        if self.rule == "at_most":
            return float(values[0] <= self.weights[0])
        goods = [_goodness(part, value) for part, value in zip(self.parts, values, strict=True)]
        if self.rule == "mean":
            total = math.fsum(w * good for w, good in zip(self.weights, goods, strict=True))
            return min(1.0, total / math.fsum(self.weights))
        return {"not": 1 - goods[0], "any": max(goods), "all": min(goods)}[self.rule]


@dataclass
class AsyncCombination(Combination):
    """A combination with asynchronous parts, which are awaited together."""

    async def ascore(self, **values: object) -> MetricReturn:
        """Score with all parts at once."""
        calls = self._calls(values)
        starts: list[Awaitable[object]] = [part.ascore(*p, **n) for part, p, n in calls]
        with named_after(self.name):
            return self._combine(await asyncio.gather(*starts))

    score = BaseMetric.score


def _part(metric: Part) -> BaseMetric:
    part = as_metric(metric)
    if isinstance(part, FunctionMetric) and part.takes_item:
        raise MetricError(
            f"the scoring function {part.name!r} takes dataset_item or task_outputs, and cannot be "
            "combined with metrics",
            remedy="let it take what it needs by name, for example def f(output, reference)",
        )
    return part


def _combined(
    rule: Rule, parts: Sequence[BaseMetric], *, name: str, weights: tuple[float, ...] = ()
) -> BaseMetric:
    names = [part.name for part in parts]
    if not names or len(set(names)) < len(names):
        raise MetricError(
            f"metric {name!r} is made of {names}, which must be one or more different names",
            remedy="give one of them another name, for example Equals(name='exact')",
        )
    for part in parts if rule not in ("at_least", "at_most") else ():
        if sum(map(math.isfinite, part.value_range)) == 1:
            raise MetricError(
                f"metric {name!r} cannot combine {part.name!r}, whose scores range from "
                f"{part.value_range[0]:g} to {part.value_range[1]:g}",
                remedy="give it a threshold: passes(metric, at_most=...)",
            )
    is_async = any(iscoroutinefunction(implementation_of(part)) for part in parts)
    kind = AsyncCombination if is_async else Combination
    return kind(rule, tuple(parts), weights, name=name)


def _single(part: BaseMetric, returned: object) -> ScoreResult:
    scores = normalise(returned, name=part.name)
    if len(scores) != 1:
        raise MetricError(
            f"{part.name!r} returned {len(scores)} scores, so it cannot be combined",
            remedy="combine metrics that return one score",
        )
    return scores[0]


def _goodness(part: BaseMetric, value: float) -> float:
    """Return a score as a number from 0 (worst) to 1 (best)."""
    low, high = part.value_range
    if not math.isfinite(low):
        low, high = 0.0, 1.0
    if not low <= value <= high:
        raise MetricError(
            f"{part.name!r} returned {value:g}, which is not between {low:g} and {high:g}",
            remedy="declare value_range in its class, or give it a threshold: passes(metric, ...)",
        )
    share = (value - low) / (high - low)
    return 1 - share if part.higher_is_better is False else share


__all__ = ["Combination", "all_of", "any_of", "not_", "passes", "weighted"]
