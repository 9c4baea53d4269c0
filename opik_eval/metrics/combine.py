"""Several metrics as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import iscoroutinefunction

from opik_eval.concurrency import run_sync
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
from opik_eval.metrics.parts import call, joint_arguments, named_after


@dataclass
class AggregatedMetric(DataclassMetric):
    """Several metrics whose scores a function makes into one.

    Each metric gets the arguments it takes. If one of them cannot compute a score, neither can the
    whole; nothing is averaged over what is left. Judges among the metrics run at the same time.

    Args:
        name: Name of the score.
        metrics: The metrics, at least one.
        aggregator: Called with their scores in order; returns a number or a ``ScoreResult``. A
            function of a module, not a lambda, if the metric is to be pickled.

    Raises:
        MetricError: There are no metrics, or no aggregator.

    Example:
        >>> from opik_eval.metrics.exact import Contains, Equals
        >>> def lowest(scores):
        ...     return min(score.value for score in scores)
        >>> metric = AggregatedMetric("strict", [Equals(), Contains()], lowest)
        >>> metric.score(output="Yes.", reference="yes")
        0.0
    """

    name: str = field()
    metrics: Sequence[BaseMetric]
    aggregator: Callable[[list[ScoreResult]], MetricReturn]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.metrics or not all(isinstance(metric, BaseMetric) for metric in self.metrics):
            raise MetricError(
                f"metric {self.name!r} got metrics={self.metrics!r}",
                remedy="give a list of one or more metric objects",
            )
        if not callable(self.aggregator):
            raise MetricError(
                f"metric {self.name!r} got aggregator={self.aggregator!r}",
                remedy="give a function of the list of scores",
            )

    def score_arguments(self) -> Arguments:
        """Return the arguments that the metrics take together."""
        return joint_arguments(self.metrics)

    def score(self, **values: object) -> MetricReturn:
        """Run the metrics and combine their scores.

        Raises:
            MetricError: A metric cannot compute a score, or lacks an argument.
        """
        with named_after(self.name):
            scores = [
                score
                for metric, returned in zip(self.metrics, self._returned(values), strict=True)
                for score in normalise(returned, name=metric.name)
            ]
            for score in scores:
                if score.scoring_failed:
                    raise MetricError(
                        f"its part {score.name!r} failed: {score.reason}",
                        remedy="repair that part, or leave it out of metrics",
                    )
        return self.aggregator(scores)

    def _returned(self, values: Mapping[str, object]) -> Sequence[MetricReturn]:
        if any(iscoroutinefunction(implementation_of(metric)) for metric in self.metrics):
            return run_sync(lambda: self._at_once(values))
        return [call(metric, metric.score, values) for metric in self.metrics]

    async def _at_once(self, values: Mapping[str, object]) -> list[MetricReturn]:
        return await asyncio.gather(
            *(call(metric, metric.ascore, values) for metric in self.metrics)
        )


__all__ = ["AggregatedMetric"]
