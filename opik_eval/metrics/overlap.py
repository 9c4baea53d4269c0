"""Overlap of the words of two answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

from opik_eval.metrics.arguments import require_choice, require_text, require_texts
from opik_eval.metrics.base import DataclassMetric, ScoreResult
from opik_eval.metrics.text import squad_normalise


class Overlap(NamedTuple):
    """Word overlap of an answer with a reference, each 0 to 1."""

    precision: float
    recall: float
    f1: float


def token_overlap(output: str, reference: str) -> Overlap:
    """Return the overlap of two texts as multisets of SQuAD-normalised words.

    Two texts without words overlap fully, one without words not at all.

    Example:
        >>> token_overlap("a big red dog", "the red dog").recall
        1.0
    """
    answer = squad_normalise(output).split()
    truth = squad_normalise(reference).split()
    if not answer or not truth:
        both_empty = float(answer == truth)
        return Overlap(both_empty, both_empty, both_empty)
    common = (Counter(answer) & Counter(truth)).total()
    precision, recall = common / len(answer), common / len(truth)
    f1 = 2 * common / (len(answer) + len(truth))
    return Overlap(precision, recall, f1)


@dataclass
class TokenF1(DataclassMetric):
    """Share of words that output and reference have in common, 0 to 1; the best of the references.

    Args:
        measure: ``f1`` (SQuAD's), ``recall`` (how much of the reference is said; for chat answers,
            which are longer than the reference) or ``precision``.

    Raises:
        MetricError: There is no such measure.

    Source: Rajpurkar et al. 2016, the SQuAD evaluation script.

    Example:
        >>> TokenF1().score(output="in the year 1912", reference="1912").value
        0.5
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    measure: Literal["f1", "recall", "precision"] = "f1"
    name: str = field(default="token_f1_metric", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice(self.measure, "measure", ("f1", "recall", "precision"), metric=self.name)

    def score(self, output: str, reference: str | Sequence[str], **_ignored: object) -> ScoreResult:
        """Compare the words of ``output`` with those of each reference.

        Raises:
            MetricError: An argument is missing or no text.
        """
        answer = require_text(output, "output", metric=self.name)
        references = require_texts(reference, "reference", metric=self.name)
        best = max(
            (token_overlap(answer, text) for text in references),
            key=lambda overlap: float(getattr(overlap, self.measure)),
        )
        return ScoreResult(
            self.name, float(getattr(best, self.measure)), metadata=dict(best._asdict())
        )


__all__ = ["Overlap", "TokenF1", "token_overlap"]
