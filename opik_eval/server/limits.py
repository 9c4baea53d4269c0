"""Rate limits: how many events a key and a workspace may send in a minute."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from opik_eval.server.failures import FrameworkError

WINDOW_SECONDS = 60


@dataclass(frozen=True)
class Standing:
    """How much of a window is left.

    Attributes:
        remaining: Events that still fit.
        seconds: Time until the next window.
    """

    remaining: int
    seconds: float


class Bucket:
    """Counts events in windows of a minute that begin with the first event. Thread-safe.

    Args:
        name: What its headers are called, as in ``Opik-NAME-Limit``.
        limit: Events per window and holder.
        clock: Monotonic time in seconds.
    """

    def __init__(self, name: str, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[float, int]] = {}

    def take(self, holder: str, events: int) -> Standing | None:
        """Count events of a holder; return ``None``, and count nothing, if they are too many.

        A batch beyond the limit counts as much as the limit, so that it can pass at all.
        """
        with self._lock:
            now, (end, used) = self._clock(), self._window(holder)
            wanted = min(events, self.limit)
            if used + wanted > self.limit:
                return None
            self._windows[holder] = end, used + wanted
            return Standing(self.limit - used - wanted, end - now)

    def standing(self, holder: str) -> Standing:
        """Return how much of a holder's window is left."""
        with self._lock:
            end, used = self._window(holder)
            return Standing(self.limit - used, end - self._clock())

    def _window(self, holder: str) -> tuple[float, int]:
        now = self._clock()
        end, used = self._windows.get(holder, (now, 0))
        return (now + WINDOW_SECONDS, 0) if end <= now else (end, used)


class RateLimits:
    """The limits of a server; ``None`` = no limit.

    Args:
        key_limit: Events per minute of one key.
        workspace_limit: Events per minute of one workspace.
        clock: Monotonic time in seconds.
    """

    def __init__(
        self,
        key_limit: int | None = None,
        workspace_limit: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._of_key = None if key_limit is None else Bucket("User", key_limit, clock)
        self._of_workspace = (
            None if workspace_limit is None else Bucket("Workspace", workspace_limit, clock)
        )

    def charge(self, key: str, workspace: str, events: int) -> Mapping[str, str]:
        """Count events.

        Args:
            key: Prefix of the key.
            workspace: Name of the workspace.
            events: How many there are.

        Returns:
            Headers that say what is left.

        Raises:
            FrameworkError: They are too many now (429); its headers say when to come back.
        """
        headers: dict[str, str] = {}
        for bucket, holder in ((self._of_key, key), (self._of_workspace, workspace)):
            if bucket is None:
                continue
            standing = bucket.take(holder, events)
            if standing is None:
                raise _too_many(bucket, bucket.standing(holder))
            headers |= _headers(bucket, standing)
        return headers


def _too_many(bucket: Bucket, standing: Standing) -> FrameworkError:
    wait = str(max(1, math.ceil(standing.seconds)))
    return FrameworkError(
        429,
        "Too Many Requests",
        f"more than {bucket.limit} events in {WINDOW_SECONDS} s; {standing.remaining} are left "
        f"for the next {wait} s",
        headers={**_headers(bucket, standing), "RateLimit-Reset": wait, "Retry-After": wait},
    )


def _headers(bucket: Bucket, standing: Standing) -> dict[str, str]:
    name = f"Opik-{bucket.name}"
    return {
        f"{name}-Limit": str(bucket.limit),
        f"{name}-Remaining-Limit": str(standing.remaining),
        f"{name}-Remaining-Limit-TTL-Millis": str(round(standing.seconds * 1000)),
    }
