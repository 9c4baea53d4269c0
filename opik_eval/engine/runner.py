"""Running one unit from item to records: task, metrics, bookkeeping; no scheduling."""

from __future__ import annotations

import asyncio
import contextvars
import marshal
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import cast

from opik_eval.engine.bookkeeping import result_of
from opik_eval.engine.failures import UNIT_FAILURES, InterruptError, is_being_cancelled
from opik_eval.engine.metric_calls import MetricCalls
from opik_eval.engine.scoring import (
    ScoringInputs,
    ScoringPlan,
    all_failed,
    score_concurrently,
    score_inline,
)
from opik_eval.engine.task import Task, checked_output, is_async
from opik_eval.engine.trial import enter_trial
from opik_eval.engine.units import Executed, Finished, Scored, WorkUnit
from opik_eval.errors import MetricError, TaskError
from opik_eval.metrics.base import ScoreResult
from opik_eval.records import Span
from opik_eval.tracing.capture import error_info_of, snapshot
from opik_eval.tracing.context import (
    CollectingSink,
    Sink,
    TraceState,
    trace_scope,
)
from opik_eval.tracing.litellm_callback import await_calls, wait_for_calls
from opik_eval.tracing.tracer import Tracer
from opik_eval.tracing.tree import build_tree

TRACE_NAME = "evaluation_task"


@dataclass(frozen=True)
class RunLabels:
    """What every record of a run carries.

    Attributes:
        experiment_id: ``None`` for a run that is not an experiment.
        source: ``experiment`` or ``optimization``.
        metrics_key: Fingerprint of the metrics, part of every item's resume key.
        keep_input: Store the item's content in the experiment item (where no dataset holds it).
    """

    experiment_id: str | None
    project_name: str
    metrics_key: str = ""
    source: str = "experiment"
    tags: tuple[str, ...] | None = None
    keep_input: bool = False


class UnitRunner:
    """Runs units of one evaluation.

    Args:
        task: The user's task; ``None`` when stored outputs are scored again.
        scoring: The metrics.
        labels: What the records carry.
        fallback: Receives spans of work that outlives its task.
        timeout_seconds: Limit for one asynchronous task (threads are watched by the scheduler).
    """

    def __init__(
        self,
        *,
        task: Task | None,
        scoring: ScoringPlan,
        labels: RunLabels,
        fallback: Sink,
        timeout_seconds: float | None = None,
    ) -> None:
        self.task = task
        self.scoring = scoring
        self.labels = labels
        self.timeout_seconds = timeout_seconds
        self._fallback = fallback
        self._is_tracked = bool(getattr(task, "opik_tracked", False))
        self.is_async = task is not None and is_async(task)

    def __getstate__(self) -> dict[str, object]:
        # Sent to another process, a runner opens there the store that its fallback writes to.
        late = self._fallback
        target = late.target if isinstance(late, Tracer) else None
        return {**self.__dict__, "_fallback": target}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        target = cast("str | None", state["_fallback"])
        self._fallback = Tracer(target, project_name=self.labels.project_name)

    def execute(self, unit: WorkUnit) -> Executed:
        """Run the task of a unit in the calling thread. Never raises what the task raises."""
        if unit.stored is not None:
            return self._reuse(unit)
        enter_trial(unit.trial)
        call = cast("Callable[[dict[str, object]], object]", self.task)
        trace, sink = self._open_trace(unit)
        output: Mapping[str, object] | None
        failure: BaseException | None = None
        started = time.perf_counter()
        try:
            with trace_scope(trace):
                output = checked_output(call(_private_copy(unit.item)), call)
                _record_output(output, trace)
        except KeyboardInterrupt as error:
            raise InterruptError("a task raised KeyboardInterrupt") from error
        except UNIT_FAILURES as error:  # user code; one item's failure
            failure, output = error, None
        seconds = time.perf_counter() - started
        wait_for_calls(trace)
        return self._executed(unit, output, failure, trace, sink, seconds)

    async def aexecute(self, unit: WorkUnit) -> Executed:
        """Run the task of a unit on the running loop. Never raises what the task raises."""
        if unit.stored is not None:
            return self._reuse(unit)
        enter_trial(unit.trial)
        call = cast("Callable[[dict[str, object]], Awaitable[object]]", self.task)
        trace, sink = self._open_trace(unit)
        output: Mapping[str, object] | None
        failure: BaseException | None = None
        started = time.perf_counter()
        try:
            with trace_scope(trace):
                running = call(_private_copy(unit.item))
                if self.timeout_seconds is None:
                    returned = await running
                else:
                    async with asyncio.timeout(self.timeout_seconds):
                        returned = await running
                output = checked_output(returned, call)
                _record_output(output, trace)
        except TimeoutError as error:
            failure, output = self._timed_out(error, time.perf_counter() - started), None
        except KeyboardInterrupt as error:
            raise InterruptError("a task raised KeyboardInterrupt") from error
        except UNIT_FAILURES as error:  # user code; one item's failure
            if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
                raise
            failure, output = error, None
        seconds = time.perf_counter() - started
        await await_calls(trace)
        return self._executed(unit, output, failure, trace, sink, seconds)

    def expire(self, unit: WorkUnit, seconds: float) -> Finished:
        """Return the result of a unit whose thread did not come back in time."""
        trace, sink = self._open_trace(unit)
        error = self._timed_out(None, seconds)
        return self.finish(self._unscored(self._executed(unit, None, error, trace, sink, seconds)))

    def score(self, executed: Executed) -> Scored:
        """Run the metrics one after the other in the calling thread."""
        if executed.output is None:
            return self._unscored(executed)
        started = time.perf_counter()
        inputs, scores = self._inputs(executed), None
        if isinstance(inputs, ScoringInputs):
            scores = score_inline(self.scoring, inputs)
        return self._scored(executed, inputs, scores, time.perf_counter() - started)

    async def ascore(self, executed: Executed, threads: Executor) -> Scored:
        """Run the metrics at once, on the running loop and in threads."""
        if executed.output is None:
            return self._unscored(executed)
        started = time.perf_counter()
        if self.scoring.has_functions:  # of the user's making: they may take long, or wait
            context = contextvars.copy_context()
            loop = asyncio.get_running_loop()
            inputs = await loop.run_in_executor(threads, context.run, self._inputs, executed)
        else:
            inputs = self._inputs(executed)
        scores = None
        if isinstance(inputs, ScoringInputs):
            scores = await score_concurrently(self.scoring, inputs, threads)
        return self._scored(executed, inputs, scores, time.perf_counter() - started)

    def finish(self, scored: Scored) -> Finished:
        """Return the result of a scored unit, with what was traced."""
        executed = scored.executed
        return Finished(executed.unit, result_of(scored), [*executed.spans, *scored.calls])

    def run(self, unit: WorkUnit) -> Finished:
        """Run a unit from start to end in the calling thread (used in worker processes)."""
        return self.finish(self.score(self.execute(unit)))

    def _open_trace(self, unit: WorkUnit) -> tuple[TraceState, CollectingSink]:
        sink = CollectingSink(self._fallback)
        trace = TraceState(sink, TRACE_NAME)
        # The item is ours alone and plain JSON: it is recorded as it is, without another copy.
        trace.input = unit.dataset_item.data
        trace.project_name = self.labels.project_name
        trace.source = self.labels.source
        trace.tags = self.labels.tags
        return trace, sink

    def _timed_out(self, cause: BaseException | None, seconds: float) -> BaseException:
        limit = self.timeout_seconds
        if cause is not None and (limit is None or seconds < limit):
            return cause  # the task's own TimeoutError, not ours
        return TaskError(
            f"the task did not finish within timeout_seconds={limit:g}",
            remedy="raise timeout_seconds, or give the call inside the task a shorter limit",
        )

    def _reuse(self, unit: WorkUnit) -> Executed:
        stored = unit.stored
        output = cast("Mapping[str, object]", stored.output if stored else {})
        return Executed(unit, output, None, None, None, [], (stored and stored.task_seconds) or 0.0)

    def _executed(
        self,
        unit: WorkUnit,
        output: Mapping[str, object] | None,
        failure: BaseException | None,
        trace: TraceState,
        sink: CollectingSink,
        seconds: float,
    ) -> Executed:
        error = None
        if failure is not None:
            error = error_info_of(failure)
            trace.update(error_info=error)
        trace.end()
        return Executed(unit, output, failure, error, trace, sink.take(), seconds)

    def _inputs(self, executed: Executed) -> ScoringInputs | MetricError:
        span = None
        if self.scoring.wants_span:
            span = _tree_maker(executed, is_tracked=self._is_tracked)
        calls = self._metric_calls(executed) if self.scoring.may_call_models else None
        try:
            return self.scoring.merge(executed.unit.item, executed.output or {}, span, calls)
        except MetricError as error:
            return error

    def _metric_calls(self, executed: Executed) -> MetricCalls:
        stored = executed.unit.stored
        earlier = stored.trace_id if stored else None
        trace_id = executed.trace.id if executed.trace else earlier
        labels = self.labels
        return MetricCalls(trace_id, labels.project_name, labels.source, self._fallback)

    def _scored(
        self,
        executed: Executed,
        inputs: ScoringInputs | MetricError,
        scores: list[ScoreResult] | None,
        seconds: float,
    ) -> Scored:
        if isinstance(inputs, MetricError):
            return Scored(executed, all_failed(self.scoring, inputs), seconds, None)
        merged = inputs.merged if self.scoring.mapping else None
        calls = inputs.calls.records if inputs.calls else ()
        return Scored(executed, scores or [], seconds, merged, calls)

    @staticmethod
    def _unscored(executed: Executed) -> Scored:
        return Scored(executed, [], 0.0, None)


def _private_copy(item: Mapping[str, object]) -> dict[str, object]:
    """Return a deep copy for the task, which may change what it is given.

    Items are plain JSON types, which ``marshal`` copies exactly and faster than anything else.
    """
    copied: dict[str, object] = marshal.loads(marshal.dumps(cast("dict[str, str]", item)))
    return copied


def _record_output(output: object, trace: TraceState) -> None:
    if trace.output is None:
        trace.output = snapshot(output)
    else:  # the task has said something of its own: merge
        trace.update(output=output)


def _tree_maker(executed: Executed, *, is_tracked: bool) -> Callable[[], object]:
    """Return a function that makes the span tree of the task: its own span, or else the trace."""
    made: list[object] = []

    def make() -> object:
        if not made:
            if executed.trace is None:
                raise MetricError(
                    "a stored output is scored again, so there is no task_span",
                    remedy="leave metrics with a task_span argument out when re-scoring",
                )
            spans = [record for record in executed.spans if isinstance(record, Span)]
            tree = build_tree(executed.trace.record(), spans)
            made.append(tree.spans[0] if is_tracked and tree.spans else tree)
        return made[0]

    return make
