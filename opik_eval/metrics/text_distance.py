"""Similarity of texts by the edits between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from opik_eval.metrics.arguments import require_choice, require_text
from opik_eval.metrics.base import DataclassMetric, ScoreResult
from opik_eval.metrics.text import fold


@dataclass
class LevenshteinRatio(DataclassMetric):
    """Similarity of two texts, 1 for equal ones down to 0 for texts with nothing in common.

    ``indel``, the default and Opik's definition, allows inserting and deleting only:
    1 - edits / (length of one + length of the other). ``levenshtein`` also allows replacing a
    character: 1 - edits / length of the longer. Lengths count Unicode characters after NFC; two
    empty texts are equal.

    Args:
        case_sensitive: Tell upper from lower case.
        edits: Which edits count.

    Raises:
        MetricError: There is no such kind of edits.

    Example:
        >>> round(LevenshteinRatio().score(output="kitten", reference="sitting").value, 4)
        0.6154
        >>> round(LevenshteinRatio(edits="levenshtein").score("kitten", "sitting").value, 4)
        0.5714
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    case_sensitive: bool = False
    edits: Literal["indel", "levenshtein"] = "indel"
    name: str = field(default="levenshtein_ratio_metric", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice(self.edits, "edits", ("indel", "levenshtein"), metric=self.name)

    def score(self, output: str, reference: str, **_ignored: object) -> ScoreResult:
        """Compare ``output`` with ``reference``.

        Raises:
            MetricError: One of them is missing or no text.
        """
        from rapidfuzz.distance import Indel, Levenshtein

        one, other = (
            fold(
                require_text(value, argument, metric=self.name), case_sensitive=self.case_sensitive
            )
            for argument, value in (("output", output), ("reference", reference))
        )
        distance = Indel if self.edits == "indel" else Levenshtein
        return ScoreResult(self.name, float(distance.normalized_similarity(one, other)))


__all__ = ["LevenshteinRatio"]
