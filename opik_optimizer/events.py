"""What happens during an optimization, as one stream of typed events.

The progress display, the store and the user's own callbacks all listen to this stream. Events that
carry a decision come in an order that depends on the seed and the replies alone; those that only
tell of work under way (``ItemEvaluated``, ``ReflectionFinished``) come as the work gets done.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from opik_optimizer.candidate import Candidate
    from opik_optimizer.evaluation import Evaluation, ItemResult
    from opik_optimizer.history import Round, Trial
    from opik_optimizer.probe import ProbeReport
    from opik_optimizer.result import OptimizationResult
    from opik_optimizer.selection import Selection

logger = logging.getLogger("opik_optimizer")


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of all events.

    Attributes:
        optimization_id: The run it belongs to.
    """

    optimization_id: str


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    """A run begins. ``limits`` names the budget's limits; ``resumed`` = an earlier run goes on."""

    optimizer: str
    metric_name: str
    train_items: int
    validation_items: int
    holdout_items: int
    limits: dict[str, float]
    resumed: bool = False


@dataclass(frozen=True, kw_only=True)
class WarningRaised(Event):
    """Something the user should know, such as overlapping splits."""

    message: str


@dataclass(frozen=True, kw_only=True)
class ProbeFinished(Event):
    """The probe before the search is done."""

    report: ProbeReport


@dataclass(frozen=True, kw_only=True)
class BaselineEvaluated(Event):
    """The initial prompt has its score on the validation sample."""

    evaluation: Evaluation


@dataclass(frozen=True, kw_only=True)
class RoundStarted(Event):
    """An algorithm begins a round, generation or phase."""

    index: int


@dataclass(frozen=True, kw_only=True)
class RoundFinished(Event):
    """A round is over."""

    round: Round


@dataclass(frozen=True, kw_only=True)
class ProposalStarted(Event):
    """Work on a numbered proposal begins."""

    index: int


@dataclass(frozen=True, kw_only=True)
class CandidateProposed(Event):
    """A candidate passed the guards and will be evaluated."""

    candidate: Candidate


@dataclass(frozen=True, kw_only=True)
class CandidateRejected(Event):
    """A guard refused a candidate before anything was spent on it."""

    operator: str
    guard: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ReflectionFinished(Event):
    """The reflection model answered; ``replayed`` = from the ledger, at no cost."""

    purpose: str
    tokens: int | None
    cost_usd: float | None
    replayed: bool


@dataclass(frozen=True, kw_only=True)
class ReflectionFailed(Event):
    """The reflection model gave no usable reply."""

    purpose: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class EvaluationStarted(Event):
    """A candidate is about to be run on items of a split."""

    candidate_id: str
    split: str
    items: int


@dataclass(frozen=True, kw_only=True)
class ItemEvaluated(Event):
    """One item of an evaluation is done; ``replayed`` = from the ledger, at no cost."""

    candidate_id: str
    result: ItemResult
    replayed: bool


@dataclass(frozen=True, kw_only=True)
class EvaluationFinished(Event):
    """All items that were asked for are done."""

    evaluation: Evaluation


@dataclass(frozen=True, kw_only=True)
class CandidateDropped(Event):
    """A race showed that a candidate is not better, before its sample was complete."""

    evaluation: Evaluation
    blocks: int
    p_better: float


@dataclass(frozen=True, kw_only=True)
class TrialRecorded(Event):
    """A candidate's trial was committed to the history."""

    trial: Trial
    evaluation: Evaluation


@dataclass(frozen=True, kw_only=True)
class IncumbentChanged(Event):
    """A candidate beat the best so far on the validation sample."""

    evaluation: Evaluation
    previous_score: float


@dataclass(frozen=True, kw_only=True)
class BudgetUpdated(Event):
    """What has been charged so far, by the name of the limit."""

    used: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class SearchStopped(Event):
    """The search is over, for this reason."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class WinnerSelected(Event):
    """The finalists met on the holdout."""

    selection: Selection


@dataclass(frozen=True, kw_only=True)
class RunFinished(Event):
    """The result is complete and stored."""

    result: OptimizationResult


@dataclass(frozen=True, kw_only=True)
class RunFailed(Event):
    """The run ended with an exception; ``status`` is ``error`` or ``cancelled``."""

    error: BaseException
    status: str


@dataclass(frozen=True, kw_only=True)
class StageStarted(Event):
    """A chain begins its stage of that number, from 0."""

    index: int
    optimizer: str


@dataclass(frozen=True, kw_only=True)
class StageFinished(Event):
    """A stage of a chain is over; ``kept`` = a prompt of it replaced the incumbent."""

    index: int
    optimizer: str
    reason: str
    score: float
    kept: bool


@runtime_checkable
class Listener(Protocol):
    """Anything that receives events."""

    def on_event(self, event: Event) -> None:
        """Handle one event. Called by one thread at a time, in the order of the stream."""
        ...


Callback = Listener | Callable[[Event], None]


class EventStream:
    """Hands events to listeners, one at a time.

    A listener that raises is dropped with a logged warning: the run outlives whoever looks on. A
    listener marked ``essential`` is not: its error ends the run, because what it does (storing) is
    part of the run.

    Args:
        callbacks: Functions of one event, or objects with ``on_event``.

    Example:
        >>> seen = []
        >>> stream = EventStream([seen.append])
        >>> stream.emit(SearchStopped(optimization_id="1", reason="max_trials"))
        >>> seen[0].reason
        'max_trials'
    """

    def __init__(self, callbacks: Iterable[Callback] = ()) -> None:
        self._lock = threading.RLock()
        self._essential: list[Callable[[Event], None]] = []
        self._others: list[Callable[[Event], None]] = []
        for callback in callbacks:
            self.add(callback)

    def add(self, callback: Callback, *, essential: bool = False) -> None:
        """Add a listener; it sees the events from now on."""
        handler = callback.on_event if isinstance(callback, Listener) else callback
        with self._lock:
            (self._essential if essential else self._others).append(handler)

    def emit(self, event: Event) -> None:
        """Hand an event to all listeners, the essential ones first."""
        with self._lock:
            for handler in tuple(self._essential):
                handler(event)
            for handler in tuple(self._others):
                try:
                    handler(event)
                except Exception as error:  # noqa: BLE001 - the run outlives whoever looks on
                    self._others.remove(handler)
                    logger.warning(
                        "a callback is dropped, it raised %s: %s", type(error).__name__, error
                    )
