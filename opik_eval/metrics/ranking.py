"""Agreement of an order with another."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from opik_eval.errors import MetricError
from opik_eval.metrics.arguments import require_value
from opik_eval.metrics.base import DataclassMetric, ScoreResult
from opik_eval.serialization import dumps, to_jsonable

# Items of one of these types are equal exactly if their JSON is.
_SIMPLE = ({str}, {int})


@dataclass
class SpearmanRanking(DataclassMetric):
    """Spearman's correlation of two rankings of the same items, mapped from -1..1 to 0..1.

    1 for the same order, 0 for the reverse, 0.5 for no relation; the correlation itself is
    ``metadata["rho"]``. Items may be of any JSON type and occur once. A ranking of one item agrees
    with itself.

    Source: Spearman 1904, "The Proof and Measurement of Association between Two Things".

    Example:
        >>> SpearmanRanking().score(output=["b", "a", "c"], reference=["a", "b", "c"]).value
        0.75
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    name: str = field(default="spearman_ranking_metric", kw_only=True)

    def score(
        self, output: Sequence[object], reference: Sequence[object], **_ignored: object
    ) -> ScoreResult:
        """Compare two rankings, best item first.

        Raises:
            MetricError: One of them is missing, no list, empty or has an item twice, or the items
                differ.
        """
        ours: Sequence[Hashable] = self._checked(output, "output")
        theirs: Sequence[Hashable] = self._checked(reference, "reference")
        if {*map(type, ours), *map(type, theirs)} not in _SIMPLE:
            ours, theirs = _as_json(ours), _as_json(theirs)
        places = dict(zip(theirs, range(len(theirs)), strict=True))
        items = set(ours)
        if not items or len(items) != len(ours):
            raise self._indistinct("output", is_empty=not items)
        if not places or len(places) != len(theirs):
            raise self._indistinct("reference", is_empty=not places)
        if items != places.keys():
            odd = sorted(_shown(item) for item in items ^ places.keys())
            raise MetricError(
                f"metric {self.name!r} got rankings of different items as 'output' and "
                f"'reference'; only in one of them: {', '.join(odd[:5])}",
                remedy="rank the same items in both",
            )
        count = len(ours)
        squares = 0
        for place, item in enumerate(ours):
            squares += (place - places[item]) ** 2
        rho = 1 - 6 * squares / (count * (count**2 - 1)) if count > 1 else 1.0
        return ScoreResult(self.name, (rho + 1) / 2, metadata={"rho": rho})

    def _checked(self, ranking: object, argument: str) -> Sequence[Hashable]:
        if isinstance(ranking, list):
            return ranking
        require_value(ranking, argument, metric=self.name)
        if not isinstance(ranking, Sequence) or isinstance(ranking, str | bytes):
            raise MetricError(
                f"metric {self.name!r} compares rankings, but {argument!r} is a "
                f"{type(ranking).__name__}",
                remedy="give a list of items, the best one first",
            )
        return ranking

    def _indistinct(self, argument: str, *, is_empty: bool) -> MetricError:
        problem = "is empty" if is_empty else "has an item twice"
        return MetricError(
            f"metric {self.name!r} cannot rank: {argument!r} {problem}",
            remedy="list each item once",
        )


def _as_json(ranking: Sequence[object]) -> list[bytes]:
    return [dumps(to_jsonable(item)) for item in ranking]


def _shown(item: Hashable) -> str:
    return item.decode() if isinstance(item, bytes) else str(dumps(item), "utf-8")


__all__ = ["SpearmanRanking"]
