"""Words an output shares with its references, by form, stem and meaning, in order: METEOR."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter
from typing import ClassVar

from opik_eval.errors import MetricError
from opik_eval.metrics.arguments import require_text, require_texts
from opik_eval.metrics.base import DataclassMetric, ScoreResult
from opik_eval.metrics.porter import stem
from opik_eval.metrics.words import lowercase_split

Synonyms = Callable[[str], Iterable[str]]
"""Returns words that mean the same as a word in lower case."""


@dataclass
class METEOR(DataclassMetric):
    """Harmonic mean of word precision and recall, less a penalty for scattered words, 0 to 1.

    A word of the output is aligned with one of the reference that is equal, else has the same
    Porter stem, else is a synonym. Words are what stands between spaces, in lower case; the best of
    the references counts. Two texts without words are equal. Equals NLTK's METEOR but in two
    points: an output that is aligned whole and in order has no penalty, as in the reference
    implementation, so equal texts score 1 (NLTK gives one-word texts 0.5); and synonyms are those
    of the word, where NLTK asks for synonyms of its stem.

    Nothing is downloaded, so unlike Opik's there are no synonyms unless you say where from:
    ``METEOR(synonyms=WordNet())`` where WordNet is installed, or a function of your own.

    Args:
        meteor_fn: A function of the references and the output to use instead.
        alpha: Weight of precision in the mean, 0 to 1; 0.9 makes recall count nine times as much.
        beta: How fast the penalty falls as words stand together.
        gamma: Largest penalty, 0 to 1.
        synonyms: Synonyms of a word.

    Raises:
        MetricError: A parameter is out of its range.

    Source: Banerjee and Lavie 2005, "METEOR: An Automatic Metric for MT Evaluation with Improved
        Correlation with Human Judgments".

    Example:
        >>> metric = METEOR()
        >>> round(metric.score(output="the cats sat", reference="the cat sat down").value, 4)
        0.755
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    meteor_fn: Callable[[Sequence[str], str], float] | None = None
    alpha: float = 0.9
    beta: float = 3.0
    gamma: float = 0.5
    synonyms: Synonyms | None = None
    name: str = field(default="meteor_metric", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.alpha <= 1 and 0 <= self.gamma <= 1 and self.beta >= 0):
            raise MetricError(
                f"metric {self.name!r} got alpha={self.alpha!r}, beta={self.beta!r}, "
                f"gamma={self.gamma!r}",
                remedy="give alpha and gamma between 0 and 1, and beta of 0 or more",
            )

    def score(self, output: str, reference: str | Sequence[str], **_ignored: object) -> ScoreResult:
        """Compare ``output`` with one reference or several.

        Raises:
            MetricError: An argument is missing or no text, or the synonyms cannot be loaded.
        """
        text = require_text(output, "output", metric=self.name)
        references = require_texts(reference, "reference", metric=self.name)
        if self.meteor_fn is not None:
            return ScoreResult(self.name, float(self.meteor_fn(references, text)))
        answer = lowercase_split(text)
        truths = map(lowercase_split, references)
        return ScoreResult(self.name, max(self._meteor(answer, truth) for truth in truths))

    def _meteor(self, answer: Sequence[str], truth: Sequence[str]) -> float:
        if not answer or not truth:
            return float(answer == truth)
        pairs = self._alignment(answer, truth)
        if not pairs:
            return 0.0
        precision, recall = len(pairs) / len(answer), len(pairs) / len(truth)
        mean = precision * recall / (self.alpha * precision + (1 - self.alpha) * recall)
        chunks = 1 + sum(
            (after[0] - before[0], after[1] - before[1]) != (1, 1)
            for before, after in pairwise(pairs)
        )
        if chunks == 1 and len(answer) == len(truth) == len(pairs):
            return mean
        penalty: float = self.gamma * (chunks / len(pairs)) ** self.beta
        return mean * (1 - penalty)

    def _alignment(self, answer: Sequence[str], truth: Sequence[str]) -> list[tuple[int, int]]:
        """Return pairs of positions: equal words first, then equal stems, then synonyms."""
        left = list(enumerate(answer))
        right = list(enumerate(truth))
        pairs = _align(lambda word: (word,), str, left, right)
        pairs += _align(lambda word: (stem(word),), stem, left, right)
        if (synonyms := self.synonyms) is not None:
            pairs += _align(lambda word: {word, *synonyms(word)}, str, left, right)
        return sorted(pairs)


_Places = list[tuple[int, str]]


def _align(
    answer_keys: Callable[[str], Iterable[str]],
    truth_key: Callable[[str], str],
    left: _Places,
    right: _Places,
) -> list[tuple[int, int]]:
    """Align words that share a key, from the end, and take them out of both lists."""
    open_places: dict[str, list[int]] = {}
    for position, word in right:
        open_places.setdefault(truth_key(word), []).append(position)
    pairs = []
    for position, word in reversed(left):
        candidates = [places for key in answer_keys(word) if (places := open_places.get(key))]
        if candidates:
            pairs.append((position, max(candidates, key=itemgetter(-1)).pop()))
    taken_left, taken_right = ({pair[side] for pair in pairs} for side in (0, 1))
    left[:] = [place for place in left if place[0] not in taken_left]
    right[:] = [place for place in right if place[0] not in taken_right]
    return pairs


__all__ = ["METEOR", "Synonyms"]
