"""One metric as an objective: called rightly, turned the right way up, its failures kept apart."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Protocol, cast, runtime_checkable

from opik_eval.metrics.base import Arguments, BaseMetric, ScoreResult, arguments_of, normalise
from opik_optimizer.arguments import arguments_for, is_by_name
from opik_optimizer.calling import call, raise_if_spent
from opik_optimizer.errors import ObjectiveError, SettingsError

MetricFunction = Callable[..., object]
_UNBOUNDED = (-math.inf, math.inf)
_OWN_METRICS = ("opik_eval.metrics.", "opik_optimizer.objective")


@dataclass(frozen=True, kw_only=True)
class ObjectiveScore:
    """What an objective says of one output.

    Attributes:
        score: The higher the better; ``None`` if it failed.
        reason: Why, in the metrics' words.
        scores: What each metric gave, by name, in its own direction.
        error: What failed.
    """

    score: float | None
    reason: str | None = None
    scores: Mapping[str, float | None] = field(default_factory=dict)
    error: str | None = None


@runtime_checkable
class Objective(Protocol):
    """What optimizers maximise; made of whatever the user passes by ``as_objective``."""

    @property
    def name(self) -> str:
        """Name of the metric."""
        ...

    @property
    def is_turned(self) -> bool:
        """True if the metric is the better the lower it is, and its score was turned round."""
        ...

    @property
    def value_range(self) -> tuple[float, float]:
        """Lowest and highest possible score, after turning; infinities where there is no bound."""
        ...

    @property
    def wants_span(self) -> bool:
        """True if it takes the span tree of the agent's run."""
        ...

    @property
    def fingerprint(self) -> str:
        """Key of the metric's code and configuration, the same in every process."""
        ...

    def describe(self) -> str:
        """Return what it measures and in which direction, for prompts and reports."""
        ...

    def check(self, item: Mapping[str, object]) -> None:
        """Find arguments that nothing will supply.

        Raises:
            ObjectiveError: An argument is missing; the text says how to supply it.
        """
        ...

    async def score(
        self,
        item: Mapping[str, object],
        output: object,
        *,
        task_span: object = None,
        executor: Executor | None = None,
    ) -> ObjectiveScore:
        """Score one output. What goes wrong becomes ``error``.

        Args:
            item: The dataset item.
            output: What the agent answered: a text, or a mapping with ``output``.
            task_span: Span tree of the agent's run, if ``wants_span``.
            executor: Threads for synchronous metrics; the loop's own if absent.

        Raises:
            BudgetExceededError: A judge's call does not fit the budget.
        """
        ...


@dataclass(frozen=True, eq=False)
class MetricObjective:
    """One metric, judge or function as an objective.

    Args:
        metric: An ``opik_eval`` metric or judge, which takes fields of the item and ``output``; or
            a function ``(dataset_item, llm_output[, task_span])``, plain or async, of any kind.
        mapping: Fields of the item by the arguments of the metric they supply.
        name: Name; the metric's if absent.

    Raises:
        SettingsError: It is no metric, or neither direction of it is better.
    """

    metric: BaseMetric | MetricFunction
    mapping: Mapping[str, str] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.metric, type) or not (callable(self.metric) or self._method):
            raise SettingsError(
                f"{self.metric!r} is not a metric",
                remedy="pass a function (dataset_item, llm_output), or a metric with parentheses: "
                "Equals()",
            )
        object.__setattr__(self, "name", self.name or _name_of(self.metric))
        if getattr(self.metric, "higher_is_better", True) is None:
            raise SettingsError(
                f"metric {self.name!r} says that neither a high nor a low value is better",
                remedy="wrap it in a function whose value is the better the higher it is",
            )

    @property
    def is_turned(self) -> bool:
        """True if the metric is the better the lower it is."""
        return getattr(self.metric, "higher_is_better", True) is False

    @property
    def value_range(self) -> tuple[float, float]:
        """Lowest and highest possible score, after turning."""
        lowest, highest = getattr(self.metric, "value_range", None) or _UNBOUNDED
        if self.is_turned and not math.isfinite(lowest + highest):
            return (-highest, -lowest)
        return (lowest, highest)

    @property
    def wants_span(self) -> bool:
        """True if it takes ``task_span``."""
        return "task_span" in (*self._arguments.required, *self._arguments.optional)

    @cached_property
    def fingerprint(self) -> str:
        """Key of code and configuration."""
        from opik_eval.engine.fingerprint import fingerprint

        return fingerprint([self.metric, dict(self.mapping), self.name])

    def describe(self) -> str:
        """Return name, direction and what the documentation says first."""
        direction = "lower is better; shown turned round" if self.is_turned else "higher is better"
        own = getattr(_unwrapped(self.metric), "__doc__", None)
        summary = inspect.cleandoc(own).partition("\n")[0] if isinstance(own, str) else ""
        return f"{self.name} ({direction})" + (f": {summary}" if summary else "")

    def check(self, item: Mapping[str, object]) -> None:
        """Find arguments that nothing will supply; see ``Objective.check``."""
        self._call_arguments(item, "", None)

    async def score(
        self,
        item: Mapping[str, object],
        output: object,
        *,
        task_span: object = None,
        executor: Executor | None = None,
    ) -> ObjectiveScore:
        """Score one output; see ``Objective.score``."""
        try:
            positional, named = self._call_arguments(item, output, task_span)
            start = partial(self._function, *positional, **named)
            returned = await call(start, executor=executor, inline=self._is_quick)
            return self._read(normalise(returned, name=self.name))
        except Exception as error:  # noqa: BLE001 - the user's metric
            raise_if_spent(error)
            return ObjectiveScore(
                score=None, scores={self.name: None}, error=f"{type(error).__name__}: {error}"
            )

    @property
    def _method(self) -> MetricFunction | None:
        found = getattr(self.metric, "score", None) or getattr(self.metric, "ascore", None)
        return cast("MetricFunction | None", found)

    @cached_property
    def _function(self) -> MetricFunction:
        if isinstance(self.metric, BaseMetric):
            from opik_eval.metrics.base import implementation_of

            return implementation_of(self.metric)
        return self._method or self.metric

    @cached_property
    def _arguments(self) -> Arguments:
        if isinstance(self.metric, BaseMetric):
            return self.metric.score_arguments()
        return arguments_of(self._function)

    @property
    def _is_quick(self) -> bool:
        """True for our own deterministic metrics: a thread would take longer than they do."""
        return str(getattr(self._function, "__module__", "")).startswith(_OWN_METRICS)

    def _call_arguments(
        self, item: Mapping[str, object], output: object, task_span: object
    ) -> tuple[Sequence[object], Mapping[str, object]]:
        available = arguments_for(item, output, self.mapping)
        if self.wants_span:
            available["task_span"] = task_span
        is_metric = self._method is not None
        if is_metric or is_by_name(self._arguments, available):
            if missing := self._arguments.missing_from(available):
                raise ObjectiveError(
                    f"metric {self.name!r} needs {missing}, and an item has {sorted(item)}",
                    remedy="pass MetricObjective(metric, mapping={'reference': 'answer'}), or a "
                    "function (dataset_item, llm_output)",
                )
            return self._arguments.select(available)
        span = {"task_span": task_span} if self.wants_span else {}
        return [item, available["llm_output"]], span

    def _read(self, results: Sequence[ScoreResult]) -> ObjectiveScore:
        main = _main(results, self.name)
        scores = {r.name: r.value if r.is_scored else None for r in results}
        if not main.is_scored or main.value is None:
            why = main.reason or f"its value is {main.value}"
            return ObjectiveScore(score=None, scores=scores, error=f"{main.name} failed: {why}")
        return ObjectiveScore(score=self._turned(main.value), reason=main.reason, scores=scores)

    def _turned(self, value: float) -> float:
        if not self.is_turned:
            return value
        total = sum(getattr(self.metric, "value_range", None) or _UNBOUNDED)
        return total - value if math.isfinite(total) else -value


def _main(results: Sequence[ScoreResult], name: str) -> ScoreResult:
    """Return the score that is the objective, of all that a metric gave."""
    named = [result for result in results if result.name == name] or list(results)
    if len(named) == 1:
        return replace(named[0])
    raise ObjectiveError(
        f"metric {name!r} returned {len(results)} scores, called {[r.name for r in results]}",
        remedy=f"call the one to optimize {name!r}, or use MultiMetricObjective",
    )


def _unwrapped(function: object) -> object:
    while isinstance(function, partial):
        function = function.func
    return function


def _name_of(metric: object) -> str:
    called = _unwrapped(metric)
    name = getattr(metric, "name", None) or getattr(called, "__name__", None)
    return "metric" if name == "<lambda>" else str(name or type(called).__name__)


__all__ = [
    "MetricFunction",
    "MetricObjective",
    "Objective",
    "ObjectiveScore",
]
