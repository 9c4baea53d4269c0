"""In-order commit: many proposals at once, and a history that does not know which came in first.

Proposal ``k`` is issued once exactly the proposals up to ``k - in_flight`` have been committed, and
proposals are committed in the order of their numbers. So what a proposal knows depends on the seed
and on the replies alone, never on the number of workers or on who was quicker; and there is no
barrier: a slow proposal delays those ``in_flight`` places behind it, not its neighbours.

A proposal may end with a step that sees what was committed since it was issued (``finish``): these
steps run one after the other, in order, while later proposals go on with their own work.

Each proposal runs under a lease on its worst case. Where the lease does not fit, the pipeline waits
for commits, which give back what was not needed; once nothing is under way, it takes what is left.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from opik_eval.errors import BudgetExceededError
from opik_optimizer.budget import Account, Lease, LeaseSize, Remaining, stop_reason_of
from opik_optimizer.errors import BudgetExhaustedError, OptimizerError, ReflectionError

if TYPE_CHECKING:
    from opik_optimizer.evaluation import Evaluation

T = TypeVar("T")

IDLE_LIMIT = 64
"""Proposals in a row that evaluated nothing new, after which a search ends."""

_LEASED = ("trials", "metric_calls")

MOST_IN_FLIGHT = 8
GENERATIONS = 8
"""How many proposals, one learning of the other, the budget should last for."""

Failure = ReflectionError | BudgetExceededError
"""What a proposal may raise; it is handed to ``commit`` in the place of an outcome."""

Issue = Callable[[int, Lease], Coroutine[object, object, T] | None]
Commit = Callable[[int, "T | Failure"], None]
Finish = Callable[[int, T], Coroutine[object, object, T]]


def in_flight_for(remaining: Remaining, size: LeaseSize) -> int:
    """Return how many proposals to run at once where nobody says: 1 to ``MOST_IN_FLIGHT``.

    A proposal does not know what those beside it find out. So their number is bounded by what the
    budget has room for: ``GENERATIONS`` proposals one after the other.

    Args:
        remaining: What is left of the budget.
        size: Worst case of one proposal.

    Example:
        >>> in_flight_for(Remaining(metric_calls=2000, trials=None), LeaseSize(metric_calls=100))
        2
    """
    needs = ((remaining.metric_calls, size.metric_calls), (remaining.trials, size.trials))
    rooms = [left // (GENERATIONS * need) for left, need in needs if left is not None and need]
    return max(1, min([MOST_IN_FLIGHT, *rooms]))


@dataclass(eq=False)
class Proposal:
    """One proposal under way, and what it may see.

    Attributes:
        index: Its number.
        lease: What it may spend.
        best: The incumbent when it was issued.
        known: How many candidates were known then.
        deferred: What to do at its commit, such as recording what the guards refused.
        has_asked: It has asked the reflection model.
    """

    index: int
    lease: Lease
    best: Evaluation
    known: int
    deferred: list[Callable[[], None]] = field(default_factory=list)
    has_asked: bool = False


_current: ContextVar[Proposal | None] = ContextVar("opik_optimizer_proposal", default=None)


def current_proposal() -> Proposal | None:
    """Return the proposal that this code is part of; ``None`` outside of a pipeline."""
    return _current.get()


@dataclass
class StopSwitch:
    """Why the search is over.

    Attributes:
        reason: The first reason given; ``None`` while the search may go on.
    """

    reason: str | None = None

    def stop(self, reason: str) -> None:
        """End the search; only the first reason counts. What is under way is still committed."""
        self.reason = self.reason or reason


class Pipeline(Generic[T]):
    """Runs proposals, ``in_flight`` at once, and commits them in order.

    Args:
        account: Where leases come from.
        switch: Ends the pipeline, and is told when the budget does.
        in_flight: Proposals at once; part of what determines the history.
        open_proposal: Makes the record of a proposal about to be issued.
        refresh: Lets a proposal about to finish see what is committed.
    """

    def __init__(
        self,
        account: Account,
        switch: StopSwitch,
        *,
        in_flight: int,
        open_proposal: Callable[[int, Lease], Proposal],
        refresh: Callable[[Proposal], None] = lambda _: None,
    ) -> None:
        self._account = account
        self._switch = switch
        self._in_flight = in_flight
        self._open_proposal = open_proposal
        self._refresh = refresh
        self._running: dict[int, tuple[Proposal, asyncio.Task[T]]] = {}
        self._next = 0
        self._committed = 0
        self._idle = 0
        self._has_more = True

    async def run(
        self,
        issue: Issue[T],
        commit: Commit[T],
        size: LeaseSize,
        *,
        finish: Finish[T] | None = None,
    ) -> None:
        """Run until ``issue`` has nothing more, the budget is spent, or the switch says stop.

        Args:
            issue: ``issue(k, lease)`` decides on proposal ``k`` and returns the coroutine that
                carries it out, or ``None`` for "nothing more". It is a plain function: what it
                reads, it reads at the right moment; the coroutine must not read the search's state.
            commit: ``commit(k, outcome)`` takes what the coroutine returned, or the ``Failure``
                that it raised.
            size: Worst case of one proposal, ``finish`` included.
            finish: ``finish(k, outcome)`` goes on with what the coroutine returned, once all
                proposals before ``k`` are committed, and returns what to commit. It may read the
                search's state; it runs alone, beside the coroutines of later proposals.
        """
        if inspect.iscoroutinefunction(issue):
            raise OptimizerError(
                "issue is a coroutine function, which would read the search's state too late",
                remedy="write a plain function that returns a coroutine",
            )
        try:
            while True:
                self._fill(issue, size)
                if not self._running:
                    return
                await self._commit_next(commit, finish)
        finally:
            await self._cancel_running()

    def _fill(self, issue: Issue[T], size: LeaseSize) -> None:
        while self._may_issue():
            lease = self._lease(size)
            if lease is None:
                return
            proposal = self._open_proposal(self._next, lease)
            token = _current.set(proposal)
            try:
                work = issue(self._next, lease)
                if work is None:
                    lease.release()
                    self._has_more = False
                    return
                self._running[self._next] = (proposal, asyncio.create_task(work))
            finally:
                _current.reset(token)
            self._next += 1

    def _may_issue(self) -> bool:
        has_room = self._next - self._committed < self._in_flight
        return has_room and self._has_more and self._switch.reason is None

    def _lease(self, size: LeaseSize) -> Lease | None:
        lease = self._account.lease(size)
        if lease is None and not self._running:
            lease = self._account.lease(size, partly=True)
            if lease is None:
                self._switch.stop(self._account.shortage(size))
        return lease

    async def _commit_next(self, commit: Commit[T], finish: Finish[T] | None) -> None:
        index = self._committed
        proposal, task = self._running[index]
        outcome: T | Failure
        try:
            outcome = await task
            if finish is not None:
                outcome = await self._finished(finish, proposal, outcome)
        except (ReflectionError, BudgetExceededError) as failure:
            outcome = failure
            self._note(failure, proposal)
        del self._running[index]
        self._committed += 1
        charge = proposal.lease.settle()
        for action in proposal.deferred:
            action()
        commit(index, outcome)
        self._idle = 0 if charge else self._idle + 1
        if self._idle >= IDLE_LIMIT:
            self._switch.stop("no_usable_proposals")

    async def _finished(self, finish: Finish[T], proposal: Proposal, outcome: T) -> T:
        self._refresh(proposal)
        token = _current.set(proposal)
        try:
            return await finish(proposal.index, outcome)
        finally:
            _current.reset(token)

    def _note(self, failure: Failure, proposal: Proposal) -> None:
        """Draw the consequences of a failure for the search."""
        if not isinstance(failure, BudgetExceededError):
            return
        is_its_own = isinstance(failure, BudgetExhaustedError) and failure.limit in _LEASED
        if is_its_own and proposal.lease.is_full:
            raise OptimizerError(
                f"proposal {proposal.index} needs more than its lease: {failure.message}",
                remedy="declare the worst case in LeaseSize",
            ) from failure
        self._switch.stop(stop_reason_of(failure) or failure.limit)

    async def _cancel_running(self) -> None:
        """End what is under way. Its leases stay reserved: part of them may have been spent."""
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError, Exception):
                await task
        self._running.clear()


__all__ = [
    "GENERATIONS",
    "IDLE_LIMIT",
    "MOST_IN_FLIGHT",
    "Failure",
    "Pipeline",
    "Proposal",
    "StopSwitch",
    "current_proposal",
    "in_flight_for",
]
