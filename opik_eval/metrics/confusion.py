"""The confusion matrix and what is computed from it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

ClassMeasure = Literal["precision", "recall", "f1"]
Average = Literal["macro", "micro", "weighted"]


@dataclass(frozen=True)
class ConfusionMatrix:
    """How often each label was predicted for each expected one.

    A prediction of ``None`` is an abstention: wrong, without a class of its own.

    Attributes:
        labels: The classes that averages are over, sorted unless they were given.
        counts: Number of cases by (expected, predicted).

    Example:
        >>> matrix = ConfusionMatrix.of([("a", "a"), ("a", "b"), ("b", "b"), ("b", None)])
        >>> matrix.accuracy(), matrix.precision("b"), matrix.recall("b")
        (0.5, 0.5, 0.5)
    """

    labels: tuple[str, ...]
    counts: Mapping[tuple[str, str | None], int]

    @classmethod
    def of(
        cls, pairs: Iterable[tuple[str, str | None]], labels: Sequence[str] | None = None
    ) -> ConfusionMatrix:
        """Count pairs of expected and predicted labels.

        Args:
            pairs: At least one.
            labels: The classes; all labels that occur if absent.
        """
        counts = Counter(pairs)
        occurring = {label for pair in counts for label in pair if label is not None}
        return cls(tuple(sorted(occurring) if labels is None else dict.fromkeys(labels)), counts)

    def accuracy(self) -> float:
        """Return the share of right predictions."""
        return self._right() / self._total()

    def precision(self, label: str) -> float:
        """Return the share of right ones among the predictions of a class; 0 if there are none."""
        return _ratio(self.counts.get((label, label), 0), self.predicted(label))

    def recall(self, label: str) -> float:
        """Return the share of a class that was found; 0 if it was never expected."""
        return _ratio(self.counts.get((label, label), 0), self.expected(label))

    def f1(self, label: str) -> float:
        """Return the harmonic mean of precision and recall of a class."""
        hits = self.counts.get((label, label), 0)
        return _ratio(2 * hits, self.expected(label) + self.predicted(label))

    def expected(self, label: str) -> int:
        """Return how often a class was expected."""
        return sum(count for (truth, _), count in self.counts.items() if truth == label)

    def predicted(self, label: str | None) -> int:
        """Return how often a class was predicted; ``None`` counts abstentions."""
        return sum(count for (_, guess), count in self.counts.items() if guess == label)

    def of_class(self, measure: ClassMeasure, label: str) -> float:
        """Return a measure of one class."""
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1}[measure](label)

    def averaged(self, measure: ClassMeasure, average: Average) -> float | None:
        """Return the average of a measure over the classes; ``None`` if none of them occurs.

        Classes that occur neither among the expected nor among the predicted labels have nothing to
        measure and are left out.
        """
        expected = {label: self.expected(label) for label in self.labels}
        predicted = {label: self.predicted(label) for label in self.labels}
        occurring = [label for label in self.labels if expected[label] or predicted[label]]
        if not occurring:
            return None
        if average == "micro":
            hits = sum(self.counts.get((label, label), 0) for label in occurring)
            truths, guesses = sum(expected.values()), sum(predicted.values())
            of = {"precision": guesses, "recall": truths, "f1": (truths + guesses) / 2}
            return _ratio(hits, of[measure])
        weights = expected if average == "weighted" else dict.fromkeys(occurring, 1)
        total = math.fsum(weights[label] * self.of_class(measure, label) for label in occurring)
        return _ratio(total, sum(weights.values()))

    def mcc(self) -> float | None:
        """Return Matthews' correlation coefficient, -1 to 1; abstentions count as one more class.

        ``None`` if only one class was expected, or only one predicted: a correlation with a
        constant does not exist.

        Source: Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation
        coefficient".
        """
        total, right = self._total(), self._right()
        truths, guesses = self._margins()
        chance = sum(count * guesses[label] for label, count in truths.items())
        spread = (total**2 - sum(n**2 for n in truths.values())) * (
            total**2 - sum(n**2 for n in guesses.values())
        )
        return None if spread == 0 else (right * total - chance) / math.sqrt(spread)

    def kappa(self) -> float | None:
        """Return Cohen's kappa, agreement beyond chance, up to 1; abstentions are one more class.

        ``None`` if chance alone agrees fully, that is if only one class occurs.

        Source: Cohen 1960, "A coefficient of agreement for nominal scales".
        """
        total, right = self._total(), self._right()
        truths, guesses = self._margins()
        chance = sum(count * guesses[label] for label, count in truths.items())
        if chance == total**2:
            return None
        return (right * total - chance) / (total**2 - chance)

    def as_table(self) -> dict[str, object]:
        """Return the matrix as JSON types; the last column, ``None``, holds abstentions if any."""
        occurring = {label for pair in self.counts for label in pair if label is not None}
        rows = [*self.labels, *sorted(occurring - set(self.labels))]
        columns: list[str | None] = [*rows, *([None] if self.predicted(None) else [])]
        return {
            "labels": rows,
            "columns": columns,
            "counts": [[self.counts.get((row, column), 0) for column in columns] for row in rows],
        }

    def _total(self) -> int:
        return sum(self.counts.values())

    def _right(self) -> int:
        return sum(count for (truth, guess), count in self.counts.items() if truth == guess)

    def _margins(self) -> tuple[Counter[str | None], Counter[str | None]]:
        truths: Counter[str | None] = Counter()
        guesses: Counter[str | None] = Counter()
        for (truth, guess), count in self.counts.items():
            truths[truth] += count
            guesses[guess] += count
        return truths, guesses


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


__all__ = ["Average", "ClassMeasure", "ConfusionMatrix"]
