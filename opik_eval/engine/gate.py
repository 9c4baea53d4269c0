"""How many tasks may run at once: fewer after a provider said "too many"."""

from __future__ import annotations

import threading
from collections.abc import Callable

_COOL_DOWN_SECONDS = 5.0


class Gate:
    """A limit on tasks in flight that halves on rate limiting and grows back step by step.

    Works for threads (``enter``/``leave``); coroutines ask ``allows`` instead of waiting here.

    Args:
        limit: Most tasks at once; the gate starts there and never passes it.
        now: Clock, in seconds.
    """

    def __init__(self, limit: int, *, now: Callable[[], float]) -> None:
        self.ceiling = limit
        self.limit = limit
        self._inside = 0
        self._successes = 0
        self._cool_until = float("-inf")
        self._now = now
        self._changed = threading.Condition()

    def enter(self) -> None:
        """Wait until there is room, then take a place."""
        with self._changed:
            while self._inside >= self.limit:
                self._changed.wait()
            self._inside += 1

    def try_enter(self) -> bool:
        """Take a place if there is room."""
        with self._changed:
            if self._inside >= self.limit:
                return False
            self._inside += 1
            return True

    def leave(self, *, rate_limited: bool = False) -> None:
        """Give the place back and say whether the task was rate limited."""
        with self._changed:
            self._inside -= 1
            if rate_limited:
                self._shrink()
            elif self.limit < self.ceiling:
                self._grow()
            self._changed.notify()

    def _shrink(self) -> None:
        if self._now() < self._cool_until:
            return
        self._cool_until = self._now() + _COOL_DOWN_SECONDS
        self.limit = max(1, self.limit // 2)
        self._successes = 0

    def _grow(self) -> None:
        self._successes += 1
        if self._successes >= self.limit and self._now() >= self._cool_until:
            self._successes = 0
            self.limit += 1
            self._changed.notify()


def is_rate_limit(error: BaseException | None) -> bool:
    """Tell whether an exception, of whatever library, stands for HTTP 429."""
    while error is not None:
        status = getattr(error, "status_code", None) or getattr(error, "status", None)
        if status == 429 or type(error).__name__ in ("RateLimitError", "RateLimitedError"):
            return True
        error = error.__cause__
    return False
