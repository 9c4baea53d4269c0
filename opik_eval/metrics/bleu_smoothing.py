"""What BLEU counts, and what may be done about runs of words that never match.

Source: Chen and Cherry 2014, "A Systematic Comparison of Smoothing Techniques for Sentence-Level
BLEU", numbered as in NLTK.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import or_

from opik_eval.metrics.words import common_count, ngrams

_FLOOR = 0.1
_SHORTNESS = 5.0  # K of method 4
_PRIOR_WEIGHT = 5.0  # alpha of method 6


@dataclass(frozen=True, slots=True)
class NgramMatches:
    """Counts over a corpus; entry ``n - 1`` of the lists is about runs of ``n`` words.

    The lists have one entry more than BLEU uses, because some methods look at the next length.

    Attributes:
        matches: Runs of the outputs that stand in a reference, at most as often as there.
        totals: Runs of the outputs, at least 1.
        output_length: Words of the outputs.
        reference_length: Words of the references, of each output's the closest in length.
    """

    matches: tuple[int, ...]
    totals: tuple[int, ...]
    output_length: int
    reference_length: int

    @classmethod
    def of_corpus(
        cls, corpus: Sequence[tuple[Sequence[str], Sequence[Sequence[str]]]], order: int
    ) -> NgramMatches:
        """Count the matches of outputs with their references, up to runs of ``order`` words."""
        sizes = range(1, order + 2)
        return cls(
            matches=tuple(sum(_matches(*pair, size) for pair in corpus) for size in sizes),
            totals=tuple(
                max(1, sum(max(0, len(output) - size + 1) for output, _ in corpus))
                for size in sizes
            ),
            output_length=sum(len(output) for output, _ in corpus),
            reference_length=sum(_closest(len(output), truths) for output, truths in corpus),
        )

    @property
    def brevity_penalty(self) -> float:
        """1, or less where the outputs are shorter than the references."""
        if self.output_length >= self.reference_length:
            return 1.0
        return math.exp(1 - self.reference_length / self.output_length)

    @property
    def precisions(self) -> list[float]:
        """Share of runs that match, by length."""
        return [match / total for match, total in zip(self.matches, self.totals, strict=True)]

    @property
    def rows(self) -> list[tuple[int, int]]:
        """Matches and totals of the lengths that BLEU uses."""
        return list(zip(self.matches, self.totals, strict=True))[:-1]


def _none(counts: NgramMatches) -> list[float]:
    return counts.precisions[:-1]


def _floor(counts: NgramMatches) -> list[float]:
    return [(match or _FLOOR) / total for match, total in counts.rows]


def _add_one(counts: NgramMatches) -> list[float]:
    return [
        (match + 1) / (total + 1) if index else match / total
        for index, (match, total) in enumerate(counts.rows)
    ]


def _halving(counts: NgramMatches, first: float = 0.5) -> list[float]:
    smoothed, credit = [], first
    for match, total in counts.rows:
        smoothed.append((match or credit) / total)
        credit = credit if match else credit / 2
    return smoothed


def _halving_by_length(counts: NgramMatches) -> list[float]:
    return _halving(counts, math.log(counts.output_length) / (2 * _SHORTNESS))


def _neighbours(counts: NgramMatches, precisions: Sequence[float] = ()) -> list[float]:
    raw = [*(precisions or _none(counts)), counts.precisions[-1]]
    smoothed, previous = [], raw[0] + 1
    for here, following in pairwise(raw):
        previous = (previous + here + following) / 3
        smoothed.append(previous)
    return smoothed


def _interpolated(counts: NgramMatches) -> list[float]:
    smoothed = _none(counts)
    for index in range(2, len(smoothed)):
        before, last = smoothed[index - 2 : index]
        prior = last**2 / before if before else 0.0
        match, total = counts.rows[index]
        smoothed[index] = (match + _PRIOR_WEIGHT * prior) / (total + _PRIOR_WEIGHT)
    return smoothed


def _neighbours_by_length(counts: NgramMatches) -> list[float]:
    return _neighbours(counts, _halving_by_length(counts))


SMOOTHING_METHODS: Mapping[str, Callable[[NgramMatches], list[float]]] = {
    "method0": _none,
    "method1": _floor,
    "method2": _add_one,
    "method3": _halving,
    "method4": _halving_by_length,
    "method5": _neighbours,
    "method6": _interpolated,
    "method7": _neighbours_by_length,
}
"""Precisions by length, smoothed; each may pass 1 or be 0."""


def _matches(output: Sequence[str], references: Sequence[Sequence[str]], size: int) -> int:
    most = reduce(or_, (ngrams(reference, size) for reference in references))
    return common_count(ngrams(output, size), most)


def _closest(length: int, references: Sequence[Sequence[str]]) -> int:
    return min((abs(len(truth) - length), len(truth)) for truth in references)[1]


__all__ = ["SMOOTHING_METHODS", "NgramMatches"]
