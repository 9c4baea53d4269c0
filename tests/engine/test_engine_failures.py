"""What is behind an exception."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from opik_eval.engine.failures import causes_of, find_cause, is_being_cancelled, is_rate_limit
from opik_eval.errors import BudgetExceededError, RateLimitedError


class StatusError(Exception):
    def __init__(self, **fields: object) -> None:
        super().__init__("x")
        self.__dict__.update(fields)


class RateLimitError(Exception):
    """As several client libraries call it."""


@pytest.mark.parametrize(
    "error",
    [
        StatusError(status_code=429),
        StatusError(status=429),
        RateLimitError(),
        RateLimitedError("slow down"),
        ExceptionGroup("many", [ValueError(), StatusError(status_code=429)]),
    ],
)
def test_rate_limits_are_recognised(error: Exception) -> None:
    """HTTP 429 is known by its status or by its usual names, also when it is wrapped."""
    assert is_rate_limit(error)
    outer = RuntimeError("call failed")
    outer.__cause__ = error
    assert is_rate_limit(outer)
    assert is_rate_limit(_raised_while_handling(error))


def _raised_while_handling(error: Exception) -> Exception:
    try:
        try:
            raise error
        except Exception:  # noqa: BLE001 - any
            raise KeyError("later")  # noqa: B904 - what is tested
    except KeyError as later:
        return later


@pytest.mark.parametrize("error", [None, ValueError(), StatusError(status_code=500)])
def test_other_errors_are_no_rate_limits(error: Exception | None) -> None:
    """Nothing else closes the gate."""
    assert not is_rate_limit(error)


def test_a_suppressed_context_does_not_count() -> None:
    """``raise ... from None`` says that what was handled has nothing to do with it."""
    error = ValueError()
    error.__context__ = BudgetExceededError("usd", allowed=1, used=1)
    assert find_cause(error, BudgetExceededError) is error.__context__
    error.__suppress_context__ = True
    assert find_cause(error, BudgetExceededError) is None
    assert find_cause(None, BudgetExceededError) is None


def test_chains_that_bite_their_tail_end() -> None:
    """An exception that is its own cause is yielded once."""
    first, second = ValueError("a"), KeyError("b")
    first.__cause__, second.__cause__ = second, first
    assert list(causes_of(first)) == [first, second]
    assert list(causes_of(None)) == []


def test_nothing_is_being_cancelled_outside_of_tasks() -> None:
    """A task that nobody has cancelled is not being cancelled; one that was, is."""

    async def main() -> tuple[bool, bool]:
        before = is_being_cancelled()
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        after = is_being_cancelled()
        task.uncancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        return before, after

    assert asyncio.run(main()) == (False, True)
