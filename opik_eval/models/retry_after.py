"""How long a provider asks to wait, from the many ways of saying it."""

from __future__ import annotations

import datetime as dt
import email.utils
import math
import re
from collections.abc import Mapping

_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})+", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_IN_TEXT = re.compile(rf"(?:try again in|retryDelay\W+)\s*({_DURATION.pattern})", re.IGNORECASE)
_EPOCH_MILLISECONDS = 1e11  # as a count of seconds this lies beyond the year 5000
_EPOCH_SECONDS = 1e8  # as a duration this is more than three years


def retry_after_seconds(
    headers: Mapping[str, str], text: str = "", *, now: dt.datetime | None = None
) -> float | None:
    """Return how long a reply asks to wait before the next request.

    It looks, in this order, at

    - ``retry-after-ms``,
    - ``Retry-After``: seconds or an HTTP date, which is compared with the server's own ``Date``,
    - ``RateLimit-Reset``, ``X-RateLimit-Reset``: seconds, or a moment as seconds or milliseconds
      since 1970,
    - ``x-ratelimit-reset-requests`` and ``-tokens``, except a limit of which
      ``x-ratelimit-remaining-...`` says that something is left,
    - "try again in 1m2s" in the text.

    Args:
        headers: Headers of the reply; names in any case.
        text: The provider's message.
        now: The time to compare dates with, if the reply bears none.

    Returns:
        Seconds, 0 or more; ``None`` if the reply does not say.

    Example:
        >>> (
        ...     retry_after_seconds({"Retry-After": "2"}),
        ...     retry_after_seconds({"retry-after-ms": "250"}),
        ... )
        (2.0, 0.25)
        >>> retry_after_seconds({"x-ratelimit-reset-tokens": "6m0.5s"})
        360.5
    """
    lowered = {name.lower(): value.strip() for name, value in headers.items()}
    moment = _parse_date(lowered.get("date", "")) or now or dt.datetime.now(dt.UTC)
    found = _milliseconds(lowered.get("retry-after-ms"))
    if found is None:
        found = _seconds_or_date(lowered.get("retry-after"), moment)
    if found is None:
        found = _reset(lowered.get("ratelimit-reset") or lowered.get("x-ratelimit-reset"), moment)
    if found is None:
        found = _reset_of_exhausted(lowered)
    if found is None and (match := _IN_TEXT.search(text)):
        found = parse_duration(match[1])
    return None if found is None else max(0.0, found)


def parse_duration(text: str) -> float | None:
    """Return the seconds of a duration such as ``6m0s``, ``20ms`` or ``1.5``.

    Example:
        >>> parse_duration("1h2m3.5s"), parse_duration("20ms"), parse_duration("soon")
        (3723.5, 0.02, None)
    """
    number = _number(text)
    if number is not None:
        return number
    if not _DURATION.fullmatch(text):
        return None
    parts = _DURATION_PART.findall(text.lower())
    return sum(float(count) * _SECONDS[unit] for count, unit in parts)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _milliseconds(text: str | None) -> float | None:
    number = _number(text)
    return None if number is None else number / 1000


def _seconds_or_date(text: str | None, now: dt.datetime) -> float | None:
    number = _number(text)
    if number is not None:
        return number
    date = _parse_date(text or "")
    return None if date is None else (date - now).total_seconds()


def _parse_date(text: str) -> dt.datetime | None:
    try:
        date = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=dt.UTC)


def _reset(text: str | None, now: dt.datetime) -> float | None:
    number = parse_duration(text or "")
    if number is None or number < _EPOCH_SECONDS:
        return number
    if number >= _EPOCH_MILLISECONDS:
        number /= 1000
    return number - now.timestamp()


def _reset_of_exhausted(headers: Mapping[str, str]) -> float | None:
    """Return when the last of the exhausted limits opens.

    A limit with something left must not count: it may be a daily one, hours from its reset.
    """
    waits = [
        parse_duration(headers.get(f"x-ratelimit-reset-{kind}", ""))
        for kind in ("requests", "tokens")
        if (_number(headers.get(f"x-ratelimit-remaining-{kind}")) or 0) <= 0
    ]
    return max((wait for wait in waits if wait is not None), default=None)
