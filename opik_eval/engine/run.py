"""One run of the engine: feed, schedule, record, collect, stop."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from opik_eval.engine.bookkeeping import records_of
from opik_eval.engine.executors import run_in_processes
from opik_eval.engine.failures import find_cause
from opik_eval.engine.progress import Listener
from opik_eval.engine.recorder import Recorder
from opik_eval.engine.runner import UnitRunner
from opik_eval.engine.scheduler import run_in_threads, run_on_loop
from opik_eval.engine.scheduling import Scheduling
from opik_eval.engine.task import output_keys
from opik_eval.engine.units import Executed, Feed, Finished, WorkUnit
from opik_eval.errors import BudgetExceededError, MissingArgumentError, StorageError
from opik_eval.experiments.result import TestResult
from opik_eval.storage.base import Storage
from opik_eval.tracing.context import Sink

logger = logging.getLogger("opik_eval.engine")

StopReason = Literal["completed", "max_errors", "budget", "storage", "fatal"]


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """What to run and how.

    Attributes:
        units: The units, made lazily.
        total: Their number, if known.
        reused: Results of an earlier run that stand, by index.
        workers: Most tasks in flight.
        max_errors: Task errors after which the run stops; ``None`` = never.
        executor: ``None`` for threads and coroutines, else a joblib backend.
        is_fatal: Tells whether a task's exception would meet every unit, so that going on is vain.
        late: Receives traces and spans of units that are not delivered.
    """

    runner: UnitRunner
    storage: Storage
    units: Iterable[WorkUnit]
    total: int | None
    workers: int
    late: Sink
    reused: dict[int, TestResult] = field(default_factory=dict)
    max_errors: int | None = None
    executor: str | None = None
    is_fatal: Callable[[BaseException], bool] | None = None
    check_arguments: bool = True
    listeners: tuple[Listener, ...] = ()
    context: contextvars.Context = field(default_factory=contextvars.copy_context)


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """What a run came to.

    Attributes:
        results: Results in dataset order, reused ones included.
        stop_reason: Why the run ended; ``completed`` = everything ran.
        unsaved: Finished units that the store refused; they are in ``results`` all the same.
        refusals: Why it refused them, where that was not for an error of the store itself.
        error: What ended the run, if it was the store, or an exception that meets every unit.
    """

    results: list[TestResult]
    stop_reason: StopReason
    unsaved: int = 0
    refusals: tuple[str, ...] = ()
    error: BaseException | None = None


class Run:
    """A run in progress.

    Raises (from ``execute``):
        MissingArgumentError: The first output shows that a metric's argument is missing.
    """

    def __init__(self, spec: RunSpec) -> None:
        self._spec = spec
        self._feed = Feed(spec.units)
        self._results: dict[int, TestResult] = dict(spec.reused)
        self._errors = 0
        self._lock = threading.Lock()
        self._stop_reason: StopReason = "completed"
        self._misfit: MissingArgumentError | None = None
        self._fatal: BaseException | None = None
        self._listeners = list(spec.listeners)
        keys = output_keys(spec.runner.task) if spec.runner.task else None
        self._must_check = spec.check_arguments and keys is None
        self._recorder = Recorder(
            spec.storage,
            records_of=partial(records_of, labels=spec.runner.labels),
            on_durable=self._on_durable,
            on_failure=self._on_failure,
        )

    async def execute(self) -> RunOutcome:
        """Run everything; when cancelled, store what is done and raise ``CancelledError``."""
        spec = self._spec
        shared = Scheduling(
            runner=spec.runner,
            feed=self._feed,
            deliver=self._deliver,
            control=self,
            workers=spec.workers,
            total=spec.total,
            context=spec.context,
        )
        try:
            if spec.executor is not None:
                await run_in_processes(shared, spec.executor)
            elif spec.runner.is_async:
                await run_on_loop(shared)
            else:
                await run_in_threads(shared)
        finally:
            self._feed.shut()
            unsaved = self._recorder.close()
        if self._misfit is not None:
            raise self._misfit
        self._keep(unsaved)
        return RunOutcome(
            results=[self._results[index] for index in sorted(self._results)],
            stop_reason=self._stop_reason,
            unsaved=len(unsaved),
            refusals=self._recorder.reasons,
            error=self._recorder.error or self._fatal,
        )

    def budget_exceeded(self) -> None:
        """Stop: a metric found the budget spent. It will run again on resume."""
        self._stop("budget")

    def ends_with(self, executed: Executed) -> bool:
        """Stop, and return true, if a task failed for a reason that concerns the whole run.

        Then the unit is not counted as a failure, and will run again on resume.
        """
        error = executed.exception
        if find_cause(error, BudgetExceededError) is not None:
            self._stop("budget")
        elif error is not None and self._spec.is_fatal is not None and self._spec.is_fatal(error):
            self._fatal = error
            self._stop("fatal")
        else:
            return False
        for record in executed.spans:
            self._spec.late.emit(record)
        return True

    def _deliver(self, finished: Finished) -> None:
        if self._must_check and finished.result.error is None:
            self._check_arguments(finished)
        if finished.result.error is not None:
            self._count_error()
        self._recorder.add(finished)

    def _check_arguments(self, finished: Finished) -> None:
        self._must_check = False
        unit, output = finished.unit, finished.result.test_case.task_output or {}
        try:
            self._spec.runner.scoring.check(unit.item, list(output))
        except MissingArgumentError as error:
            self._misfit = error
            self._feed.shut()

    def _count_error(self) -> None:
        with self._lock:
            self._errors += 1
            limit = self._spec.max_errors
            reached = limit is not None and self._errors > limit
        if reached:
            self._stop("max_errors")

    def _stop(self, reason: StopReason) -> None:
        with self._lock:
            if self._stop_reason == "completed":
                self._stop_reason = reason
        self._feed.shut()

    def _on_durable(self, batch: Sequence[Finished]) -> None:
        self._keep(batch)
        results = [finished.result for finished in batch]
        for listener in tuple(self._listeners):
            try:
                listener.finished(results)
            except Exception as error:  # noqa: BLE001 - the run outlives whoever looks on
                self._listeners.remove(listener)
                logger.warning("progress is no longer shown: %s: %s", type(error).__name__, error)

    def _on_failure(self, _: StorageError) -> None:
        self._stop("storage")

    def _keep(self, batch: Sequence[Finished]) -> None:
        for finished in batch:
            self._results[finished.unit.index] = finished.result
