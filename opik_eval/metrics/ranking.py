"""Agreement of an order with another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from opik_eval.errors import MetricError
from opik_eval.metrics.arguments import require_value
from opik_eval.metrics.base import DataclassMetric, ScoreResult
from opik_eval.serialization import dumps, to_jsonable


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
        ours = self._places(output, "output")
        theirs = self._places(reference, "reference")
        if ours.keys() != theirs.keys():
            odd = sorted(str(key, "utf-8") for key in ours.keys() ^ theirs.keys())
            raise MetricError(
                f"metric {self.name!r} got rankings of different items as 'output' and "
                f"'reference'; only in one of them: {', '.join(odd[:5])}",
                remedy="rank the same items in both",
            )
        count = len(ours)
        squares = sum((place - theirs[item]) ** 2 for item, place in ours.items())
        rho = 1 - 6 * squares / (count * (count**2 - 1)) if count > 1 else 1.0
        return ScoreResult(self.name, (rho + 1) / 2, metadata={"rho": rho})

    def _places(self, ranking: object, argument: str) -> dict[bytes, int]:
        require_value(ranking, argument, metric=self.name)
        if not isinstance(ranking, Sequence) or isinstance(ranking, str | bytes):
            raise MetricError(
                f"metric {self.name!r} compares rankings, but {argument!r} is a "
                f"{type(ranking).__name__}",
                remedy="give a list of items, the best one first",
            )
        places = {dumps(to_jsonable(item)): place for place, item in enumerate(ranking)}
        if not places or len(places) != len(ranking):
            problem = "has an item twice" if places else "is empty"
            raise MetricError(
                f"metric {self.name!r} cannot rank: {argument!r} {problem}",
                remedy="list each item once",
            )
        return places


__all__ = ["SpearmanRanking"]
