"""From the scores of single items to the numbers of a run; nothing is dropped in silence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from opik_eval.errors import ConfigError
from opik_eval.experiments.model_use import ModelUse, model_use_of_score, total_use
from opik_eval.metrics.base import ScoreResult
from opik_eval.statistics.intervals import mean_interval
from opik_eval.statistics.reducers import Reducer


@dataclass(slots=True)
class ScoreStatistics:
    """One metric over a run.

    Attributes:
        mean: Mean of the values; NaN without values, as are ``max`` and ``min``.
        max: Largest value.
        min: Smallest value.
        values: The values in the order of the results; with a reducer one per item.
        std: Sample standard deviation; ``None`` with fewer than two values.
        failed_count: Results for which the metric failed.
        n: Number of values.
        unscored_count: Results without failure and without a finite value (``None``, NaN, labels),
            and items with too few trials for the reducer.
        standard_error: Standard error of the mean, clustered by item where items have several
            values; ``None`` if it cannot be known.
        interval_low: Lower end of the 95 % confidence interval; ``None`` if it cannot be known.
        interval_high: Its upper end.
        method: What computed the interval; see ``opik_eval.statistics.Estimate``.
        higher_is_better: Direction; ``None`` where neither end is better.
        model_calls: Model calls the metric made, those of failed scores included.
        total_tokens: Tokens of these calls; ``None`` if no call reported any.
        cost_usd: Their known cost; ``None`` if none is known.
    """

    mean: float
    max: float
    min: float
    values: list[float]
    std: float | None = None
    failed_count: int = 0
    n: int = 0
    unscored_count: int = 0
    standard_error: float | None = None
    interval_low: float | None = None
    interval_high: float | None = None
    method: str = "none"
    higher_is_better: bool | None = True
    model_calls: int = 0
    total_tokens: int | None = None
    cost_usd: float | None = None


@dataclass(slots=True)
class _Column:
    """The results of one metric while they are gathered."""

    values: list[float] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    failed: int = 0
    unscored: int = 0
    used: list[ModelUse] = field(default_factory=list)

    def add(self, item: str, score: ScoreResult) -> None:
        if score.metadata:
            self.used.append(model_use_of_score(score))
        if score.value is not None and score.is_scored:
            self.values.append(float(score.value))
            self.items.append(item)
        elif score.scoring_failed:
            self.failed += 1
        else:
            self.unscored += 1

    def reduce(self, reducer: Reducer) -> None:
        """Replace the values of every item by one; items with too few trials become unscored."""
        trials: dict[str, list[float]] = {}
        for item, value in zip(self.items, self.values, strict=True):
            trials.setdefault(item, []).append(value)
        self.items, self.values = [], []
        refusal: ConfigError | None = None
        for item, values in trials.items():
            try:
                self.values.append(float(reducer(values)))
            except ConfigError as error:
                refusal = error
                self.unscored += 1
            else:
                self.items.append(item)
        if refusal is not None and not self.values:
            raise refusal


def score_statistics(
    scored: Iterable[tuple[str, Sequence[ScoreResult]]],
    *,
    higher_is_better: Mapping[str, bool | None] | None = None,
    reducer: Reducer | None = None,
) -> dict[str, ScoreStatistics]:
    """Return the statistics of every metric, by name, in order of first appearance.

    Args:
        scored: Item id and scores of every result.
        higher_is_better: Direction by metric; higher is better for names that are not in it.
        reducer: Makes one value of an item's trials before they are averaged.

    Raises:
        ConfigError: The reducer needs more trials than any item has.
    """
    columns: dict[str, _Column] = {}
    for item, scores in scored:
        for score in scores:
            column = columns.get(score.name)
            if column is None:
                column = columns[score.name] = _Column()
            column.add(item, score)
    if reducer is not None:
        for column in columns.values():
            column.reduce(reducer)
    directions = higher_is_better or {}
    return {name: _statistics(c, directions.get(name, True)) for name, c in columns.items()}


def _statistics(column: _Column, higher_is_better: bool | None) -> ScoreStatistics:
    values = column.values
    repeated = len(set(column.items)) < len(values)
    estimate = mean_interval(values, clusters=column.items if repeated else None)
    use = total_use(column.used)
    squares = math.fsum((value - estimate.mean) ** 2 for value in values)
    return ScoreStatistics(
        mean=estimate.mean,
        max=max(values, default=math.nan),
        min=min(values, default=math.nan),
        values=values,
        std=math.sqrt(squares / (len(values) - 1)) if len(values) > 1 else None,
        failed_count=column.failed,
        n=estimate.n,
        unscored_count=column.unscored,
        standard_error=_known(estimate.standard_error),
        interval_low=_known(estimate.low),
        interval_high=_known(estimate.high),
        method=estimate.method,
        higher_is_better=higher_is_better,
        model_calls=use.calls,
        total_tokens=use.total_tokens,
        cost_usd=use.cost_usd,
    )


def _known(number: float) -> float | None:
    return number if math.isfinite(number) else None
