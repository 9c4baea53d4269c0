"""Quality of a ranked list of retrieved documents, from ids alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from opik_eval.errors import MetricError
from opik_eval.metrics.arguments import require_choice, require_value
from opik_eval.metrics.base import DataclassMetric, ScoreResult

Id = str | int
Relevant = Sequence[Id] | Set[Id] | Mapping[Id, float]


class Ranking(NamedTuple):
    """A ranking and what it is measured by.

    Attributes:
        gains: Grades of what was retrieved, best first; 0 for what is not relevant.
        grades: Grades of all documents that have one.
    """

    gains: Sequence[float]
    grades: Sequence[float]

    @property
    def relevant(self) -> int:
        """Number of relevant documents."""
        return sum(grade > 0 for grade in self.grades)


def precision_at_k(gains: Sequence[float], k: int | None = None) -> float:
    """Return the share of relevant documents among the first ``k``.

    Args:
        gains: Relevance of what was retrieved, in order; above 0 is relevant.
        k: Ranks to look at; places left empty count as misses. All that were retrieved if absent.

    Example:
        >>> precision_at_k([1, 0, 1], 2), precision_at_k([1], 4)
        (0.5, 0.25)
    """
    ranks = len(gains) if k is None else k
    return sum(gain > 0 for gain in gains[:ranks]) / ranks if ranks else 0.0


def recall_at_k(gains: Sequence[float], relevant: int, k: int | None = None) -> float:
    """Return the share of the ``relevant`` documents that are among the first ``k``.

    Example:
        >>> recall_at_k([1, 0, 1], relevant=4, k=3)
        0.5
    """
    return sum(gain > 0 for gain in gains[:k]) / relevant


def reciprocal_rank(gains: Sequence[float], k: int | None = None) -> float:
    """Return 1 / rank of the first relevant document, 0 if there is none among the first ``k``.

    Example:
        >>> reciprocal_rank([0, 1, 1])
        0.5
    """
    return next((1 / rank for rank, gain in enumerate(gains[:k], 1) if gain > 0), 0.0)


def average_precision(gains: Sequence[float], relevant: int, k: int | None = None) -> float:
    """Return the mean, over all ``relevant`` documents, of the precision at their ranks.

    Those not among the first ``k`` contribute 0.

    Source: trec_eval's ``map`` and ``map_cut``.

    Example:
        >>> average_precision([1, 0, 1], relevant=2)
        0.8333333333333333
    """
    hits, total = 0, 0.0
    for rank, gain in enumerate(gains[:k], 1):
        if gain > 0:
            hits += 1
            total += hits / rank
    return total / relevant


def dcg(gains: Sequence[float], k: int | None = None) -> float:
    """Return the discounted cumulative gain: the sum of gain / log2(rank + 1).

    Source: Järvelin & Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques".

    Example:
        >>> dcg([3, 0, 1])
        3.5
    """
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains[:k], 1))


def ndcg(gains: Sequence[float], ideal: Sequence[float], k: int | None = None) -> float:
    """Return the discounted cumulative gain as a share of the best possible one.

    Args:
        gains: Gains of what was retrieved, in order.
        ideal: Gains of all relevant documents, in any order; at least one above 0.
        k: Ranks to look at.

    Example:
        >>> ndcg([1, 3], ideal=[3, 1])
        0.7967075809905066
    """
    return min(1.0, dcg(gains, k) / dcg(sorted(ideal, reverse=True), k))


@dataclass
class RetrievalMetric(DataclassMetric):
    """Base of the metrics of a ranking.

    ``retrieved`` is a list of document ids, best first. ``relevant`` is a list or a set of ids, or
    a dict from id to grade, where 0 is not relevant. Ids are texts or integers; 1 is "1", because
    keys of JSON objects are texts. An id that is retrieved again is no second hit but keeps its
    rank. An item without any relevant document cannot be scored; its score is unscored, not 0.

    Args:
        k: Ranks to look at; all if absent.
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    stem: ClassVar[str] = ""

    k: int | None = None

    def __post_init__(self) -> None:
        if self.k is not None and (type(self.k) is not int or self.k < 1):
            raise MetricError(
                f"metric {self.name or self.stem!r}: k is {self.k}",
                remedy="give the number of ranks to look at, 1 or more",
            )
        self.name = self.name or (self.stem if self.k is None else f"{self.stem}_at_{self.k}")

    def score(self, retrieved: Sequence[Id], relevant: Relevant, **_ignored: object) -> ScoreResult:
        """Score the ranking ``retrieved`` by the documents that are ``relevant``.

        Raises:
            MetricError: An argument is missing or holds something else than ids.
        """
        ranking = self._ids(retrieved, "retrieved")
        grades = self._grades(relevant)
        if not any(grades.values()):
            return ScoreResult(self.name, None, reason="the item has no relevant document")
        seen: set[str] = set()
        gains: list[float] = []
        for document in ranking:
            gains.append(0.0 if document in seen else grades.get(document, 0.0))
            seen.add(document)
        return ScoreResult(self.name, self.value(Ranking(gains, list(grades.values()))))

    def value(self, ranking: Ranking) -> float:
        """Return the score of a ranking."""
        raise NotImplementedError

    def _grades(self, relevant: object) -> dict[str, float]:
        if not isinstance(relevant, Mapping):
            return dict.fromkeys(self._ids(relevant, "relevant"), 1.0)
        ids = self._ids(list(relevant), "relevant")
        for document, grade in zip(ids, relevant.values(), strict=True):
            if not isinstance(grade, int | float) or not 0 <= grade < math.inf:
                raise MetricError(
                    f"metric {self.name!r}: 'relevant' grades {document!r} with {grade!r}",
                    remedy="give grades of 0 or more",
                )
        return dict(zip(ids, map(float, relevant.values()), strict=True))

    def _ids(self, value: object, argument: str) -> list[str]:
        require_value(value, argument, metric=self.name)
        is_list = isinstance(value, Sequence | Set) and not isinstance(value, str | bytes)
        ids = list(value) if is_list else [value]  # type: ignore[call-overload]
        if not is_list or not all(isinstance(each, str | int) for each in ids):
            wrong = value if not is_list else next(i for i in ids if not isinstance(i, str | int))
            raise MetricError(
                f"metric {self.name!r} takes a list of ids as {argument!r}, got {wrong!r:.80}",
                remedy="give texts or integers, for example scoring_key_mapping="
                f"{{{argument!r}: lambda x: [d['id'] for d in x['documents']]}}",
            )
        return list(map(str, ids))


@dataclass
class PrecisionAtK(RetrievalMetric):
    """Share of relevant documents among the first k, 0 to 1; empty places count as misses.

    Args:
        k: Ranks to look at; all that were retrieved if absent.

    Example:
        >>> PrecisionAtK(k=2).score(retrieved=["a", "b", "c"], relevant=["a", "c"]).value
        0.5
    """

    stem: ClassVar[str] = "precision"

    def value(self, ranking: Ranking) -> float:
        """Return the score of a ranking."""
        return precision_at_k(ranking.gains, self.k)


@dataclass
class RecallAtK(RetrievalMetric):
    """Share of the relevant documents that are among the first k, 0 to 1.

    Args:
        k: Ranks to look at; all if absent.

    Example:
        >>> RecallAtK(k=2).score(retrieved=["a", "b", "c"], relevant=["a", "c"]).value
        0.5
    """

    stem: ClassVar[str] = "recall"

    def value(self, ranking: Ranking) -> float:
        """Return the score of a ranking."""
        return recall_at_k(ranking.gains, ranking.relevant, self.k)


@dataclass
class ReciprocalRank(RetrievalMetric):
    """1 / rank of the first relevant document, 0 without one; the mean over items is the MRR.

    Args:
        k: Ranks to look at; all if absent.

    Example:
        >>> ReciprocalRank().score(retrieved=["x", "b", "c"], relevant={"b", "c"}).value
        0.5
    """

    stem: ClassVar[str] = "reciprocal_rank"

    def value(self, ranking: Ranking) -> float:
        """Return the score of a ranking."""
        return reciprocal_rank(ranking.gains, self.k)


@dataclass
class AveragePrecision(RetrievalMetric):
    """Mean precision at the ranks of the relevant documents, 0 to 1; over items it is the MAP.

    Relevant documents that are not among the first k contribute 0.

    Source: trec_eval's ``map`` and ``map_cut``.

    Args:
        k: Ranks to look at; all if absent.

    Example:
        >>> round(AveragePrecision().score(retrieved=["a", "b", "c"], relevant=["a", "c"]).value, 4)
        0.8333
    """

    stem: ClassVar[str] = "average_precision"

    def value(self, ranking: Ranking) -> float:
        """Return the score of a ranking."""
        return average_precision(ranking.gains, ranking.relevant, self.k)


@dataclass
class NDCG(RetrievalMetric):
    """Normalised discounted cumulative gain of a ranking, 0 to 1; takes grades of relevance.

    Source: Järvelin & Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques"; the
    exponential gain is that of Burges et al. 2005.

    Args:
        k: Ranks to look at; all if absent.
        gain: ``linear``: a document's gain is its grade; ``exponential``: 2 ** grade - 1.

    Raises:
        MetricError: There is no such gain.

    Example:
        >>> round(NDCG().score(retrieved=["b", "a"], relevant={"a": 3, "b": 1}).value, 4)
        0.7967
    """

    stem: ClassVar[str] = "ndcg"

    gain: Literal["linear", "exponential"] = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice(self.gain, "gain", ("linear", "exponential"), metric=self.name)

    def value(self, ranking: Ranking) -> float:
        """Return the score of a ranking."""
        if self.gain == "exponential":
            ranking = Ranking(*([2.0**grade - 1 for grade in grades] for grades in ranking))
        return ndcg(ranking.gains, ranking.grades, self.k)


__all__ = [
    "NDCG",
    "AveragePrecision",
    "PrecisionAtK",
    "RecallAtK",
    "ReciprocalRank",
    "average_precision",
    "dcg",
    "ndcg",
    "precision_at_k",
    "recall_at_k",
    "reciprocal_rank",
]
