"""Which items the reflection model is shown: failures it has not seen yet.

Showing the same failures again teaches nothing, and successes say little about what to change. So a
proposal takes failures of its parent that are known and were not shown, and runs the parent on
further train items until there are enough. A few items that the parent gets right are added to the
gate alone: an edit must not pay for new successes with old ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from opik_optimizer.algorithms.gepa.pool import Member
    from opik_optimizer.evaluation import ItemResult

BatchSampler = Literal["fresh_failures", "epoch_shuffled"]

GUARDED_SUCCESSES = 2
LEAST_RATE = 0.25
"""Where failures are rarer than that, fewer than wanted are shown."""


@dataclass(frozen=True, kw_only=True)
class Minibatch:
    """What a proposal looks at.

    Attributes:
        known: Failures of the parent that are committed and not shown yet.
        chunk: Train items to run the parent on.
        size: How many items to show.
        successes: Known successes, for the gate.
        skipped: How many failures of the chunk a proposal beside it shows.
    """

    known: tuple[str, ...]
    chunk: tuple[str, ...]
    size: int
    successes: tuple[str, ...] = ()
    skipped: int = 0


def is_failure(result: ItemResult, perfect: float) -> bool:
    """Tell whether an item leaves something to be gained."""
    return not result.is_scored or (result.score or 0.0) < perfect


@dataclass(frozen=True, kw_only=True)
class Room:
    """What a proposal may spend on train items.

    Attributes:
        calls: Metric calls.
        runs: How often each item that is shown will be run after the chunk: by the child, and by
            the parent once more if its noise is unknown.
    """

    calls: int
    runs: int = 1

    def known(self, wanted: int) -> int:
        """Return how many known items can be shown."""
        return min(wanted, self.calls // self.runs)

    def chunk(self, wanted: int, *, shown: int) -> int:
        """Return on how many items the parent can be run, of which at most ``shown`` are shown."""
        if_all_are_shown = self.calls // (1 + self.runs)
        return max(0, min(wanted, max(if_all_are_shown, self.calls - self.runs * shown)))


def plan_fresh_failures(
    member: Member, *, size: int, perfect: float, rng: random.Random, room: Room
) -> Minibatch | None:
    """Take failures and further items of a member; ``None`` if it has nothing new to show.

    Args:
        member: The parent; what is given out is noted in it.
        size: Failures to show.
        perfect: Score from which on an item is no failure.
        rng: Source of chance.
        room: What may be spent.
    """
    failures = [i for i, r in member.trained.items() if is_failure(r, perfect)]
    fresh = [item for item in failures if item not in member.shown]
    known = fresh[: room.known(size)]
    missing = size - len(known)
    rate = len(failures) / len(member.trained) if member.trained else 0.5
    wanted = math.ceil(missing / max(rate, LEAST_RATE))
    rest = Room(calls=room.calls - room.runs * len(known), runs=room.runs)
    chunk = member.order[member.cursor :][: rest.chunk(wanted, shown=missing)]
    if not known and not chunk:
        return None
    member.cursor += len(chunk)
    member.shown.update(known)
    return Minibatch(
        known=tuple(known),
        chunk=chunk,
        size=size,
        successes=_successes(member, perfect, rng),
    )


def plan_rest(batch: Minibatch) -> Minibatch | None:
    """Show the failures of a chunk that the proposal beside it has no room for."""
    skipped = batch.skipped + batch.size - len(batch.known)
    if skipped >= len(batch.chunk):
        return None
    return replace(batch, known=(), skipped=skipped, successes=())


def plan_epoch(member: Member, *, size: int, rng: random.Random, room: Room) -> Minibatch:
    """Take the next ``size`` items of the member's order, begun anew when it is used up."""
    if member.cursor >= len(member.order):
        order = list(member.order)
        rng.shuffle(order)
        member.order, member.cursor = tuple(order), 0
    chunk = member.order[member.cursor :][: room.chunk(size, shown=size)]
    member.cursor += len(chunk)
    return Minibatch(known=(), chunk=chunk, size=size, successes=())


def begin_again(member: Member, rng: random.Random) -> None:
    """Let a member show everything once more, in another order."""
    order = list(member.order)
    rng.shuffle(order)
    member.order, member.cursor = tuple(order), 0
    member.shown.clear()


def shown_items(
    batch: Minibatch, ran: Mapping[str, ItemResult], *, perfect: float, failures_only: bool
) -> list[str]:
    """Return the items to show, once the parent was run on the chunk."""
    if not failures_only:
        return list(batch.chunk)
    fresh = [item for item in batch.chunk if is_failure(ran[item], perfect)]
    return [*batch.known, *fresh[batch.skipped :]][: batch.size]


def guarded_items(
    batch: Minibatch,
    ran: Mapping[str, ItemResult],
    shown: Sequence[str],
    *,
    perfect: float,
    count: int = GUARDED_SUCCESSES,
) -> list[str]:
    """Return ``count`` successes that the gate checks beside the shown items."""
    right = [i for i in batch.chunk if i not in shown and not is_failure(ran[i], perfect)]
    return list(dict.fromkeys([*right, *batch.successes]))[:count]


def _successes(member: Member, perfect: float, rng: random.Random) -> tuple[str, ...]:
    right = [i for i, r in member.trained.items() if not is_failure(r, perfect)]
    return tuple(rng.sample(right, min(GUARDED_SUCCESSES, len(right))))
