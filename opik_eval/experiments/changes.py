"""Which items got worse, and which better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from opik_eval.experiments.pairing import ItemRuns

TASK_ERRORS = "task errors"
"""Stands in the place of a metric for the share of trials whose task raised."""

Pair = tuple[ItemRuns, ItemRuns]


@dataclass(frozen=True, slots=True)
class ItemChange:
    """One metric on one item that differs between the runs.

    Attributes:
        metric: The metric, or ``task errors``.
        before: Value in A, averaged over trials.
        after: Value in B.
        drop: How much worse B is, in units of the metric's spread; negative where B is better.
        flipped: The item went from right to wrong or back: it crossed 0.5 on a metric whose values
            lie in 0 .. 1.
        item_a: The item's trials in A.
        item_b: The item's trials in B.
    """

    metric: str
    before: float
    after: float
    drop: float
    flipped: bool
    item_a: ItemRuns = field(repr=False)
    item_b: ItemRuns = field(repr=False)

    @property
    def dataset_item_id(self) -> str:
        """The item, by its id in A."""
        return self.item_a.item_id


def changes_between(
    pairs: Sequence[Pair], directions: Mapping[str, bool | None]
) -> tuple[tuple[ItemChange, ...], tuple[ItemChange, ...]]:
    """Return the changes for the worse and for the better.

    New task errors (and errors that are gone) come first, then flips, then the largest changes;
    equal ones keep the order of the items.

    Args:
        pairs: Items of both runs.
        directions: Metrics to look at, and whether higher is better; without direction no change
            is for the worse or the better.
    """
    changes = [
        change
        for metric, higher_is_better in directions.items()
        if higher_is_better is not None
        for change in _changes_of(metric, higher_is_better, pairs)
    ]
    changes.extend(_error_changes(pairs))
    changes.sort(key=lambda c: (c.metric != TASK_ERRORS, not c.flipped, -abs(c.drop)))
    return tuple(c for c in changes if c.drop > 0), tuple(c for c in changes if c.drop < 0)


def _changes_of(metric: str, higher_is_better: bool, pairs: Sequence[Pair]) -> Iterator[ItemChange]:
    both = [
        (pair, pair[0].values[metric], pair[1].values[metric])
        for pair in pairs
        if metric in pair[0].values and metric in pair[1].values
    ]
    if not both:
        return
    lowest = min(min(before, after) for _, before, after in both)
    highest = max(max(before, after) for _, before, after in both)
    is_share = lowest >= 0 and highest <= 1
    scale = (-1 if higher_is_better else 1) / ((highest - lowest) or 1)
    for (item_a, item_b), before, after in both:
        if before != after:
            flipped = is_share and (before >= 0.5) != (after >= 0.5)
            drop = (after - before) * scale
            yield ItemChange(metric, before, after, drop, flipped, item_a, item_b)


def _error_changes(pairs: Sequence[Pair]) -> Iterator[ItemChange]:
    for item_a, item_b in pairs:
        before, after = item_a.error_share, item_b.error_share
        if before != after:
            flipped = (before >= 0.5) != (after >= 0.5)
            yield ItemChange(TASK_ERRORS, before, after, after - before, flipped, item_a, item_b)
