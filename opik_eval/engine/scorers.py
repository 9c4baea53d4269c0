"""Metrics and scoring functions, their signatures read once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from opik_eval.engine.task import is_async, name_of
from opik_eval.errors import ConfigError
from opik_eval.metrics.base import Arguments, BaseMetric, arguments_of, implementation_of

_SMOOTHING = 0.2
_UNUSUAL = 5
_OURS = "opik_eval.metrics."
# Metrics of ours that run what others wrote.
_MADE_OF_OTHERS = frozenset(
    _OURS + name for name in ("combine", "embedding", "function", "logic", "ragas_wrapper")
)


@dataclass(slots=True)
class Scorer:
    """One metric or scoring function, its signature read once.

    Attributes:
        function: What to call.
        is_async: It is a coroutine function.
        by_item: A scoring function, called with ``dataset_item`` and ``task_outputs``.
        is_tracked: Its model calls are recorded as spans.
        project_name: Project of these spans; the run's if absent.
        typical_seconds: Smoothed duration of a call; infinite until it has been called.
        wants_span: It takes the span tree of the task.
    """

    name: str
    function: Callable[..., object]
    arguments: Arguments
    is_async: bool
    by_item: bool
    higher_is_better: bool | None = None
    value_range: tuple[float, float] | None = None
    is_tracked: bool = True
    project_name: str | None = None
    typical_seconds: float = float("inf")
    wants_span: bool = field(init=False)

    def __post_init__(self) -> None:
        self.wants_span = "task_span" in (*self.arguments.required, *self.arguments.optional)

    @property
    def may_call_models(self) -> bool:
        """False if it certainly only computes."""
        module = str(getattr(self.function, "__module__", ""))
        return not module.startswith(_OURS) or module in _MADE_OF_OTHERS

    @property
    def is_new(self) -> bool:
        """True if it has not been called yet."""
        return self.typical_seconds == float("inf")

    def observe(self, seconds: float) -> None:
        """Learn how long a call takes."""
        if self.is_new:
            self.typical_seconds = seconds
        else:
            # One that was held up, because others had the processor, says little.
            seconds = min(seconds, _UNUSUAL * self.typical_seconds)
            self.typical_seconds += _SMOOTHING * (seconds - self.typical_seconds)


def prepare_scorers(metrics: Sequence[object], functions: Sequence[object]) -> tuple[Scorer, ...]:
    """Read the signatures of metrics and scoring functions.

    Raises:
        ConfigError: Something is neither, or two share a name.
    """
    scorers = [_from_metric(m) for m in metrics] + [_from_function(f) for f in functions]
    seen: set[str] = set()
    for scorer in scorers:
        if scorer.name in seen:
            raise ConfigError(
                f"two metrics are called {scorer.name!r}; their scores could not be told apart",
                remedy="give one of them another name, for example Equals(name='exact')",
            )
        seen.add(scorer.name)
    return tuple(scorers)


def _from_metric(metric: object) -> Scorer:
    if isinstance(metric, type):
        raise ConfigError(
            f"scoring_metrics holds the class {metric.__name__}, not a metric",
            remedy=f"write {metric.__name__}() with parentheses",
        )
    if not (hasattr(metric, "score") or hasattr(metric, "ascore")):
        if callable(metric):
            return _from_function(metric)
        raise ConfigError(
            f"scoring_metrics holds a {type(metric).__name__}, which is not a metric",
            remedy="pass objects with a score() method, or functions in scoring_functions",
        )
    function = _implementation(metric)
    return Scorer(
        name=str(getattr(metric, "name", None) or type(metric).__name__),
        function=function,
        arguments=metric.score_arguments()
        if isinstance(metric, BaseMetric)
        else arguments_of(function),
        is_async=is_async(function),
        by_item=bool(getattr(metric, "takes_item", False)),
        higher_is_better=getattr(metric, "higher_is_better", None),
        value_range=getattr(metric, "value_range", None),
        is_tracked=bool(getattr(metric, "track", True)),
        project_name=getattr(metric, "project_name", None),
    )


def _implementation(metric: object) -> Callable[..., object]:
    if isinstance(metric, BaseMetric):
        return implementation_of(metric)
    found = getattr(metric, "score", None) or getattr(metric, "ascore", None)
    return cast("Callable[..., object]", found)


def _from_function(function: object) -> Scorer:
    if not callable(function):
        raise ConfigError(
            f"scoring_functions holds a {type(function).__name__}, which cannot be called",
            remedy="pass functions: def my_score(dataset_item, task_outputs): ...",
        )
    arguments = arguments_of(function)
    names = {*arguments.required, *arguments.optional}
    by_item = bool(names & {"dataset_item", "task_outputs"})
    return Scorer(
        name=name_of(function),
        function=function,
        arguments=arguments,
        is_async=is_async(function),
        by_item=by_item,
    )
