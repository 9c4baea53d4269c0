"""How one part of an answer is compared with what was expected: exactly, by a function, a metric.

A comparator is a function ``f(output, reference)`` that returns a bool or a number from 0 to 1, or
a synchronous metric of ``output`` and ``reference`` whose best score is 1, such as
``NumericMatch()``.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction

from opik_eval.errors import MetricError
from opik_eval.metrics.base import BaseMetric, implementation_of, normalise
from opik_eval.metrics.json_values import MISSING, same_plain

Comparator = BaseMetric | Callable[..., object]


def check_comparator(comparator: object, part: str, *, metric: str) -> None:
    """Check that something can compare values; called by the constructors of metrics.

    Args:
        comparator: A function or a metric.
        part: What it compares, for the error.
        metric: Name of the metric that uses it, for the error.

    Raises:
        MetricError: It cannot.
    """
    if not isinstance(comparator, BaseMetric):
        is_usable = callable(comparator) and not isinstance(comparator, type)
        is_usable = is_usable and not iscoroutinefunction(comparator)
    else:
        is_usable = comparator.higher_is_better is True
        is_usable = is_usable and not iscoroutinefunction(implementation_of(comparator))
    if not is_usable:
        raise MetricError(
            f"metric {metric!r} cannot compare {part!r} by {comparator!r}",
            remedy="give a function f(output, reference) that returns 0 to 1, or a metric without "
            "model calls whose higher scores are better, such as NumericMatch()",
        )


def compare(comparator: Comparator | None, output: object, reference: object, part: str) -> float:
    """Return how well a part of the output fits, 0 to 1.

    Null and absence fit each other and nothing else. A value that a metric refuses, such as a
    number where it compares texts, is wrong, unless the metric refuses the reference as well.

    Args:
        comparator: A function or a metric; ``None`` = the values must be the same in JSON.
        output: What was found, as ``json_value`` returns it, or ``MISSING``.
        reference: What was expected, likewise.
        part: What is compared, for errors.

    Raises:
        MetricError: The comparator cannot use the reference, or returns no number from 0 to 1.
    """
    if output in (None, MISSING) or reference in (None, MISSING):
        return float(output in (None, MISSING) and reference in (None, MISSING))
    if comparator is None:
        return float(same_plain(output, reference))
    if not isinstance(comparator, BaseMetric):
        return _worth(comparator(output, reference), part)
    try:
        return _worth(comparator.score(output=output, reference=reference), part)
    except MetricError:
        _worth(comparator.score(output=reference, reference=reference), part)
        return 0.0


def _worth(returned: object, part: str) -> float:
    scores = normalise(returned, name=part)
    value = scores[0].value if len(scores) == 1 and scores[0].is_scored else None
    if value is None or not 0 <= value <= 1:
        raise MetricError(
            f"the comparator of {part!r} returned {returned!r:.80}",
            remedy="return True, False or a number from 0 to 1",
        )
    return value


__all__ = ["Comparator", "check_comparator", "compare"]
