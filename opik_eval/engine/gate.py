"""How many tasks may run at once: fewer after a provider said "too many"."""

from __future__ import annotations

import threading
from collections.abc import Callable

_COOL_DOWN_SECONDS = 5.0


class Gate:
    """A limit on tasks in flight that halves on rate limiting and grows back step by step.

    Threads wait in ``enter``; coroutines ask ``try_enter`` again and again. A place is given back
    once, by ``leave``.

    Args:
        limit: Most tasks at once; the gate starts there and never passes it.
        now: Clock, in seconds.
    """

    def __init__(self, limit: int, *, now: Callable[[], float]) -> None:
        self.ceiling = limit
        self.limit = limit
        self._inside = 0
        self._waiting = 0
        self._is_open = False
        self._successes = 0
        self._cool_until = float("-inf")
        self._now = now
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)

    def enter(self) -> None:
        """Wait until there is room, then take a place."""
        with self._lock:
            while self._inside >= self.limit and not self._is_open:
                self._waiting += 1
                try:
                    self._changed.wait()
                finally:
                    self._waiting -= 1
            self._inside += 1

    def try_enter(self) -> bool:
        """Take a place if there is room."""
        with self._lock:
            if self._inside >= self.limit:
                return False
            self._inside += 1
            return True

    def leave(self, *, rate_limited: bool = False) -> None:
        """Give the place back and say whether the task was rate limited."""
        with self._lock:
            self._inside -= 1
            if rate_limited:
                self._shrink()
            elif self.limit < self.ceiling:
                self._grow()
            if self._waiting:
                self._changed.notify()

    def open(self) -> None:
        """Let everybody pass from now on: the run is over, and nobody shall wait any longer."""
        with self._lock:
            self._is_open = True
            self._changed.notify_all()

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
