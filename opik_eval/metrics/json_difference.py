"""How much two JSON values have in common, and where they differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import fsum
from typing import NamedTuple, TypeGuard

from opik_eval.metrics.json_values import MISSING, path_of_key, same_plain, shown
from opik_eval.metrics.matching import Pair, best_alignment, best_pairs
from opik_eval.serialization import dumps


class Difference(NamedTuple):
    """One place where two values differ; ``MISSING`` where one of them has nothing."""

    path: str
    expected: object
    found: object

    def __str__(self) -> str:
        where = self.path or "the value"
        if self.found is MISSING:
            return f"{where}: {shown(self.expected)} is missing"
        if self.expected is MISSING:
            return f"{where}: {shown(self.found)} is not expected"
        return f"{where}: expected {shown(self.expected)}, found {shown(self.found)}"


@dataclass(frozen=True, kw_only=True)
class JsonComparison:
    """Compares values as ``json_value`` returns them.

    A value has as many leaves as it has texts, numbers, booleans, nulls and empty containers. What
    two values have in common is counted in leaves: objects share what their equal keys share,
    arrays what the best pairing of their elements shares, leaves 1 if they are equal, else 0.
    The similarity is 2 · common / (leaves of one + leaves of the other), so 1 for equal values
    alone.

    Attributes:
        text_credit: Two texts share their Indel similarity instead of 0 or 1.
        relative_tolerance: Numbers are equal that differ by at most this share of the larger.
        ordered: Elements of arrays are paired in their order; else equal ones first, then the rest
            as it fits best.

    Example:
        >>> JsonComparison().similarity({"a": 1, "b": [1, 2, 3]}, {"a": 1, "b": [2, 3]})
        0.8571428571428571
    """

    text_credit: bool = True
    relative_tolerance: float = 0.0
    ordered: bool = True

    def similarity(self, one: object, other: object) -> float:
        """Return how alike two values are, 0 to 1."""
        return min(1.0, 2 * self.common(one, other) / (count_leaves(one) + count_leaves(other)))

    def common(self, one: object, other: object) -> float:
        """Return how many leaves two values have in common."""
        if isinstance(one, dict) and isinstance(other, dict):
            if not (one and other):
                return float(one == other)
            return fsum(self.common(part, other[key]) for key, part in one.items() if key in other)
        if isinstance(one, list) and isinstance(other, list):
            if not (one and other):
                return float(one == other)
            return fsum(pair.worth for pair in self._pairs(one, other))
        return self._leaf(one, other)

    def differences(self, found: object, expected: object, path: str = "") -> Iterator[Difference]:
        """Yield where two values differ, in the order of what was expected."""
        if isinstance(found, dict) and isinstance(expected, dict):
            for key in [*expected, *(key for key in found if key not in expected)]:
                one, other = found.get(key, MISSING), expected.get(key, MISSING)
                yield from self.differences(one, other, path_of_key(path, key))
        elif isinstance(found, list) and isinstance(expected, list):
            for index, one, other in self._rows(found, expected):
                yield from self.differences(one, other, f"{path}[{index}]")
        elif MISSING in (found, expected) or self._leaf(found, expected) < 1:
            yield Difference(path, expected, found)

    def _rows(
        self, found: list[object], expected: list[object]
    ) -> Iterator[tuple[int, object, object]]:
        """Yield index, found and expected of what arrays differ in; strays are shown in pairs."""
        pairs = self._pairs(found, expected)
        rows = [(pair.column, found[pair.row], expected[pair.column]) for pair in pairs]
        strays = _others(len(found), [pair.row for pair in pairs])
        gaps = _others(len(expected), [pair.column for pair in pairs])
        rows += [
            (gap, found[stray], expected[gap]) for stray, gap in zip(strays, gaps, strict=False)
        ]
        rows += [(gap, MISSING, expected[gap]) for gap in gaps[len(strays) :]]
        yield from sorted(rows, key=lambda row: row[0])
        yield from ((stray, found[stray], MISSING) for stray in strays[len(gaps) :])

    def _pairs(self, one: list[object], other: list[object]) -> list[Pair]:
        equal = (_equal_ends if self.ordered else _equal_anywhere)(one, other)
        rows = _others(len(one), [row for row, _ in equal])
        columns = _others(len(other), [column for _, column in equal])
        worths = [[self.common(one[row], other[column]) for column in columns] for row in rows]
        pair_up = best_alignment if self.ordered else best_pairs
        return [Pair(row, column, count_leaves(one[row])) for row, column in equal] + [
            Pair(rows[row], columns[column], worth) for row, column, worth in pair_up(worths)
        ]

    def _leaf(self, one: object, other: object) -> float:
        if same_plain(one, other):
            return 1.0
        if isinstance(one, str) and isinstance(other, str) and self.text_credit:
            from rapidfuzz.distance import Indel

            return float(Indel.normalized_similarity(one, other))
        if _is_number(one) and _is_number(other):
            return float(self._is_close(one, other))
        return 0.0

    def _is_close(self, one: float, other: float) -> bool:
        if not self.relative_tolerance:
            return False
        left, right = Fraction(one), Fraction(other)  # integers may be too large for floats
        largest = max(abs(left), abs(right))
        return abs(left - right) <= Fraction(self.relative_tolerance) * largest


def count_leaves(value: object) -> int:
    """Return the number of texts, numbers, booleans, nulls and empty containers in a value.

    Example:
        >>> count_leaves({"a": [1, 2, []], "b": None})
        4
    """
    if isinstance(value, dict):
        return sum(map(count_leaves, value.values())) or 1
    if isinstance(value, list):
        return sum(map(count_leaves, value)) or 1
    return 1


def _equal_ends(one: Sequence[object], other: Sequence[object]) -> list[tuple[int, int]]:
    """Pair the equal elements at both ends, which no alignment can do better with."""
    left, right = [dumps(value) for value in one], [dumps(value) for value in other]
    shorter = min(len(left), len(right))
    start = next((i for i in range(shorter) if left[i] != right[i]), shorter)
    rest = shorter - start
    end = next((i for i in range(rest) if left[-1 - i] != right[-1 - i]), rest)
    tail = [(len(left) - i, len(right) - i) for i in range(end, 0, -1)]
    return [(i, i) for i in range(start)] + tail


def _equal_anywhere(one: Sequence[object], other: Sequence[object]) -> list[tuple[int, int]]:
    places: dict[bytes, list[int]] = defaultdict(list)
    for column in reversed(range(len(other))):
        places[dumps(other[column])].append(column)
    return [
        (row, columns.pop())
        for row, value in enumerate(one)
        if (columns := places.get(dumps(value)))
    ]


def _others(length: int, indices: Sequence[int]) -> list[int]:
    taken = set(indices)
    return [index for index in range(length) if index not in taken]


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


__all__ = ["Difference", "JsonComparison", "count_leaves"]
