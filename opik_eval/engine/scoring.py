"""Running the metrics of one unit: checked before the run, concurrent, failures kept as values."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import cached_property
from traceback import format_exception
from typing import cast

from opik_eval.engine.failures import (
    UNIT_FAILURES,
    InterruptError,
    find_cause,
    is_being_cancelled,
)
from opik_eval.engine.metric_calls import MetricCalls, Recording
from opik_eval.engine.scorers import Scorer
from opik_eval.errors import BudgetExceededError, MetricError, MissingArgumentError
from opik_eval.metrics.base import (
    ScoreResult,
    failed,
    normalise,
)
from opik_eval.tracing.context import trace_scope
from opik_eval.tracing.litellm_callback import await_calls, wait_for_calls

KeyMapping = Mapping[str, str | Callable[[dict[str, object]], object]]
"""Metric argument -> key of item or output, or a function of both."""

_FAST_SECONDS = 0.001


@dataclass(slots=True)
class ScoringInputs:
    """What the scorers of one unit may take.

    Attributes:
        merged: Item, then output over it, then mapped keys over both.
        item: The item as the task saw it.
        output: What the task returned.
        task_span: Makes the span tree; called at most once, and only if somebody wants it.
        calls: Gathers the model calls of the scorers; ``None`` where none of them makes any.
    """

    merged: dict[str, object]
    item: Mapping[str, object]
    output: Mapping[str, object]
    task_span: Callable[[], object] | None = None
    calls: MetricCalls | None = None

    def recording(self, scorer: Scorer) -> Recording | None:
        """Return where the model calls of a scorer are gathered; ``None`` if it makes none."""
        if self.calls is None or not scorer.may_call_models:
            return None
        return self.calls.open(scorer)

    def for_scorer(self, scorer: Scorer) -> tuple[list[object], Mapping[str, object]]:
        """Return the arguments to call a scorer with.

        Raises:
            MissingArgumentError: A required argument is not there.
        """
        available: dict[str, object] = (
            {"dataset_item": self.item, "task_outputs": self.output}
            if scorer.by_item
            else self.merged
        )
        if scorer.wants_span and self.task_span is not None:
            available = {**available, "task_span": self.task_span()}
        if missing := scorer.arguments.missing_from(available):
            raise MissingArgumentError(scorer.name, missing, list(available))
        return scorer.arguments.select(available)


@dataclass(frozen=True)
class ScoringPlan:
    """All scorers of a run with the key mapping."""

    scorers: tuple[Scorer, ...]
    mapping: KeyMapping = field(default_factory=dict)

    @cached_property
    def wants_span(self) -> bool:
        """True if some scorer takes the span tree of the task."""
        return any(scorer.wants_span for scorer in self.scorers)

    @cached_property
    def has_functions(self) -> bool:
        """True if functions of the user's take part in the key mapping."""
        return any(callable(target) for target in self.mapping.values())

    @cached_property
    def may_call_models(self) -> bool:
        """True if some scorer may make model calls of its own."""
        return any(scorer.may_call_models for scorer in self.scorers)

    @property
    def is_inline(self) -> bool:
        """True if the scorers take less time than it takes to spread them.

        Slow ones would hold the thread of a task, and units would wait for their metrics. One that
        has not been called yet gets the benefit of the doubt, if it is alone.
        """
        slow = [s for s in self.scorers if s.is_async or s.typical_seconds >= _FAST_SECONDS]
        return not slow or (len(slow) == 1 and slow[0].is_new and not slow[0].is_async)

    @property
    def is_inline_on_loop(self) -> bool:
        """True if they may run on an event loop: quick, and none of them of the user's making.

        Synchronous code of users may wait for coroutines (``asyncio.run``, ``generate_sync``),
        which is impossible on a loop.
        """
        return self._is_ours and self.is_inline

    @cached_property
    def _is_ours(self) -> bool:
        modules = [str(getattr(s.function, "__module__", "")) for s in self.scorers]
        are_ours = all(name.startswith("opik_eval.metrics.") for name in modules)
        return are_ours and not self.has_functions

    def check(self, item: Mapping[str, object], output_keys: Iterable[str] | None) -> None:
        """Find arguments that nothing will supply.

        Args:
            item: The first item of the run.
            output_keys: Keys of the task's output; ``None`` = not known yet.

        Raises:
            MissingArgumentError: An argument is missing for certain.
        """
        if output_keys is None:
            return
        available = dict.fromkeys((*item, *output_keys, *self.mapping))
        for scorer in self.scorers:
            known = ("dataset_item", "task_outputs") if scorer.by_item else available
            missing = [
                name
                for name in scorer.arguments.required
                if name not in known and name != "task_span"
            ]
            missing += self._broken_targets(scorer, available)
            if missing:
                raise MissingArgumentError(scorer.name, missing, list(available))

    def merge(
        self,
        item: Mapping[str, object],
        output: Mapping[str, object],
        task_span: Callable[[], object] | None,
        calls: MetricCalls | None = None,
    ) -> ScoringInputs:
        """Return the inputs of one unit's scorers.

        Raises:
            MetricError: A function of the key mapping raised.
        """
        merged: dict[str, object] = {**item, **output}
        for argument, target in self.mapping.items():
            if callable(target):
                merged[argument] = self._mapped(argument, target, merged)
            elif target in merged:
                merged[argument] = merged[target]
        return ScoringInputs(merged, item, output, task_span, calls)

    def _broken_targets(self, scorer: Scorer, available: Mapping[str, object]) -> list[str]:
        return [
            target
            for argument in scorer.arguments.required
            if isinstance(target := self.mapping.get(argument), str) and target not in available
        ]

    @staticmethod
    def _mapped(
        argument: str,
        target: Callable[[dict[str, object]], object],
        merged: dict[str, object],
    ) -> object:
        try:
            return target(merged)
        except KeyboardInterrupt as error:
            raise InterruptError(f"scoring_key_mapping[{argument!r}] was interrupted") from error
        except UNIT_FAILURES as error:
            raise MetricError(
                f"scoring_key_mapping[{argument!r}] raised {type(error).__name__}: {error}",
                remedy=f"it was called with the keys {sorted(merged)}",
            ) from error


def score_inline(plan: ScoringPlan, inputs: ScoringInputs) -> list[ScoreResult]:
    """Run synchronous scorers one after the other in the calling thread."""
    scores: list[ScoreResult] = []
    for scorer in plan.scorers:
        scores.extend(_score_sync(scorer, inputs))
    return scores


async def score_concurrently(
    plan: ScoringPlan, inputs: ScoringInputs, threads: Executor
) -> list[ScoreResult]:
    """Run all scorers at once: coroutines on this loop, the others in threads."""
    loop = asyncio.get_running_loop()

    def start(scorer: Scorer) -> Awaitable[list[ScoreResult]]:
        if scorer.is_async:
            return _score_async(scorer, inputs)
        context = contextvars.copy_context()
        return loop.run_in_executor(threads, context.run, _score_sync, scorer, inputs)

    parts = await asyncio.gather(*(start(scorer) for scorer in plan.scorers))
    return [score for part in parts for score in part]


def all_failed(plan: ScoringPlan, error: Exception) -> list[ScoreResult]:
    """Return a failed score for every scorer, for an error that struck before any ran."""
    return [failed(scorer.name, error) for scorer in plan.scorers]


def ran_out_of_budget(scores: Iterable[ScoreResult]) -> bool:
    """Tell whether a metric failed because the budget is spent."""
    return any(
        score.scoring_failed and _error_type(score) == BudgetExceededError.__name__
        for score in scores
    )


def _error_type(score: ScoreResult) -> object:
    info = (score.metadata or {}).get("error_info")
    return info.get("exception_type") if isinstance(info, dict) else None


def _score_sync(scorer: Scorer, inputs: ScoringInputs) -> list[ScoreResult]:
    recording = inputs.recording(scorer)
    if recording is None:
        return _attempt(scorer, inputs)
    with trace_scope(recording.trace):
        scores = _attempt(scorer, inputs)
    wait_for_calls(recording.trace)
    return recording.close(scores)


async def _score_async(scorer: Scorer, inputs: ScoringInputs) -> list[ScoreResult]:
    recording = inputs.recording(scorer)
    if recording is None:
        return await _attempt_async(scorer, inputs)
    with trace_scope(recording.trace):
        scores = await _attempt_async(scorer, inputs)
    await await_calls(recording.trace)
    return recording.close(scores)


def _attempt(scorer: Scorer, inputs: ScoringInputs) -> list[ScoreResult]:
    started = time.perf_counter()
    try:
        positional, named = inputs.for_scorer(scorer)
        return _scores(scorer, scorer.function(*positional, **named))
    except KeyboardInterrupt as error:
        raise InterruptError(f"metric {scorer.name!r} raised KeyboardInterrupt") from error
    except UNIT_FAILURES as error:
        return [_failure(scorer, error)]
    finally:
        scorer.observe(time.perf_counter() - started)


async def _attempt_async(scorer: Scorer, inputs: ScoringInputs) -> list[ScoreResult]:
    try:
        positional, named = inputs.for_scorer(scorer)
        returned = await cast("Awaitable[object]", scorer.function(*positional, **named))
        return _scores(scorer, returned)
    except KeyboardInterrupt as error:
        raise InterruptError(f"metric {scorer.name!r} raised KeyboardInterrupt") from error
    except UNIT_FAILURES as error:
        if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
            raise
        return [_failure(scorer, error)]


def _scores(scorer: Scorer, returned: object) -> list[ScoreResult]:
    scores = normalise(returned, name=scorer.name)
    return scores if all(map(_is_well_typed, scores)) else [_tidied(score) for score in scores]


def _is_well_typed(score: ScoreResult) -> bool:
    metadata = score.metadata
    return (
        type(score.name) is str
        and (score.reason is None or type(score.reason) is str)
        and (score.category_name is None or type(score.category_name) is str)
        and (metadata is None or (type(metadata) is dict and all(type(k) is str for k in metadata)))
    )


def _tidied(score: ScoreResult) -> ScoreResult:
    """Return a score with texts where texts belong; metrics put exceptions and numbers there."""
    metadata = score.metadata
    if metadata is not None and not isinstance(metadata, Mapping):
        raise MetricError(
            f"metric {score.name!r} returned a ScoreResult whose metadata is a "
            f"{type(metadata).__name__}",
            remedy="pass a dict",
        )
    return ScoreResult(
        str(score.name),
        score.value,
        None if score.reason is None else str(score.reason),
        None if score.category_name is None else str(score.category_name),
        None if metadata is None else {str(key): value for key, value in metadata.items()},
        bool(score.scoring_failed),
    )


def _failure(scorer: Scorer, error: BaseException) -> ScoreResult:
    spent = find_cause(error, BudgetExceededError)  # whatever the metric has wrapped it in
    return failed(scorer.name, spent or error, traceback="".join(format_exception(error)))
