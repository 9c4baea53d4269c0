"""Similarity of texts by the edits between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import ClassVar, Literal, cast

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
        one = self._fold(require_text(output, "output", metric=self.name))
        other = self._fold(require_text(reference, "reference", metric=self.name))
        return ScoreResult(self.name, float(_similarity(self.edits)(one, other)))

    def _fold(self, text: str) -> str:
        return fold(text, case_sensitive=self.case_sensitive)


@cache
def _similarity(edits: Literal["indel", "levenshtein"]) -> Callable[[str, str], float]:
    from rapidfuzz.distance import Indel, Levenshtein

    kind = Indel if edits == "indel" else Levenshtein
    return cast("Callable[[str, str], float]", kind.normalized_similarity)


__all__ = ["LevenshteinRatio"]
