"""System-aware merge: two descendants of one ancestor, joined where they changed different things.

Components that only one of the two changed are taken from it. A component that both changed is
merged sentence by sentence against the ancestor's text where their changes do not touch, and else
taken from the better one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opik_optimizer.text_edits import merge_texts

if TYPE_CHECKING:
    import random

    from opik_optimizer.algorithms.gepa.pool import Member

_TRIES = 10


@dataclass(frozen=True, kw_only=True)
class MergePlan:
    """Two members, their common ancestor, and the texts that join them."""

    first: Member
    second: Member
    ancestor: Member
    texts: Mapping[str, str]


def ancestors_of(member: Member, members: Sequence[Member]) -> set[int]:
    """Return the numbers of all ancestors of a member."""
    found: set[int] = set()
    waiting = list(member.parents)
    while waiting:
        index = waiting.pop()
        if index not in found:
            found.add(index)
            waiting += members[index].parents
    return found


def plan_merge(
    members: Sequence[Member],
    able: Sequence[int],
    texts: Sequence[Mapping[str, str]],
    *,
    done: set[tuple[int, int]],
    rng: random.Random,
) -> MergePlan | None:
    """Find a pair that a merge may help, and join it.

    Args:
        members: The pool.
        able: Numbers of those that may be merged.
        texts: Editable texts of each member, by its number.
        done: Pairs that were tried; the found one is added.
        rng: Source of chance.
    """
    for _ in range(_TRIES if len(able) > 1 else 0):
        first, second = (members[i] for i in sorted(rng.sample(list(able), 2)))
        pair = (first.index, second.index)
        ours, theirs = ancestors_of(first, members), ancestors_of(second, members)
        if pair in done or first.index in theirs or second.index in ours:
            continue
        common = [
            index
            for index in sorted(ours & theirs)
            if members[index].score <= min(first.score, second.score)
        ]
        if not common:
            continue
        ancestor = members[common[-1]]
        merged = _joined(texts, ancestor.index, first, second)
        if merged is not None:
            done.add(pair)
            return MergePlan(first=first, second=second, ancestor=ancestor, texts=merged)
    return None


def _joined(
    texts: Sequence[Mapping[str, str]], ancestor: int, first: Member, second: Member
) -> dict[str, str] | None:
    """Return the joined texts; ``None`` if they equal those of one of the two."""
    base, ours, theirs = texts[ancestor], texts[first.index], texts[second.index]
    better = ours if first.score >= second.score else theirs
    joined: dict[str, str] = {}
    for name, text in better.items():
        mine, yours, old = ours.get(name, text), theirs.get(name, text), base.get(name, text)
        if old in (mine, yours):
            joined[name] = yours if mine == old else mine
        else:
            joined[name] = merge_texts(old, mine, yours) or text
    return joined if joined not in (dict(ours), dict(theirs)) else None
