"""What a metric is, and the one place that turns whatever it returns into scores."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import takewhile
from types import MethodType
from typing import Any, ClassVar, cast

from opik_eval.concurrency import run_sync
from opik_eval.errors import JudgeError, MetricError, ParseError


@dataclass(kw_only=False)
class ScoreResult:
    """One score.

    Attributes:
        name: What was measured.
        value: The score. ``None`` and NaN mean unscored: shown, counted, kept out of means.
        reason: Why, in words.
        category_name: A label, where the score stands for one.
        metadata: Anything else worth keeping, JSON-serialisable.
        scoring_failed: The metric could not compute a score; ``reason`` says why.
    """

    name: str
    value: float | None
    reason: str | None = None
    category_name: str | None = None
    metadata: dict[str, object] | None = None
    scoring_failed: bool = False

    @property
    def is_scored(self) -> bool:
        """True if there is a finite value."""
        return not self.scoring_failed and self.value is not None and math.isfinite(self.value)


MetricReturn = bool | int | float | str | ScoreResult | Sequence[ScoreResult] | None
"""What ``score`` may return. A bool is 1 or 0, a text is a label without a number."""


class BaseMetric:
    """Base of all metrics.

    A metric implements ``score`` **or** ``ascore``; the other one is supplied. A constructor does
    no work and no I/O, and metrics can be pickled. The engine reads the arguments a metric needs
    from the signature of what it implements: those without default are required, ``**kwargs``
    receives everything, and an argument called ``task_span`` receives the span tree of the task.

    Two ways to write one:

    - subclass this class, with or without a constructor that calls ``super().__init__(name=...)``;
      metrics written for Opik work unchanged;
    - subclass ``DataclassMetric``, whose fields are the configuration; all built-in metrics do.

    A metric that cannot compute a score raises ``MetricError``; the engine turns that into a failed
    score, which is counted and never averaged. ``None`` is not a value: a required argument that is
    ``None`` is an error, a wrong answer is a low score.

    Args:
        name: Name of the score; the class name if absent.
        track: Record the metric's own model calls as spans.
        project_name: Project for those spans.

    Attributes:
        value_range: Lowest and highest possible value; infinities where there is no bound.
        higher_is_better: Direction; ``None`` where neither end is better.

    Example:
        >>> class Shout(BaseMetric):
        ...     def score(self, output: str, **ignored: object) -> bool:
        ...         return output.isupper()
        >>> Shout().score(output="YES")
        True
    """

    value_range: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    higher_is_better: ClassVar[bool | None] = True

    name: str
    track: bool
    project_name: str | None

    def __init__(
        self, name: str | None = None, track: bool = True, project_name: str | None = None
    ) -> None:
        self.name = name or type(self).__name__
        self.track = track
        self.project_name = project_name

    def score(self, *args: Any, **kwargs: Any) -> MetricReturn:
        """Return the score of one output."""
        implementation_of(self)  # refuses a metric that would call itself for ever
        return run_sync(lambda: self.ascore(*args, **kwargs))

    async def ascore(self, *args: Any, **kwargs: Any) -> MetricReturn:
        """Return the score of one output, asynchronously."""
        implementation_of(self)  # as above
        return await asyncio.to_thread(self.score, *args, **kwargs)

    def score_arguments(self) -> Arguments:
        """Return the arguments of what the metric implements."""
        method = implementation_of(self)
        function = getattr(method, "__func__", None)
        return arguments_of(method) if function is None else _arguments_of_method(function)


@dataclass(kw_only=True)
class DataclassMetric(BaseMetric):
    """Base of metrics whose constructor is written by ``@dataclass``.

    The fields of a subclass are its configuration and come first in the constructor; ``name``,
    ``track`` and ``project_name`` are added as keywords. A subclass gives its score a name of its
    own by declaring ``name`` again, keyword-only. Metrics are equal if their configurations are.

    Example:
        >>> from dataclasses import field
        >>> @dataclass
        ... class LongerThan(DataclassMetric):
        ...     characters: int = 0
        ...     name: str = field(default="longer_than", kw_only=True)
        ...
        ...     def score(self, output: str, **ignored: object) -> bool:
        ...         return len(output) > self.characters
        >>> LongerThan(3)
        LongerThan(name='longer_than', track=True, project_name=None, characters=3)
        >>> LongerThan(3).score(output="four")
        True
    """

    name: str = ""
    track: bool = True
    project_name: str | None = None

    def __post_init__(self) -> None:
        self.name = self.name or type(self).__name__


@dataclass(frozen=True, kw_only=True)
class MetricCard:
    """What there is to know about a metric without calling it.

    Attributes:
        summary: First line of its documentation.
        required: Arguments of ``score`` that must be supplied.
        optional: Arguments of ``score`` that may be.
    """

    name: str
    kind: str
    summary: str
    value_range: tuple[float, float]
    higher_is_better: bool | None
    required: tuple[str, ...]
    optional: tuple[str, ...]
    is_async: bool


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The arguments a callable takes, read once from its signature.

    Attributes:
        required: Names without default.
        optional: Names with default.
        positional_only: How many of the leading names cannot be passed by keyword.
        takes_all: It has ``**kwargs``.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...]
    positional_only: tuple[str, ...] = ()
    takes_all: bool = False

    def missing_from(self, available: Mapping[str, object]) -> list[str]:
        """Return the required names that are not available."""
        return [name for name in self.required if name not in available]

    def select(self, available: Mapping[str, object]) -> tuple[list[object], Mapping[str, object]]:
        """Return the positional and keyword arguments to call with."""
        positional = [available[name] for name in self.positional_only if name in available]
        if self.takes_all:
            rest = {k: v for k, v in available.items() if k not in self.positional_only}
            return positional, rest
        return positional, {name: available[name] for name in self._named if name in available}

    @cached_property
    def _named(self) -> tuple[str, ...]:
        """Names that are passed by keyword."""
        wanted = (*self.required, *self.optional)
        return tuple(name for name in wanted if name not in self.positional_only)


def arguments_of(function: Callable[..., object]) -> Arguments:
    """Read the arguments of a callable (``self`` of a bound method is not one of them)."""
    required: list[str] = []
    optional: list[str] = []
    positional_only: list[str] = []
    takes_all = False
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            takes_all = True
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            (required if parameter.default is parameter.empty else optional).append(name)
            if parameter.kind is parameter.POSITIONAL_ONLY:
                positional_only.append(name)
    return Arguments(
        required=tuple(required),
        optional=tuple(optional),
        positional_only=tuple(positional_only),
        takes_all=takes_all,
    )


@lru_cache(maxsize=512)
def _arguments_of_method(function: Callable[..., object]) -> Arguments:
    return arguments_of(MethodType(function, object()))


def implementation_of(metric: BaseMetric) -> Callable[..., object]:
    """Return the method a metric implements: the most derived one, ``ascore`` before ``score``.

    Raises:
        MetricError: It implements neither.
    """
    for kind in takewhile(lambda kind: kind is not BaseMetric, type(metric).__mro__):
        for method in ("ascore", "score"):
            if method in vars(kind):
                return cast("Callable[..., object]", getattr(metric, method))
    raise MetricError(
        f"metric {type(metric).__name__} implements neither score nor ascore",
        remedy="define score(self, output, **ignored_kwargs)",
    )


def required_arguments(metric: BaseMetric) -> tuple[str, ...]:
    """Return the arguments a metric cannot do without.

    Example:
        >>> class Same(BaseMetric):
        ...     def score(self, output: str, reference: str, *, strict: bool = True) -> bool:
        ...         return output == reference
        >>> required_arguments(Same())
        ('output', 'reference')
    """
    return metric.score_arguments().required


def describe(metric: BaseMetric) -> MetricCard:
    """Return the card of a metric."""
    arguments = metric.score_arguments()
    return MetricCard(
        name=metric.name,
        kind=type(metric).__name__,
        summary=(inspect.getdoc(metric) or "").partition("\n")[0],
        value_range=metric.value_range,
        higher_is_better=metric.higher_is_better,
        required=arguments.required,
        optional=arguments.optional,
        is_async=inspect.iscoroutinefunction(implementation_of(metric)),
    )


def normalise(returned: object, *, name: str) -> list[ScoreResult]:
    """Turn what a metric or scoring function returned into scores.

    Args:
        returned: Its return value.
        name: Name for scores that carry none.

    Raises:
        MetricError: The value is of no kind that stands for a score.

    Example:
        >>> normalise(True, name="ok")[0].value
        1.0
    """
    if isinstance(returned, ScoreResult):
        return [_checked(returned, name)]
    if returned is None:
        return [ScoreResult(name, None, reason="the metric returned None")]
    if isinstance(returned, str):
        return [ScoreResult(name, None, category_name=returned)]
    if isinstance(returned, list | tuple):
        return [score for part in returned for score in normalise(part, name=name)]
    number = _number(returned)
    if number is None:
        raise MetricError(
            f"metric {name!r} returned {type(returned).__name__}, which is not a score",
            remedy="return a number, a bool, a ScoreResult or a list of ScoreResult",
        )
    return [ScoreResult(name, number)]


def failed(name: str, error: BaseException, *, traceback: str | None = None) -> ScoreResult:
    """Return the score that stands for a metric's failure.

    What a judge knows all the same (prompt versions, cost, the reply that made no sense) is kept in
    the metadata.
    """
    info = {"exception_type": type(error).__name__, "message": str(error)}
    if traceback is not None:
        info["traceback"] = traceback
    metadata: dict[str, object] = {"error_info": info}
    if isinstance(error, JudgeError):
        metadata = {**error.metadata, **metadata}
    if isinstance(error, ParseError):
        metadata["reply"] = error.reply
    return ScoreResult(name, None, reason=str(error), metadata=metadata, scoring_failed=True)


def _checked(score: ScoreResult, name: str) -> ScoreResult:
    value = None if score.value is None else _number(score.value)
    if value is None and score.value is not None:
        raise MetricError(
            f"metric {name!r} returned a ScoreResult whose value is "
            f"{type(score.value).__name__}, not a number",
            remedy="convert the value with float() before returning it",
        )
    if value is score.value and score.name:
        return score
    return ScoreResult(
        score.name or name,
        value,
        score.reason,
        score.category_name,
        score.metadata,
        score.scoring_failed,
    )


def _number(value: object) -> float | None:
    if isinstance(value, int | float):  # bool included
        return float(value)
    item = getattr(value, "item", None)  # numpy scalars
    if callable(item) and getattr(value, "shape", ()) == ():
        unboxed = item()
        return float(unboxed) if isinstance(unboxed, int | float) else None
    return None


__all__ = [
    "Arguments",
    "BaseMetric",
    "DataclassMetric",
    "MetricCard",
    "MetricReturn",
    "ScoreResult",
    "arguments_of",
    "describe",
    "failed",
    "implementation_of",
    "normalise",
    "required_arguments",
]
