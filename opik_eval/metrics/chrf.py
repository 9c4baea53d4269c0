"""Runs of characters that an output shares with its references: chrF and chrF++."""

from __future__ import annotations

import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from opik_eval.errors import MetricError
from opik_eval.metrics.arguments import require_text, require_texts
from opik_eval.metrics.base import DataclassMetric, ScoreResult
from opik_eval.metrics.words import common_count, ngrams

_Runs = list[Mapping[Any, int]]  # a text or a tuple of texts


@dataclass
class ChrF(DataclassMetric):
    """Similarity by runs of 1 to 6 characters, 0 to 1; the best of the references.

    Good for short and inflected texts and for scripts without spaces. Equals sacrebleu's chrF
    divided by 100, on texts in Unicode NFC. Runs longer than a text do not count, so that equal
    texts score 1 however short they are, and ``word_order`` counts words too. Two empty texts are
    equal.

    Args:
        beta: How much more recall counts than precision.
        ignore_whitespace: Leave spaces out of the runs.
        char_order: Longest run of characters; 0 for words only.
        word_order: Longest run of words; 2 gives chrF++.
        lowercase: Compare in lower case.
        chrf_fn: A function of the output and its references to use instead.

    Raises:
        MetricError: There is nothing to compare, or ``beta`` is not positive.

    Source: Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation"; Popović
        2017, "chrF++: words helping character n-grams".

    Example:
        >>> ChrF().score(output="hello", reference="hello").value
        1.0
        >>> round(ChrF(word_order=2).score(output="the cats", reference="the cat").value, 4)
        0.763
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    beta: float = 2.0
    ignore_whitespace: bool = True
    char_order: int = 6
    word_order: int = 0
    lowercase: bool = False
    chrf_fn: Callable[[str, Sequence[str]], float] | None = None
    name: str = field(default="chrf_metric", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        orders = (self.char_order, self.word_order)
        if min(orders) < 0 or max(orders) == 0 or not self.beta > 0:
            raise MetricError(
                f"metric {self.name!r} got char_order={self.char_order!r}, "
                f"word_order={self.word_order!r}, beta={self.beta!r}",
                remedy="give orders of 0 or more, one of them positive, and a positive beta",
            )

    def score(self, output: str, reference: str | Sequence[str], **_ignored: object) -> ScoreResult:
        """Compare ``output`` with one reference or several.

        Raises:
            MetricError: An argument is missing or no text.
        """
        answer = self._prepared(require_text(output, "output", metric=self.name))
        texts = require_texts(reference, "reference", metric=self.name)
        truths = [self._prepared(text) for text in texts]
        if self.chrf_fn is not None:
            return ScoreResult(self.name, float(self.chrf_fn(answer, truths)))
        runs = self._runs(answer)
        return ScoreResult(self.name, max(self._f_score(runs, self._runs(t)) for t in truths))

    def _prepared(self, text: str) -> str:
        normal = unicodedata.normalize("NFC", text)
        return normal.lower() if self.lowercase else normal

    def _runs(self, text: str) -> _Runs:
        characters = "".join(text.split()) if self.ignore_whitespace else text
        length = len(characters)
        runs: _Runs = [
            Counter([characters[start : start + size] for start in range(length + 1 - size)])
            for size in range(1, self.char_order + 1)
        ]
        words = [part for word in text.split() for part in _cut_punctuation(word)]
        return runs + [ngrams(words, size) for size in range(1, self.word_order + 1)]

    def _f_score(self, answer: _Runs, truth: _Runs) -> float:
        precision = recall = 0.0
        orders = 0
        for ours, theirs in zip(answer, truth, strict=True):
            if ours and theirs:
                common = common_count(ours, theirs)
                precision += common / sum(ours.values())
                recall += common / sum(theirs.values())
                orders += 1
        if precision == 0:
            return float(not any(answer) and not any(truth))
        precision, recall, weight = precision / orders, recall / orders, self.beta**2
        return (1 + weight) * precision * recall / (weight * precision + recall)


def _cut_punctuation(word: str) -> Sequence[str]:
    if len(word) > 1 and word[-1] in string.punctuation:
        return word[:-1], word[-1]
    if len(word) > 1 and word[0] in string.punctuation:
        return word[0], word[1:]
    return (word,)


__all__ = ["ChrF"]
