"""The one retry layer: which failures are worth another request, and when to send it.

Only errors with ``retryable = True`` are repeated. The wait is exponential backoff with full
jitter; a provider's ``Retry-After`` is a lower bound to which the jitter is added, so that callers
who were turned away together do not come back together. Nothing below this layer retries.

Source: Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from opik_eval.errors import ConfigError, ModelError
from opik_eval.models.clock import Clock

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often and how long a request is tried.

    Attributes:
        max_attempts: Requests in all, the first included; 1 = never retry.
        base_delay_seconds: Upper end of the first wait; it doubles with every attempt.
        max_delay_seconds: Upper end of any wait that the provider did not ask for.
        deadline_seconds: Time for all attempts and waits together. A wait that would pass it is not
            begun.

    Example:
        >>> RetryPolicy(max_attempts=1)  # never retry
        RetryPolicy(max_attempts=1, base_delay_seconds=0.5, max_delay_seconds=30.0, \
deadline_seconds=300.0)
    """

    max_attempts: int = 5
    base_delay_seconds: float = 0.5
    max_delay_seconds: float = 30.0
    deadline_seconds: float = 300.0

    def __post_init__(self) -> None:
        delays = (self.base_delay_seconds, self.max_delay_seconds, self.deadline_seconds)
        if self.max_attempts < 1 or not all(delay >= 0 for delay in delays):
            raise ConfigError(f"a retry policy needs max_attempts >= 1 and times >= 0, not {self}")

    def delay_seconds(self, attempt: int, error: ModelError, rng: random.Random) -> float:
        """Return how long to wait after a failed attempt.

        Args:
            attempt: Number of the attempt that failed, from 1.
            error: Its failure.
            rng: Source of the jitter.
        """
        ceiling = min(self.max_delay_seconds, self.base_delay_seconds * 2.0 ** min(attempt - 1, 60))
        return max(error.retry_after_seconds or 0.0, 0.0) + rng.uniform(0.0, ceiling)


async def call_with_retry(
    call: Callable[[int], Awaitable[T]],
    policy: RetryPolicy,
    *,
    clock: Clock,
    rng: random.Random,
    deadline_seconds: float | None = None,
) -> T:
    """Return what ``call`` returns, repeating it while it fails in a way that may pass.

    Args:
        call: Sends the request once; its argument is the number of the attempt, from 1.
        policy: When to stop.
        clock: Time source for the deadline and the waits.
        rng: Source of the jitter.
        deadline_seconds: A tighter limit than the policy's, such as what a budget has left.

    Raises:
        ModelError: The last attempt's error; its message says how often and how long it was tried.
    """
    started = clock.now()
    limit = min(policy.deadline_seconds, math.inf if deadline_seconds is None else deadline_seconds)
    attempt = 1
    while True:
        try:
            return await call(attempt)
        except ModelError as error:
            if not error.retryable:
                raise
            times = "once" if attempt == 1 else f"{attempt} times"
            tried = f"tried {times} in {clock.now() - started:.1f} s"
            if attempt >= policy.max_attempts:
                raise _final(error, tried) from error
            delay = policy.delay_seconds(attempt, error, rng)
            if clock.now() - started + delay > limit:
                late = f"; waiting {delay:.1f} s more would pass the deadline of {limit:.1f} s"
                raise _final(error, tried + late) from error
        await clock.sleep(delay)
        attempt += 1


def _final(error: ModelError, tried: str) -> ModelError:
    # A copy, because a transport may hand the same object to several callers.
    final = copy.copy(error)
    final.message = f"{error.message} ({tried})"
    final.args = (final.message,)
    return final
