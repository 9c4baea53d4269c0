"""What metrics that are made of metrics have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from opik_eval.errors import MetricError, MissingArgumentError
from opik_eval.metrics.base import Arguments, BaseMetric

Returned = TypeVar("Returned")


def joint_arguments(parts: Sequence[BaseMetric]) -> Arguments:
    """Return the arguments of all metrics; one that any of them requires is required."""
    of_parts = [part.score_arguments() for part in parts]
    required = dict.fromkeys(name for each in of_parts for name in each.required)
    optional = dict.fromkeys(name for each in of_parts for name in each.optional)
    return Arguments(
        required=tuple(required),
        optional=tuple(name for name in optional if name not in required),
        takes_all=any(each.takes_all for each in of_parts),
    )


def call(
    part: BaseMetric, method: Callable[..., Returned], values: Mapping[str, object]
) -> Returned:
    """Call a method of a metric with those of the values that it takes.

    Args:
        part: The metric.
        method: Its ``score`` or ``ascore``.
        values: All there is.

    Raises:
        MissingArgumentError: A required argument is not there.
    """
    arguments = part.score_arguments()
    if missing := arguments.missing_from(values):
        raise MissingArgumentError(part.name, missing, list(values))
    positional, named = arguments.select(values)
    return method(*positional, **named)


@contextmanager
def named_after(whole: str) -> Iterator[None]:
    """Put the name of the whole before that of the part that cannot score."""
    try:
        yield
    except MetricError as error:
        raise MetricError(f"metric {whole!r}: {error.message}", remedy=error.remedy) from error


__all__ = ["call", "joint_arguments", "named_after"]
