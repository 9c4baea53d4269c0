"""Distance between the word frequencies of two texts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from opik_eval.errors import MetricError
from opik_eval.metrics.arguments import require_choice, require_text
from opik_eval.metrics.base import DataclassMetric, ScoreResult
from opik_eval.metrics.words import Tokenizer, lowercase_split

_Frequencies = Mapping[str | None, int]


@dataclass
class _Distribution(DataclassMetric):
    def _counts(self, value: object, argument: str, tokenizer: Tokenizer | None) -> _Frequencies:
        text = require_text(value, argument, metric=self.name)
        counts: Counter[str | None] = Counter((tokenizer or lowercase_split)(text))
        # A text without words is a distribution too: all of it is the end of the text, which
        # equals another such text and shares nothing with any other.
        return counts or {None: 1}


@dataclass
class _JensenShannon(_Distribution):
    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    tokenizer: Tokenizer | None = None
    base: float = 2.0
    normalize: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.base >= 2:
            raise MetricError(
                f"metric {self.name!r} got base={self.base!r}",
                remedy="give a base of 2 or more; only with those does the divergence end at 1",
            )

    def _divergence(self, output: object, reference: object) -> float:
        answer = self._counts(output, "output", self.tokenizer)
        truth = self._counts(reference, "reference", self.tokenizer)
        return jensen_shannon(answer, truth) / math.log2(self.base)


@dataclass
class JSDivergence(_JensenShannon):
    """Similarity of word frequencies: 1 minus the Jensen-Shannon divergence, 0 to 1.

    1 for equal frequencies, whatever the order of the words; 0 for texts without a common word (in
    base 2). The divergence and its root, the distance, are in the metadata. Two texts without words
    are equal, and share nothing with any other.

    Args:
        tokenizer: Cuts a text into words; by default what stands between spaces in lower case. For
            texts without spaces use ``opik_eval.metrics.words.words``.
        base: Base of the logarithm, 2 or more.
        normalize: Accepted for Opik's sake; the divergence is one of shares either way.

    Raises:
        MetricError: The base is below 2.

    Source: Lin 1991, "Divergence measures based on the Shannon entropy".

    Example:
        >>> round(JSDivergence().score(output="a a b", reference="a b b").value, 4)
        0.9183
    """

    name: str = field(default="js_divergence_metric", kw_only=True)

    def score(self, output: str, reference: str, **_ignored: object) -> ScoreResult:
        """Compare ``output`` with ``reference``.

        Raises:
            MetricError: One of them is missing or no text.
        """
        divergence = self._divergence(output, reference)
        metadata = {"divergence": divergence, "distance": math.sqrt(divergence), "base": self.base}
        return ScoreResult(self.name, 1 - divergence, metadata=dict(metadata))


@dataclass
class JSDistance(_JensenShannon):
    """Jensen-Shannon distance of word frequencies, 0 for equal ones up to 1; lower is better.

    The distance is the square root of the divergence, and a metric in the mathematical sense. Opik
    returns the divergence itself under this name; it is in the metadata.

    Args:
        tokenizer: See ``JSDivergence``.
        base: Base of the logarithm, 2 or more.
        normalize: Accepted for Opik's sake; the distance is one of shares either way.

    Raises:
        MetricError: The base is below 2.

    Source: Endres and Schindelin 2003, "A new metric for probability distributions".

    Example:
        >>> round(JSDistance().score(output="a a b", reference="a b b").value, 4)
        0.2858
    """

    higher_is_better: ClassVar[bool | None] = False

    name: str = field(default="js_distance_metric", kw_only=True)

    def score(self, output: str, reference: str, **_ignored: object) -> ScoreResult:
        """Compare ``output`` with ``reference``.

        Raises:
            MetricError: One of them is missing or no text.
        """
        divergence = self._divergence(output, reference)
        metadata = {"divergence": divergence, "base": self.base}
        return ScoreResult(self.name, math.sqrt(divergence), metadata=dict(metadata))


@dataclass
class KLDivergence(_Distribution):
    """Kullback-Leibler divergence of word frequencies in nats, 0 for equal ones; lower is better.

    Words that one text lacks get a small probability; then the probabilities are made to sum to 1
    again, which Opik leaves out, so the result is never negative. It has no upper bound but that
    of the smoothing: about 27.6 for texts without a common word.

    Args:
        tokenizer: See ``JSDivergence``.
        direction: ``pq`` (of the output from the reference), ``qp`` (the reverse) or ``avg``.
        normalize: Compare shares. Otherwise counts are compared, by the generalised divergence
            (the sum of p ln(p/q) - p + q), so that a longer text differs from a shorter one.
        smoothing: Added to the probability, or count, of each word; positive.

    Raises:
        MetricError: There is no such direction, or the smoothing is not positive.

    Source: Kullback and Leibler 1951, "On Information and Sufficiency".

    Example:
        >>> round(KLDivergence().score(output="a a b", reference="a b b").value, 4)
        0.231
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, math.inf)
    higher_is_better: ClassVar[bool | None] = False

    tokenizer: Tokenizer | None = None
    direction: Literal["pq", "qp", "avg"] = "pq"
    normalize: bool = True
    smoothing: float = 1e-12
    name: str = field(default="kl_divergence_metric", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice(self.direction, "direction", ("pq", "qp", "avg"), metric=self.name)
        if not 0 < self.smoothing < math.inf:
            raise MetricError(
                f"metric {self.name!r} got smoothing={self.smoothing!r}",
                remedy="give a small positive number; without one a single missing word would "
                "make the divergence infinite",
            )

    def score(self, output: str, reference: str, **_ignored: object) -> ScoreResult:
        """Compare ``output`` with ``reference``.

        Raises:
            MetricError: One of them is missing or no text.
        """
        answer = self._counts(output, "output", self.tokenizer)
        truth = self._counts(reference, "reference", self.tokenizer)
        vocabulary = list({**answer, **truth})
        p, q = self._smoothed(answer, vocabulary), self._smoothed(truth, vocabulary)
        directions = {"pq": [(p, q)], "qp": [(q, p)], "avg": [(p, q), (q, p)]}[self.direction]
        total = math.fsum([_kullback_leibler(one, other) for one, other in directions])
        return ScoreResult(self.name, total / len(directions))

    def _smoothed(self, counts: _Frequencies, vocabulary: Sequence[str | None]) -> list[float]:
        if not self.normalize:
            return [counts.get(word, 0) + self.smoothing for word in vocabulary]
        total = sum(counts.values())
        mass = 1 + self.smoothing * len(vocabulary)
        return [(counts.get(word, 0) / total + self.smoothing) / mass for word in vocabulary]


def jensen_shannon(p: _Frequencies, q: _Frequencies) -> float:
    """Return the Jensen-Shannon divergence of two frequencies in bits, 0 to 1.

    Example:
        >>> jensen_shannon({"a": 3}, {"b": 1})
        1.0
    """
    p_total, q_total = sum(p.values()), sum(q.values())
    terms: list[float] = []
    for word in p.keys() | q.keys():
        one, other = p.get(word, 0) / p_total, q.get(word, 0) / q_total
        middle = (one + other) / 2
        terms.extend(part * math.log2(part / middle) for part in (one, other) if part)
    return min(1.0, max(0.0, math.fsum(terms) / 2))


def _kullback_leibler(p: Sequence[float], q: Sequence[float]) -> float:
    log = math.log
    return max(0.0, math.fsum([a * log(a / b) - a + b for a, b in zip(p, q, strict=True)]))


__all__ = ["JSDistance", "JSDivergence", "KLDivergence", "jensen_shannon"]
