"""What is optimized: one number for an item and an output, the higher the better, and why."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import cached_property
from typing import cast

from opik_eval.metrics.base import BaseMetric
from opik_eval.serialization import content_hash
from opik_optimizer.errors import SettingsError
from opik_optimizer.metric_objective import (
    MetricFunction,
    MetricObjective,
    Objective,
    ObjectiveScore,
)


class MultiMetricObjective:
    """The weighted mean of several objectives.

    Weights are normalised to a sum of 1, so that the mean stays in the members' range. Metrics that
    are the better the lower they are count turned round. If one member fails, all of it does.

    Args:
        metrics: What ``as_objective`` takes.
        weights: One positive number each; all equal if absent.
        name: Name.

    Raises:
        SettingsError: There are no metrics, two share a name, or the weights make no sense.

    Example:
        >>> def is_short(dataset_item, llm_output):
        ...     return len(llm_output) < 5
        >>> def is_loud(dataset_item, llm_output):
        ...     return llm_output.isupper()
        >>> both = MultiMetricObjective([is_short, is_loud], weights=[3, 1])
        >>> both.weights
        (0.75, 0.25)
        >>> from opik_eval.concurrency import run_sync
        >>> run_sync(lambda: both.score({}, "yes")).score
        0.75
    """

    is_turned = False

    def __init__(
        self,
        metrics: Sequence[object],
        weights: Sequence[float] | None = None,
        name: str = "multi_metric_objective",
    ) -> None:
        self.metrics = tuple(map(as_objective, metrics))
        self.name = name
        given = [1.0] * len(self.metrics) if weights is None else [float(w) for w in weights]
        names = [metric.name for metric in self.metrics]
        if not names or len(set(names)) < len(names):
            raise SettingsError(f"{name} needs metrics of different names, not {names}")
        if len(given) != len(names) or not all(0 < w < math.inf for w in given):
            raise SettingsError(
                f"{name} has the weights {given} for {len(names)} metrics",
                remedy="give one positive number for each metric",
            )
        self.weights = tuple(weight / math.fsum(given) for weight in given)

    @property
    def value_range(self) -> tuple[float, float]:
        """Lowest and highest possible score."""
        ranges = [metric.value_range for metric in self.metrics]
        lowest, highest = (
            sum(w * r[end] for w, r in zip(self.weights, ranges, strict=True)) for end in (0, 1)
        )
        return (lowest, highest)

    @property
    def wants_span(self) -> bool:
        """True if one of them takes ``task_span``."""
        return any(metric.wants_span for metric in self.metrics)

    @cached_property
    def fingerprint(self) -> str:
        """Key of code and configuration."""
        members = [metric.fingerprint for metric in self.metrics]
        return content_hash([members, self.weights, self.name])[:16]

    def describe(self) -> str:
        """Return the members with their shares."""
        members = (
            f"{weight:.0%} {metric.describe()}"
            for weight, metric in zip(self.weights, self.metrics, strict=True)
        )
        return f"{self.name} = weighted mean of " + "; ".join(members)

    def check(self, item: Mapping[str, object]) -> None:
        """Find arguments that nothing will supply; see ``Objective.check``."""
        for metric in self.metrics:
            metric.check(item)

    async def score(
        self,
        item: Mapping[str, object],
        output: object,
        *,
        task_span: object = None,
        executor: Executor | None = None,
    ) -> ObjectiveScore:
        """Score one output with all of them at once; see ``Objective.score``."""
        scored = await asyncio.gather(
            *(m.score(item, output, task_span=task_span, executor=executor) for m in self.metrics)
        )
        values = [result.score for result in scored]
        known = [value for value in values if value is not None]
        scores = {name: value for result in scored for name, value in result.scores.items()}
        if len(known) < len(values):
            errors = "; ".join(result.error for result in scored if result.error)
            return ObjectiveScore(score=None, scores=scores, error=errors)
        mean = math.fsum(w * value for w, value in zip(self.weights, known, strict=True))
        return ObjectiveScore(score=mean, reason=self._reason(scored), scores=scores)

    def _reason(self, scored: Sequence[ObjectiveScore]) -> str:
        return "\n".join(
            f"{metric.name}: {result.score:.4g}" + (f" ({result.reason})" if result.reason else "")
            for metric, result in zip(self.metrics, scored, strict=True)
        )


class ObservedObjective:
    """An objective beside which further metrics are noted, such as the share of unreadable answers.

    They are in the ``scores`` of every result, in their own direction, and decide nothing. One that
    fails is noted as missing.

    Args:
        objective: What is maximised; what ``as_objective`` takes.
        observed: What is noted beside it.

    Raises:
        SettingsError: Two of them share a name.

    Example:
        >>> def is_right(dataset_item, llm_output):
        ...     return llm_output == "yes"
        >>> def words(dataset_item, llm_output):
        ...     return len(llm_output.split())
        >>> from opik_eval.concurrency import run_sync
        >>> scored = run_sync(lambda: ObservedObjective(is_right, [words]).score({}, "no no"))
        >>> scored.score, scored.scores["words"]
        (0.0, 2.0)
    """

    def __init__(self, objective: object, observed: Sequence[object]) -> None:
        self.objective = as_objective(objective)
        self.observed = tuple(map(as_objective, observed))
        names = [each.name for each in (self.objective, *self.observed)]
        if len(set(names)) < len(names):
            raise SettingsError(f"the names of metrics must differ: {names}", remedy="rename one")

    @property
    def name(self) -> str:
        """Name of the objective."""
        return self.objective.name

    @property
    def observed_names(self) -> list[str]:
        """Names of what is noted beside the objective."""
        return [each.name for each in self.observed]

    @property
    def is_turned(self) -> bool:
        """As of the objective."""
        return self.objective.is_turned

    @property
    def value_range(self) -> tuple[float, float]:
        """As of the objective."""
        return self.objective.value_range

    @property
    def wants_span(self) -> bool:
        """True if one of them takes ``task_span``."""
        return any(each.wants_span for each in (self.objective, *self.observed))

    @cached_property
    def fingerprint(self) -> str:
        """Key of code and configuration of all of them."""
        return content_hash([each.fingerprint for each in (self.objective, *self.observed)])[:16]

    def describe(self) -> str:
        """Return what the objective measures."""
        return self.objective.describe()

    def check(self, item: Mapping[str, object]) -> None:
        """Find arguments that nothing will supply; see ``Objective.check``."""
        for each in (self.objective, *self.observed):
            each.check(item)

    async def score(
        self,
        item: Mapping[str, object],
        output: object,
        *,
        task_span: object = None,
        executor: Executor | None = None,
    ) -> ObjectiveScore:
        """Score one output with all of them at once; see ``Objective.score``."""
        main, *rest = await asyncio.gather(
            *(
                each.score(item, output, task_span=task_span, executor=executor)
                for each in (self.objective, *self.observed)
            )
        )
        noted = {name: value for other in rest for name, value in other.scores.items()}
        return replace(main, scores={**noted, **main.scores})


def as_objective(metric: object) -> Objective:
    """Return the objective that a metric stands for.

    Args:
        metric: An objective, a metric or judge, a function, or a list of them (equal weights).

    Raises:
        SettingsError: It is none of these.

    Example:
        >>> as_objective(lambda dataset_item, llm_output: 1.0).name
        'metric'
    """
    if isinstance(metric, MetricObjective | MultiMetricObjective | ObservedObjective):
        return metric
    if isinstance(metric, Objective) and not isinstance(metric, BaseMetric | type):
        return metric
    if isinstance(metric, list | tuple):
        return MultiMetricObjective(metric)
    return MetricObjective(cast("MetricFunction", metric))


def bottom_of(objective: Objective) -> float:
    """Return the score that stands for a failure: the lowest possible one, or 0."""
    lowest = objective.value_range[0]
    return lowest if math.isfinite(lowest) else 0.0


__all__ = [
    "MetricFunction",
    "MetricObjective",
    "MultiMetricObjective",
    "Objective",
    "ObjectiveScore",
    "ObservedObjective",
    "as_objective",
    "bottom_of",
]
