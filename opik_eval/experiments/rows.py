"""The rows of a comparison: one paired test per column, adjusted for their number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from opik_eval.experiments.changes import TASK_ERRORS, Pair
from opik_eval.experiments.pairing import ItemRuns
from opik_eval.statistics.paired import (
    PairedComparison,
    Verdict,
    compare_paired,
    holm,
    verdict_on,
)


@dataclass(frozen=True, slots=True)
class MetricComparison:
    """One metric, or one share of missing results, in both runs.

    Attributes:
        metric: Its name.
        paired: The comparison over items that have a value in both runs.
        p_adjusted: p-value adjusted by Holm's method for the number of rows compared.
        verdict: The verdict at the adjusted p-value.
        higher_is_better: Direction; ``None`` where neither end is better.
        incomplete: Paired items that lack a value in one run or in both.
    """

    metric: str
    paired: PairedComparison
    p_adjusted: float
    verdict: Verdict
    higher_is_better: bool | None
    incomplete: int


@dataclass(frozen=True, slots=True)
class Level:
    """How sure to be: coverage of the intervals and level of the verdicts."""

    confidence: float
    alpha: float


@dataclass(frozen=True, slots=True)
class Column:
    """A number that every item has, or lacks."""

    name: str
    value_of: Callable[[ItemRuns], float | None]
    higher_is_better: bool | None


def value_column(metric: str, higher_is_better: bool | None) -> Column:
    """Return the mean of a metric over an item's trials."""
    return Column(metric, lambda item: item.values.get(metric), higher_is_better)


def missing_column(metric: str) -> Column:
    """Return the share of a metric's results that have no value."""
    return Column(
        f"{metric}: no value", lambda item: item.missing.get(metric), higher_is_better=False
    )


def error_column() -> Column:
    """Return the share of an item's trials whose task raised."""
    return Column(TASK_ERRORS, lambda item: item.error_share, higher_is_better=False)


def compared_rows(
    pairs: Sequence[Pair], columns: Sequence[Column], level: Level, *, skip_zeros: bool = False
) -> dict[str, MetricComparison]:
    """Test every column, then adjust the p-values for their number.

    Args:
        pairs: Items of both runs.
        columns: What to compare.
        level: How sure to be.
        skip_zeros: Leave out columns that are 0 for all items of both runs.
    """
    compared = [(column, _paired(pairs, column, level)) for column in columns]
    if skip_zeros:
        compared = [(c, p) for c, p in compared if p.mean_a > 0 or p.mean_b > 0]
    # A test without a single informative pair cannot give a false alarm, so it costs nothing.
    tested = [column.name for column, paired in compared if paired.informative]
    p_values = [paired.p_value for _, paired in compared if paired.informative]
    adjusted = dict(zip(tested, holm(p_values), strict=True))
    return {
        column.name: MetricComparison(
            metric=column.name,
            paired=paired,
            p_adjusted=adjusted.get(column.name, 1.0),
            verdict=verdict_on(
                paired.difference,
                adjusted.get(column.name, 1.0),
                units=paired.n,
                informative=paired.informative,
                higher_is_better=column.higher_is_better,
                alpha=level.alpha,
            ),
            higher_is_better=column.higher_is_better,
            incomplete=len(pairs) - paired.n,
        )
        for column, paired in compared
    }


def _paired(pairs: Sequence[Pair], column: Column, level: Level) -> PairedComparison:
    a: list[float] = []
    b: list[float] = []
    for item_a, item_b in pairs:
        before, after = column.value_of(item_a), column.value_of(item_b)
        if before is not None and after is not None:
            a.append(before)
            b.append(after)
    return compare_paired(
        a,
        b,
        higher_is_better=column.higher_is_better,
        confidence=level.confidence,
        alpha=level.alpha,
    )
