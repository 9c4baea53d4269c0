"""What the flavours of scheduling share."""

from __future__ import annotations

import contextvars
import time
from dataclasses import dataclass, field
from typing import Protocol

from opik_eval.engine.gate import Gate
from opik_eval.engine.growth import Clocks
from opik_eval.engine.runner import UnitRunner
from opik_eval.engine.units import Deliver, Executed, Feed


class Control(Protocol):
    """What a scheduler tells the run."""

    def budget_exceeded(self) -> None:
        """A metric found the budget spent."""
        ...

    def ends_with(self, executed: Executed) -> bool:
        """Tell whether the failure of a task ends the run; then the unit is not delivered."""
        ...


@dataclass
class Scheduling:
    """What both flavours share.

    Attributes:
        workers: Most tasks in flight.
        total: Number of units, if known; fewer threads are started for fewer units.
        context: The caller's context variables; every task runs in a copy.
        clocks: What tells whether tasks compute or wait.
    """

    runner: UnitRunner
    feed: Feed
    deliver: Deliver
    control: Control
    workers: int
    total: int | None = None
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    clocks: Clocks = field(default_factory=Clocks)
    gate: Gate = field(init=False)

    def __post_init__(self) -> None:
        self.gate = Gate(self.workers, now=time.monotonic)

    @property
    def metric_threads(self) -> int:
        """Threads for metrics that run beside each other."""
        return min(4 * self.workers, 256)

    @property
    def scoring_slots(self) -> int:
        """Units that may be in scoring at once, beyond the tasks in flight."""
        return max(2 * self.workers, 32)

    @property
    def most_in_flight(self) -> int:
        """Workers that have something to do."""
        return max(self.workers if self.total is None else min(self.workers, self.total), 1)
