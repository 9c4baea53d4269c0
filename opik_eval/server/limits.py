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
    """Counts events in windows of a minute that begin with the first event. Not thread-safe.

    Args:
        name: What its headers are called, as in ``Opik-NAME-Limit``.
        limit: Events per window and holder.
        clock: Monotonic time in seconds.
    """

    def __init__(self, name: str, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.limit = limit
        self._clock = clock
        self._windows: dict[str, tuple[float, int]] = {}

    def standing(self, holder: str) -> Standing:
        """Return how much of a holder's window is left."""
        end, used = self._window(holder)
        return Standing(self.limit - used, end - self._clock())

    def has_room(self, holder: str, events: int) -> bool:
        """Return whether events of a holder still fit.

        A batch beyond the limit fits into an empty window, so that it can pass at all.
        """
        return min(events, self.limit) <= self.standing(holder).remaining

    def take(self, holder: str, events: int) -> Standing:
        """Count events of a holder, and return how much is left."""
        end, used = self._window(holder)
        self._windows[holder] = end, min(used + events, self.limit)
        return self.standing(holder)

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
        self._lock = threading.Lock()
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
        pairs = ((self._of_key, key), (self._of_workspace, workspace))
        held = [(bucket, holder) for bucket, holder in pairs if bucket is not None]
        headers: dict[str, str] = {}
        with self._lock:
            for bucket, holder in held:
                if not bucket.has_room(holder, events):
                    raise _too_many(bucket, bucket.standing(holder))
            for bucket, holder in held:
                headers |= _headers(bucket, bucket.take(holder, events))
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
