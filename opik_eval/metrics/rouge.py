"""Overlap of an output with a summary: ROUGE."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

from opik_eval.errors import MetricError
from opik_eval.metrics.arguments import require_text, require_texts
from opik_eval.metrics.base import DataclassMetric, ScoreResult
from opik_eval.metrics.porter import stem
from opik_eval.metrics.words import Tokenizer, common_count, ngrams, words

_TYPE = re.compile(r"rouge(?:(?P<size>[1-9])|L|Lsum)")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n")


@runtime_checkable
class TokenizerObject(Protocol):
    """A tokenizer as the package rouge-score takes it."""

    def tokenize(self, text: str) -> Sequence[str]:
        """Cut a text into words."""
        ...


class RougeScore(NamedTuple):
    """ROUGE of an output with one reference, each 0 to 1."""

    precision: float
    recall: float
    fmeasure: float


@dataclass
class ROUGE(DataclassMetric):
    """Share of words, runs of words or longest common subsequence shared with a summary, 0 to 1.

    The score is the F-measure with the best of the references; precision and recall are in the
    metadata. Equals the package rouge-score on ASCII texts; unlike it, and so unlike Opik, words of
    all scripts count. Two texts without words are equal.

    Args:
        rouge_type: ``rouge1`` to ``rouge9`` (runs of so many words), ``rougeL`` (longest common
            subsequence) or ``rougeLsum`` (the same sentence by sentence).
        use_stemmer: Compare English words of more than three letters by their Porter stems.
        split_summaries: For ``rougeLsum``: sentences end at a full stop, question or exclamation
            mark and not at line breaks alone. The rule is built in; rouge-score needs data here.
        tokenizer: A function, or an object with ``tokenize``, to use instead of the built-in one;
            it does its own stemming.

    Raises:
        MetricError: There is no such type.

    Source: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries".

    Example:
        >>> metric = ROUGE(rouge_type="rougeL")
        >>> round(metric.score(output="the cat sat", reference="the black cat").value, 4)
        0.6667
        >>> ROUGE().score(output="東京タワー", reference="東京").value > 0
        True
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    rouge_type: str = "rouge1"
    use_stemmer: bool = False
    split_summaries: bool = False
    tokenizer: Tokenizer | TokenizerObject | None = None
    name: str = field(default="rouge_metric", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _TYPE.fullmatch(self.rouge_type):
            raise MetricError(
                f"metric {self.name!r} has no rouge_type={self.rouge_type!r}",
                remedy="choose 'rouge1' to 'rouge9', 'rougeL' or 'rougeLsum'",
            )

    def score(self, output: str, reference: str | Sequence[str], **_ignored: object) -> ScoreResult:
        """Compare ``output`` with one reference or several.

        Raises:
            MetricError: An argument is missing or no text.
        """
        text = require_text(output, "output", metric=self.name)
        references = require_texts(reference, "reference", metric=self.name)
        compare = self._summary if self.rouge_type == "rougeLsum" else self._sequence
        best = max((compare(text, truth) for truth in references), key=lambda rouge: rouge.fmeasure)
        return ScoreResult(self.name, best.fmeasure, metadata=dict(best._asdict()))

    def _tokens(self, text: str) -> Sequence[str]:
        if self.tokenizer is not None:
            return _cut(self.tokenizer)(text)
        tokens = words(text)
        return [stem(t) if len(t) > 3 else t for t in tokens] if self.use_stemmer else tokens

    def _sequence(self, output: str, reference: str) -> RougeScore:
        answer, truth = self._tokens(output), self._tokens(reference)
        if not answer and not truth:
            return RougeScore(1.0, 1.0, 1.0)
        if self.rouge_type == "rougeL":
            from rapidfuzz.distance import LCSseq

            return _rouge(LCSseq.similarity(answer, truth), len(answer), len(truth))
        size = int(self.rouge_type.removeprefix("rouge"))
        ours, theirs = ngrams(answer, size), ngrams(truth, size)
        if answer == truth:  # equal, and perhaps too short for a run of that size
            return RougeScore(1.0, 1.0, 1.0)
        return _rouge(common_count(ours, theirs), ours.total(), theirs.total())

    def _summary(self, output: str, reference: str) -> RougeScore:
        answer, truth = self._sentences(output), self._sentences(reference)
        left = Counter(token for sentence in answer for token in sentence)
        needed = Counter(token for sentence in truth for token in sentence)
        if not left and not needed:
            return RougeScore(1.0, 1.0, 1.0)
        answer_length, truth_length, hits = left.total(), needed.total(), 0
        for sentence in truth:
            for position in sorted(set().union(*(_common(sentence, other) for other in answer))):
                token = sentence[position]
                if left[token] > 0 and needed[token] > 0:
                    left[token] -= 1
                    needed[token] -= 1
                    hits += 1
        return _rouge(hits, answer_length, truth_length)

    def _sentences(self, text: str) -> list[Sequence[str]]:
        parts = _SENTENCE_END.split(text) if self.split_summaries else text.split("\n")
        return [self._tokens(part) for part in parts]


def _rouge(hits: int, answer_length: int, truth_length: int) -> RougeScore:
    if not hits:
        return RougeScore(0.0, 0.0, 0.0)
    precision, recall = hits / answer_length, hits / truth_length
    return RougeScore(precision, recall, 2 * precision * recall / (precision + recall))


def _common(truth: Sequence[str], answer: Sequence[str]) -> set[int]:
    """Return the positions in ``truth`` of a longest common subsequence.

    The table of lengths is kept as one integer per row: bit ``j`` is 0 where column ``j + 1`` is
    longer than column ``j`` (Hyyrö 2004, "Bit-parallel LCS-length computation revisited"). Of
    several subsequences it returns the one that rouge-score finds.
    """
    everywhere = (1 << len(answer)) - 1
    places: dict[str, int] = {}
    for column, token in enumerate(answer):
        places[token] = places.get(token, 0) | 1 << column
    rows = [everywhere]
    for token in truth:
        row = rows[-1]
        hits = row & places.get(token, 0)
        rows.append(((row + hits) | (row - hits)) & everywhere)

    def length(row: int, column: int) -> int:
        return column - (rows[row] & ((1 << column) - 1)).bit_count()

    found: set[int] = set()
    row, column = len(truth), len(answer)
    while row and column:
        if truth[row - 1] == answer[column - 1]:
            row, column = row - 1, column - 1
            found.add(row)
        elif length(row, column - 1) > length(row - 1, column):
            column -= 1
        else:
            row -= 1
    return found


def _cut(tokenizer: Tokenizer | TokenizerObject) -> Callable[[str], Sequence[str]]:
    return tokenizer.tokenize if isinstance(tokenizer, TokenizerObject) else tokenizer


__all__ = ["ROUGE", "RougeScore", "TokenizerObject"]
