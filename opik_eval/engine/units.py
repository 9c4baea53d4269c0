"""The unit of work: one item of one trial."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from threading import Lock

from opik_eval.experiments.result import TestResult
from opik_eval.metrics.base import ScoreResult
from opik_eval.records import (
    DatasetItem,
    ErrorInfo,
    ExperimentItem,
    FeedbackScore,
    Span,
    Trace,
)
from opik_eval.tracing.context import TraceState


@dataclass(slots=True)
class WorkUnit:
    """One item of one trial, ready to run; nobody changes it.

    Attributes:
        index: Place in the results: items in dataset order, trials of an item side by side.
        item: What the task receives: the user's fields and the item's ``id``.
        dataset_item: The stored item.
        trial: 0 .. trial_count-1.
        key: Content key of (item, task, trial); equal keys stand for the same work.
        stored: An earlier result whose output is reused, so that only its metrics run.
    """

    index: int
    item: Mapping[str, object]
    dataset_item: DatasetItem
    trial: int
    key: str
    stored: ExperimentItem | None = None


@dataclass(slots=True)
class Executed:
    """A unit whose task has run.

    Attributes:
        output: What the task returned; ``None`` if it failed.
        exception: What the task raised.
        trace: The trace of the run; ``None`` where a stored output is scored again.
        spans: The finished trace with its spans and scores.
        seconds: Time inside the task.
    """

    unit: WorkUnit
    output: Mapping[str, object] | None
    exception: BaseException | None
    error: ErrorInfo | None
    trace: TraceState | None
    spans: list[Trace | Span | FeedbackScore]
    seconds: float


@dataclass(slots=True)
class Finished:
    """A unit that is scored.

    Attributes:
        records: What was traced while it ran; the store keeps it, and what the result says.
    """

    unit: WorkUnit
    result: TestResult
    records: Sequence[Trace | Span | FeedbackScore]


@dataclass(slots=True)
class Scored:
    """An executed unit with its scores.

    Attributes:
        seconds: Time inside the metrics.
        inputs: What they received, if keys were mapped.
        calls: The spans of the model calls they made.
    """

    executed: Executed
    scores: list[ScoreResult]
    seconds: float
    inputs: Mapping[str, object] | None
    calls: Sequence[Trace | Span | FeedbackScore] = ()


class Feed:
    """Hands out units one by one to any number of threads; can be shut at any moment.

    Args:
        units: The units, made lazily; never more than ``chunk`` ahead of what is handed out.
        chunk: How many to make at a time.
    """

    def __init__(self, units: Iterable[WorkUnit], *, chunk: int = 64) -> None:
        self._units: Iterator[WorkUnit] = iter(units)
        self._ready: list[WorkUnit] = []
        self._chunk = chunk
        self._lock = Lock()
        self._open = True

    def next(self) -> WorkUnit | None:
        """Return the next unit, or ``None`` when there is none left or the feed is shut."""
        with self._lock:
            if not self._open:
                return None
            if not self._ready:
                self._ready = list(islice(self._units, self._chunk))
                self._ready.reverse()
            if not self._ready:
                self._open = False
                return None
            return self._ready.pop()

    def take(self, count: int) -> list[WorkUnit]:
        """Return up to ``count`` units at once."""
        taken: list[WorkUnit] = []
        while len(taken) < count and (unit := self.next()) is not None:
            taken.append(unit)
        return taken

    @property
    def is_open(self) -> bool:
        """True until the last unit is handed out or the feed is shut."""
        return self._open

    def shut(self) -> None:
        """Hand out nothing more."""
        with self._lock:
            self._open = False
            self._ready.clear()


Deliver = Callable[[Finished], None]
"""Takes a finished unit; called from any thread; blocks when the store cannot keep up."""
