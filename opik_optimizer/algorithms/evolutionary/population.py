"""The population: who survives, who becomes a parent, and the front of score against length."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opik_optimizer.text_edits import pieces_of

if TYPE_CHECKING:
    import random

    from opik_optimizer.candidate import Candidate
    from opik_optimizer.evaluation import Evaluation, ItemResult


@dataclass(eq=False, kw_only=True)
class Member:
    """A candidate that was run on the whole validation sample. Its fitness never changes.

    Attributes:
        index: Number in the order of the commits; the initial prompt is 0.
        evaluation: On the validation sample.
        texts: Its editable texts by component.
        parents: Numbers of the members it was made from.
        order: Train items in the order it is run on them.
        cursor: How many of them have been given out.
        trained: Results on train items that are committed.
        shown: Failures that the reflection model has seen of it.
    """

    index: int
    evaluation: Evaluation
    texts: Mapping[str, str]
    parents: tuple[int, ...] = ()
    order: tuple[str, ...] = ()
    cursor: int = 0
    trained: dict[str, ItemResult] = field(default_factory=dict)
    shown: set[str] = field(default_factory=set)

    @property
    def candidate(self) -> Candidate:
        """The candidate itself."""
        return self.evaluation.candidate

    @property
    def score(self) -> float:
        """Mean on the validation sample."""
        return self.evaluation.score

    @property
    def tokens(self) -> int:
        """Size of its prompts."""
        return self.candidate.tokens


Point = tuple[float, int]
"""Score, the higher the better, and tokens, the fewer the better."""


def dominates(first: Point, second: Point) -> bool:
    """Tell whether one point is at least as good in both respects, and not the same.

    Example:
        >>> dominates((0.8, 20), (0.8, 30)), dominates((0.9, 30), (0.8, 20))
        (True, False)
    """
    return first[0] >= second[0] and first[1] <= second[1] and first != second


def fronts(points: Sequence[Point]) -> list[list[int]]:
    """Sort the numbers of points into fronts, the non-dominated ones first.

    Example:
        >>> fronts([(0.5, 10), (0.9, 30), (0.4, 20), (0.6, 20)])
        [[0, 1, 3], [2]]
    """
    left, found = list(range(len(points))), []
    while left:
        front = [i for i in left if not any(dominates(points[j], points[i]) for j in left)]
        found.append(front)
        left = [i for i in left if i not in front]
    return found


def crowding(points: Sequence[Point]) -> list[float]:
    """Return how lonely each point of a front is: infinite at its ends.

    Source:
        Deb et al. 2002, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II".

    Example:
        >>> crowding([(0.1, 10), (0.2, 20), (0.8, 30)])
        [inf, 2.0, inf]
    """
    distance = [0.0] * len(points)
    for axis in (0, 1):
        order = sorted(range(len(points)), key=lambda i: points[i][axis])
        low, high = points[order[0]][axis], points[order[-1]][axis]
        distance[order[0]] = distance[order[-1]] = math.inf
        for before, at, after in zip(order, order[1:], order[2:], strict=False):
            if high > low:
                distance[at] += (points[after][axis] - points[before][axis]) / (high - low)
    return distance


def knee(points: Sequence[Point]) -> int:
    """Return the number of the point of a front that lies farthest from the line of its ends.

    Example:
        >>> knee([(0.2, 10), (0.8, 20), (0.9, 90)])
        1
    """
    tokens = [point[1] for point in points]
    scores = [point[0] for point in points]
    length, height = max(tokens) - min(tokens), max(scores) - min(scores)

    def bulge(point: Point) -> float:
        across = (point[1] - min(tokens)) / length if length else 0.0
        up = (point[0] - min(scores)) / height if height else 1.0
        return up - across

    return max(range(len(points)), key=lambda i: (bulge(points[i]), scores[i]))


def survivors(members: Sequence[Member], size: int, *, elites: int, is_moo: bool) -> list[Member]:
    """Return who stays: the best ``size``, in the order of their numbers.

    Args:
        members: Parents and offspring together.
        size: How many stay.
        elites: How many of the best by score stay in any case, with two objectives.
        is_moo: NSGA-II over score and tokens; else the best scores.
    """
    by_score = sorted(members, key=_by_score)
    ranked = [*by_score[:elites], *(_nsga(members) if is_moo else by_score)]
    chosen = list(dict.fromkeys(ranked))[:size]
    return sorted(chosen, key=lambda member: member.index)


def tournament(members: Sequence[Member], rng: random.Random, *, size: int, is_moo: bool) -> Member:
    """Return the winner among ``size`` members drawn at random.

    With two objectives the lower front wins, then the higher score: survival keeps short prompts,
    but the search spends its calls on good ones.
    """
    drawn = rng.sample(list(members), min(size, len(members)))
    if not is_moo:
        return min(drawn, key=_by_score)
    sorted_fronts = fronts([_point(member) for member in members])
    rank = {members[i].index: r for r, front in enumerate(sorted_fronts) for i in front}
    return min(drawn, key=lambda member: (rank[member.index], *_by_score(member)))


def mate_of(member: Member, members: Sequence[Member], rng: random.Random, size: int) -> Member:
    """Return the best complement among ``size`` members drawn at random.

    The best complement is right where the member is wrong: the two have the highest mean if the
    better of them counts on each validation item.
    """
    drawn = rng.sample(list(members), min(size, len(members)))
    own = member.evaluation.scores_by_item

    def together(other: Member) -> float:
        theirs = other.evaluation.scores_by_item
        return math.fsum(max(score, theirs.get(item, score)) for item, score in own.items())

    return max(drawn, key=lambda other: (together(other), -other.index))


def diversity(members: Sequence[Member]) -> float:
    """Return the mean share of sentences that two members do not have in common, 0 to 1."""
    sets = [sentences_of(member.texts) for member in members]
    pairs = [(a, b) for n, a in enumerate(sets) for b in sets[:n]]
    shares = [1 - len(a & b) / len(a | b) for a, b in pairs if a | b]
    return math.fsum(shares) / len(shares) if shares else 0.0


def sentences_of(texts: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """Return what texts say, whatever the order, case and spaces: component and sentence."""
    return frozenset(
        (name, " ".join(piece.casefold().split()).rstrip("."))
        for name, text in texts.items()
        for piece in pieces_of(text)
        if piece.strip()
    )


def _nsga(members: Sequence[Member]) -> list[Member]:
    """Order members by front, then by how lonely they are there."""
    ordered: list[Member] = []
    points = [_point(member) for member in members]
    for front in fronts(points):
        lonely = crowding([points[i] for i in front])
        pairs = sorted(
            zip(front, lonely, strict=True), key=lambda p: (-p[1], _by_score(members[p[0]]))
        )
        ordered += [members[i] for i, _ in pairs]
    return ordered


def _point(member: Member) -> Point:
    return member.score, member.tokens


def _by_score(member: Member) -> tuple[float, int, int]:
    return -member.score, member.tokens, member.index
