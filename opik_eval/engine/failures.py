"""Failures: what is behind an exception, whom it concerns, and what is left of the unit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TypeVar

from opik_eval.engine.units import Executed, WorkUnit
from opik_eval.tracing.capture import error_info_of

E = TypeVar("E", bound=BaseException)

UNIT_FAILURES = (Exception, SystemExit, asyncio.CancelledError)
"""What user code in a thread may raise without ending the run. There a ``CancelledError`` cannot be
ours: it comes from an event loop of the user's."""


class InterruptError(Exception):
    """A task or metric raised ``KeyboardInterrupt``: the run ends as after Ctrl-C.

    It takes the place of the ``KeyboardInterrupt`` until the caller's thread is reached, since an
    event loop through which that one passes stops running.
    """


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception, what it was raised from or while handling, members of groups; each once.

    Example:
        >>> try:
        ...     try:
        ...         int("x")
        ...     except ValueError as inner:
        ...         raise KeyError("y") from inner
        ... except KeyError as outer:
        ...     [type(cause).__name__ for cause in causes_of(outer)]
        ['KeyError', 'ValueError']
    """
    waiting, seen = [error], set[int]()
    while waiting:
        found = waiting.pop(0)
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        hidden = found.__suppress_context__
        waiting += [found.__cause__, None if hidden else found.__context__]
        if isinstance(found, BaseExceptionGroup):
            waiting += found.exceptions


def find_cause(error: BaseException | None, kind: type[E]) -> E | None:
    """Return the first exception of a kind among the causes of an exception."""
    if error is None:
        return None
    return next((cause for cause in causes_of(error) if isinstance(cause, kind)), None)


def is_rate_limit(error: BaseException | None) -> bool:
    """Tell whether an exception, of whatever library, stands for HTTP 429."""
    return error is not None and any(map(_says_rate_limit, causes_of(error)))


def is_being_cancelled() -> bool:
    """Tell whether somebody has asked the running asyncio task to stop.

    A ``CancelledError`` while nobody has comes from what the user's code awaits.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def lost(unit: WorkUnit, error: BaseException, seconds: float = 0.0) -> Executed:
    """Return a unit as failed whose task, or the way to it, broke where nobody expected it."""
    return Executed(unit, None, error, error_info_of(error), None, [], seconds)


def _says_rate_limit(error: BaseException) -> bool:
    status = getattr(error, "status_code", None) or getattr(error, "status", None)
    return status == 429 or type(error).__name__ in ("RateLimitError", "RateLimitedError")
