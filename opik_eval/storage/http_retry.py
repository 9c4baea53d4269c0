"""When to try again: what the server asks for, or else a wait that grows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 60.0
_LONGEST_ASKED_SECONDS = 3600.0

RETRYABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Replies after which the same request may succeed later."""


def wait_seconds(attempt: int, headers: Mapping[str, str], now: datetime) -> float:
    """Return how long to wait after the ``attempt``-th failure in a row (1, 2, 3 ...).

    ``Retry-After`` (seconds or a date) and ``RateLimit-Reset`` (seconds) count, the longer of the
    two if both are there; without them the wait doubles from half a second to a minute.

    Example:
        >>> wait_seconds(3, {}, datetime(2026, 1, 1, tzinfo=UTC))
        2.0
        >>> wait_seconds(1, {"retry-after": "7"}, datetime(2026, 1, 1, tzinfo=UTC))
        7.0
    """
    asked = asked_seconds(headers, now)
    if asked is not None:
        return asked
    return min(_FIRST_SECONDS * 2.0 ** min(attempt - 1, 20), _LONGEST_SECONDS)


def asked_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return how long the server asks to wait, an hour at most; ``None`` if it does not say."""
    names = ("retry-after", "ratelimit-reset")
    asked = [seconds for name in names if (seconds := _asked(headers.get(name), now)) is not None]
    return min(max(asked), _LONGEST_ASKED_SECONDS) if asked else None


def _asked(text: str | None, now: datetime) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        return _until(text, now)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _until(text: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
