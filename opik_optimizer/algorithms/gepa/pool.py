"""The candidates of a GEPA search, their fronts, and which of them is the next parent."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import random

    from opik_optimizer.candidate import Candidate
    from opik_optimizer.evaluation import Evaluation, ItemResult

FrontierType = Literal["instance", "objective", "hybrid", "cartesian"]
ParentChoice = Literal["adaptive", "pareto", "current_best", "epsilon_greedy", "top_k_pareto"]

EPSILON = 0.1
TOP_K = 5


@dataclass(eq=False)
class Member:
    """A candidate of the pool and what is known of it.

    Attributes:
        index: Number in the pool; the initial prompt is 0.
        evaluation: Complete on the validation sample.
        parents: Numbers of the members it was made from.
        trained: Results on train items that are committed.
        order: Train items in the order this member is run on them.
        cursor: How many of them have been given out.
        shown: Failures that the reflection model has seen for this member.
        turn: How many components have been given out, for the round robin.
    """

    index: int
    evaluation: Evaluation
    parents: tuple[int, ...] = ()
    trained: dict[str, ItemResult] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    cursor: int = 0
    shown: set[str] = field(default_factory=set)
    turn: int = 0

    @property
    def candidate(self) -> Candidate:
        """The candidate itself."""
        return self.evaluation.candidate

    @property
    def score(self) -> float:
        """Mean on the validation sample."""
        return self.evaluation.score


def fronts_of(members: Sequence[Member], kind: FrontierType) -> dict[Hashable, frozenset[int]]:
    """Return who is best at each key: an item, an objective, or an item's objective.

    Args:
        members: The pool.
        kind: ``instance`` = per item; ``objective`` = per mean of an objective; ``hybrid`` = both;
            ``cartesian`` = per item and objective.

    Returns:
        For each key the numbers of those tied at its best score.
    """
    fronts: dict[Hashable, tuple[float, set[int]]] = {}
    for member in members:
        for key, score in _scores(member, kind).items():
            best, tied = fronts.get(key, (-math.inf, set()))
            if score > best:
                fronts[key] = (score, {member.index})
            elif score == best:
                tied.add(member.index)
    return {key: frozenset(tied) for key, (_, tied) in fronts.items()}


def front_counts(members: Sequence[Member], kind: FrontierType) -> dict[int, int]:
    """Return the members worth being parents, with the number of fronts each is on.

    Those whose every front is also held by another one are left out, the weakest first.
    """
    fronts = fronts_of(members, kind)
    held: dict[int, list[Hashable]] = {}
    for key, tied in fronts.items():
        for index in tied:
            held.setdefault(index, []).append(key)
    holders = {key: set(tied) for key, tied in fronts.items()}
    score = {member.index: member.score for member in members}
    for index in sorted(held, key=lambda i: (score[i], -i)):
        if all(len(holders[key]) > 1 for key in held[index]):
            for key in held.pop(index):
                holders[key].discard(index)
    return {index: len(keys) for index, keys in sorted(held.items())}


def choose_parent(
    members: Sequence[Member],
    rng: random.Random,
    *,
    choice: ParentChoice,
    kind: FrontierType,
    greedy_share: float = 0.7,
) -> Member:
    """Return the parent of the next proposal.

    Args:
        members: Who may be chosen; not empty.
        rng: Source of chance.
        choice: ``current_best`` = the best mean; ``pareto`` = in proportion to the fronts a member
            is on; ``adaptive`` = the best mean with probability ``greedy_share``, else Pareto;
            ``epsilon_greedy`` = the best mean, else anybody; ``top_k_pareto`` = Pareto among five.
        kind: Kind of fronts.
        greedy_share: Probability of the best mean in ``adaptive``, 0 to 1.
    """
    best = max(members, key=lambda member: (member.score, -member.index))
    if choice == "current_best":
        return best
    if choice == "epsilon_greedy":
        return rng.choice(list(members)) if rng.random() < EPSILON else best
    if choice == "adaptive" and rng.random() < greedy_share:
        return best
    if choice == "top_k_pareto":
        members = sorted(members, key=lambda m: (-m.score, m.index))[:TOP_K]
    counts = front_counts(members, kind)
    drawn = rng.choices(list(counts), weights=list(counts.values()))[0]
    return next(member for member in members if member.index == drawn)


def _scores(member: Member, kind: FrontierType) -> dict[Hashable, float]:
    evaluation = member.evaluation
    by_item: dict[Hashable, float] = dict(evaluation.scores_by_item.items())
    if kind == "instance":
        return by_item
    means = evaluation.objectives or {"objective": evaluation.score}
    by_objective: dict[Hashable, float] = {
        ("objective", name): mean for name, mean in means.items()
    }
    if kind == "objective":
        return by_objective
    if kind == "hybrid":
        return by_item | by_objective
    return {
        (result.item_id, name): value
        for result in evaluation.results
        for name, value in (result.scores or {"objective": result.score}).items()
        if value is not None and math.isfinite(value)
    }
