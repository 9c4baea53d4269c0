"""Plain functions as metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from inspect import iscoroutinefunction
from typing import cast

from opik_eval.errors import MetricError
from opik_eval.metrics.base import (
    Arguments,
    BaseMetric,
    DataclassMetric,
    MetricReturn,
    arguments_of,
)

_BY_ITEM = frozenset({"dataset_item", "task_outputs"})


@dataclass
class FunctionMetric(DataclassMetric):
    """A function as a metric; usually made by ``as_metric``.

    Its arguments are those of the function, so the engine checks and supplies them like those of
    any other metric. Two styles work: arguments by name (``def f(output, reference)``) and Opik's
    scoring functions, ``def f(dataset_item, task_outputs)``, where ``task_span`` may be added.

    Args:
        function: Returns whatever a metric may return.
        name: Name of the score; the function's if absent.

    Example:
        >>> def is_short(output):
        ...     return len(output) < 5
        >>> FunctionMetric(is_short).score(output="yes", reference="no")
        True
    """

    function: Callable[..., object]
    name: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise MetricError(
                f"{self.function!r} is neither a metric nor a function",
                remedy="pass a metric object, or a function such as def my_score(output): ...",
            )
        self.name = self.name or _name_of(self.function)

    @property
    def takes_item(self) -> bool:
        """True for scoring functions, which take the item and the outputs as two dicts."""
        arguments = self.score_arguments()
        return not _BY_ITEM.isdisjoint((*arguments.required, *arguments.optional))

    def score_arguments(self) -> Arguments:
        """Return the arguments of the function; ``score`` takes all of them by name."""
        return replace(arguments_of(self.function), positional_only=())

    def score(self, **values: object) -> MetricReturn:
        """Call the function with those of the values that it takes."""
        return cast("MetricReturn", self._call(values))

    def _call(self, values: Mapping[str, object]) -> object:
        positional, named = arguments_of(self.function).select(values)
        return self.function(*positional, **named)


@dataclass
class AsyncFunctionMetric(FunctionMetric):
    """A coroutine function as a metric."""

    async def ascore(self, **values: object) -> MetricReturn:
        """Await the function with those of the values that it takes."""
        return await cast("Awaitable[MetricReturn]", self._call(values))

    score = BaseMetric.score


def as_metric(metric: BaseMetric | Callable[..., object], *, name: str | None = None) -> BaseMetric:
    """Return a metric for whatever may stand for one.

    Args:
        metric: A metric, returned as it is, or a function, plain or async.
        name: Name of the score of a function.

    Raises:
        MetricError: It is neither.

    Example:
        >>> as_metric(lambda dataset_item, task_outputs: 1.0, name="always").name
        'always'
    """
    if isinstance(metric, BaseMetric):
        return metric
    if isinstance(metric, type):
        raise MetricError(
            f"the class {metric.__name__} was given where a metric is expected",
            remedy=f"write {metric.__name__}() with parentheses",
        )
    called = _unwrapped(metric)
    is_async = iscoroutinefunction(called) or iscoroutinefunction(type(called).__call__)
    kind = AsyncFunctionMetric if is_async else FunctionMetric
    return kind(metric, name=name or "")


def _unwrapped(function: object) -> Callable[..., object]:
    while isinstance(function, partial):
        function = function.func
    return cast("Callable[..., object]", function)


def _name_of(function: Callable[..., object]) -> str:
    called = _unwrapped(function)
    return str(getattr(called, "__name__", None) or type(called).__name__)


__all__ = ["AsyncFunctionMetric", "FunctionMetric", "as_metric"]
