"""How many requests an account takes at once: found out by trying, as TCP does.

The limit starts at 10 and doubles with every clean round (slow start) until the provider first asks
for fewer requests. From then on it grows by 5 % a round, and falls to 80 % of what was in flight
when a request is turned away, at most once per cool-down. A round is as many clean successes in a
row as the limit says; it makes the limit grow only if the limit was really used (80 % in flight at
some moment). Successes after a retry or during a cool-down prove nothing and do not count; other
failures begin the round anew.

Source: Jacobson, "Congestion Avoidance and Control" (SIGCOMM 1988); Chiu & Jain, "Analysis of the
Increase and Decrease Algorithms for Congestion Avoidance" (1989).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from opik_eval.errors import ConfigError, ModelError, RateLimitedError
from opik_eval.models.clock import Clock

ChangeReason = Literal["slow_start", "steady_state", "rate_limit", "manual"]

_HISTORY_LENGTH = 200
_SHORTEST_ROUND = 4
_GROWTH = 0.05
_DECREASE = 0.8
_SATURATION = 0.8


@dataclass(frozen=True, kw_only=True)
class ConcurrencyBounds:
    """Where the limit begins and how far it may move.

    Attributes:
        minimum: Lowest limit.
        start: First limit.
        maximum: Highest limit.
        cooldown_seconds: Time after a cut in which there is no other; a longer ``Retry-After``
            extends it.
    """

    minimum: int = 1
    start: int = 10
    maximum: int = 1000
    cooldown_seconds: float = 15.0

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.start <= self.maximum or self.cooldown_seconds < 0:
            raise ConfigError(f"concurrency needs 1 <= minimum <= start <= maximum, not {self}")


@dataclass(frozen=True, kw_only=True)
class LimitChange:
    """One change of the limit.

    Attributes:
        at_seconds: When, on the limiter's clock.
    """

    at_seconds: float
    before: int
    after: int
    reason: ChangeReason


class CongestionControl:
    """The limit and what moves it. Not thread-safe: its owner holds a lock.

    Args:
        bounds: Where the limit may move.
        clock: Time source for the cool-down.

    Attributes:
        limit: Requests that may be in flight now.
        history: The latest changes (at most 200), oldest first.
    """

    def __init__(self, bounds: ConcurrencyBounds, clock: Clock) -> None:
        self.limit = bounds.start
        self.history: deque[LimitChange] = deque(maxlen=_HISTORY_LENGTH)
        self._bounds = bounds
        self._clock = clock
        self._is_slow_start = True
        self._cooldown_end = float("-inf")
        self._clean = 0
        self._peak = 0

    def started(self, in_flight: int) -> None:
        """Note that a request begins.

        Args:
            in_flight: How many there are now, this one included.
        """
        self._peak = max(self._peak, in_flight)

    def succeeded(self, in_flight: int, *, attempt: int) -> None:
        """Note that a request got its reply, at which attempt."""
        if attempt > 1 or self._clock.now() < self._cooldown_end:
            return
        self._clean += 1
        if self._clean >= max(self.limit, _SHORTEST_ROUND):
            if self._peak >= _SATURATION * self.limit:
                self._grow()
            self._begin_round(in_flight)

    def failed(self, in_flight: int, error: ModelError) -> None:
        """Note that a request failed."""
        if isinstance(error, RateLimitedError):
            self._cut(in_flight, error.retry_after_seconds or 0.0)
        elif error.retryable:
            self._begin_round(in_flight)

    def change(self, limit: int, reason: ChangeReason) -> None:
        """Set the limit, within the bounds."""
        before = self.limit
        self.limit = min(max(limit, self._bounds.minimum), self._bounds.maximum)
        if self.limit != before:
            now = self._clock.now()
            self.history.append(
                LimitChange(at_seconds=now, before=before, after=self.limit, reason=reason)
            )

    def _grow(self) -> None:
        if self._is_slow_start:
            self.change(2 * self.limit, "slow_start")
        else:
            self.change(self.limit + max(1, int(_GROWTH * self.limit)), "steady_state")

    def _cut(self, in_flight: int, retry_after_seconds: float) -> None:
        now = self._clock.now()
        if now >= self._cooldown_end:
            # What was in flight was too much; a limit far above it says nothing.
            used = min(self.limit, max(self._peak, 1))
            self.change(int(_DECREASE * used), "rate_limit")
            self._is_slow_start = False
            self._begin_round(in_flight)
            self._cooldown_end = now + self._bounds.cooldown_seconds
        self._cooldown_end = max(self._cooldown_end, now + retry_after_seconds)

    def _begin_round(self, in_flight: int) -> None:
        self._clean = 0
        self._peak = in_flight
