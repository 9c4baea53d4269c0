"""The one policy for what metrics are given: a missing or mistyped argument is an error, never a 0.

A low score says that the answer is wrong. ``None``, or a number where a metric compares texts, says
that the run is set up wrong; that has to be seen, not averaged.
"""

from __future__ import annotations

from collections.abc import Sequence

from opik_eval.errors import MetricError


def require_value(value: object, argument: str, *, metric: str) -> object:
    """Return a value that must not be ``None``.

    Args:
        value: What the metric was given.
        argument: Name of the argument, for the error.
        metric: Name of the metric, for the error.

    Raises:
        MetricError: It is ``None``.
    """
    if value is None:
        raise MetricError(
            f"metric {metric!r} needs {argument!r}, but it is None",
            remedy=f"make the dataset item or the task supply {argument!r}, or map another key to "
            f"it: scoring_key_mapping={{{argument!r}: 'your_key'}}",
        )
    return value


def require_text(value: object, argument: str, *, metric: str) -> str:
    """Return a value that must be a text.

    Raises:
        MetricError: It is ``None`` or something else.

    Example:
        >>> require_text("yes", "output", metric="equals_metric")
        'yes'
    """
    if isinstance(value, str):
        return value
    require_value(value, argument, metric=metric)
    raise MetricError(
        f"metric {metric!r} compares texts, but {argument!r} is {_described(value)}",
        remedy=f"return a text, for example str(...), or map another key to {argument!r}",
    )


def require_texts(value: object, argument: str, *, metric: str) -> tuple[str, ...]:
    """Return one or more texts: a text stands for a list of one.

    Raises:
        MetricError: It is neither a text nor a list of texts, or the list is empty.

    Example:
        >>> require_texts("yes", "reference", metric="exact_match_metric")
        ('yes',)
    """
    if isinstance(value, str) or value is None or not isinstance(value, Sequence | set | frozenset):
        return (require_text(value, argument, metric=metric),)
    texts = tuple(
        require_text(text, f"{argument}[{index}]", metric=metric)
        for index, text in enumerate(value)
    )
    if not texts:
        raise MetricError(
            f"metric {metric!r} got an empty list as {argument!r}",
            remedy=f"give at least one {argument}",
        )
    return texts


def require_choice(value: str, option: str, choices: Sequence[str], *, metric: str) -> None:
    """Check an option of a metric that has a few possible values.

    Raises:
        MetricError: The value is none of them.
    """
    if value not in choices:
        raise MetricError(
            f"metric {metric!r} has no {option}={value!r}",
            remedy=f"choose one of {', '.join(map(repr, choices))}",
        )


def _described(value: object) -> str:
    shown = repr(value)
    return f"{type(value).__name__} {shown}" if len(shown) <= 60 else f"a {type(value).__name__}"
