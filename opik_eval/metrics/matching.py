"""Pairing the things of two lists so that the pairs are worth most together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Pair(NamedTuple):
    """The thing number ``row`` of one list with the thing number ``column`` of the other."""

    row: int
    column: int
    worth: float


def best_pairs(worths: Sequence[Sequence[float]]) -> list[Pair]:
    """Pair rows with columns, each at most once, in any order, for the greatest total worth.

    Args:
        worths: Worth of each pair, 0 or more; a pair worth 0 is none.

    Source: Kuhn 1955, "The Hungarian method for the assignment problem" (here scipy's).

    Example:
        >>> best_pairs([[0.5, 1.0], [0.0, 1.0]])
        [Pair(row=0, column=0, worth=0.5), Pair(row=1, column=1, worth=1.0)]
    """
    if not worths or not worths[0]:
        return []
    if len(worths) == len(worths[0]) == 1:
        return _worthwhile([Pair(0, 0, worths[0][0])])
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(worths, maximize=True)
    chosen = zip(rows.tolist(), columns.tolist(), strict=True)
    return _worthwhile([Pair(row, column, worths[row][column]) for row, column in chosen])


def best_alignment(worths: Sequence[Sequence[float]]) -> list[Pair]:
    """Pair rows with columns without changing the order of either, for the greatest total worth.

    Args:
        worths: Worth of each pair, 0 or more; a pair worth 0 is none.

    Source: Needleman & Wunsch 1970, without penalty for gaps.

    Example:
        >>> best_alignment([[0, 1], [1, 0], [0, 1]])
        [Pair(row=1, column=0, worth=1), Pair(row=2, column=1, worth=1)]
    """
    width = len(worths[0]) if worths else 0
    best = [[0.0] * (width + 1)]
    for row in worths:
        above, line = best[-1], [0.0]
        for column, worth in enumerate(row):
            line.append(max(above[column + 1], line[column], above[column] + worth))
        best.append(line)
    pairs: list[Pair] = []
    row_left, column_left = len(worths), width
    while row_left and column_left:
        total = best[row_left][column_left]
        if total == best[row_left - 1][column_left]:
            row_left -= 1
        elif total == best[row_left][column_left - 1]:
            column_left -= 1
        else:
            row_left, column_left = row_left - 1, column_left - 1
            pairs.append(Pair(row_left, column_left, worths[row_left][column_left]))
    return pairs[::-1]


def _worthwhile(pairs: list[Pair]) -> list[Pair]:
    return [pair for pair in pairs if pair.worth > 0]


__all__ = ["Pair", "best_alignment", "best_pairs"]
