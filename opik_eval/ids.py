"""Identifiers: UUIDv7 strings, fresh or derived from content.

A UUIDv7 (RFC 9562) begins with its creation time in milliseconds, so ids sort by age. The next 12
bits of a fresh id are the fraction of the millisecond (the RFC's method 3); within one process
fresh ids are strictly increasing, and their times stay true however fast they are made.
"""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
import uuid
from datetime import UTC, datetime

from opik_eval.errors import ConfigError

_TICKS_PER_MILLISECOND = 1 << 12
_VERSION_AND_VARIANT = 0x7 << 76 | 0x2 << 62
_LATEST_MILLISECOND = (1 << 48) - 1
_FORM = "%08x-%04x-7%03x-%04x-%012x"
"""32 and 16 bits of milliseconds; version and 12 bits of ticks; variant and 14, 48 random bits."""


class _Clock:
    """The time in ticks of 1/4096 ms, never the same twice, and the random bits beside it."""

    def __init__(self) -> None:
        # Reentrant: the garbage collector may run code that makes ids while one is being made.
        self._lock = threading.RLock()
        self._last = 0
        # Seeded by the system. Ids must be unique, not secret, and a call of the system for each
        # of them would cost more than all the rest.
        self.random = random.Random()

    def next(self) -> int:
        with self._lock:
            now = time.time_ns() * _TICKS_PER_MILLISECOND // 1_000_000
            self._last = max(now, self._last + 1)
            return self._last

    def begin_anew(self) -> None:
        """Forget a lock that another thread held when this process was forked, and its seed."""
        self._lock = threading.RLock()
        self.random = random.Random()


_clock = _Clock()


def new_id() -> str:
    """Return a fresh UUIDv7.

    Example:
        >>> len(new_id())
        36
    """
    ticks, low = _clock.next(), _clock.random.getrandbits(62)
    # Twice as fast as ``_text``, and ids are much of what a quick trace costs.
    return _FORM % (
        ticks >> 28 & 0xFFFF_FFFF,
        ticks >> 12 & 0xFFFF,
        ticks & 0xFFF,
        0x8000 | low >> 48,
        low & 0xFFFF_FFFF_FFFF,
    )


def derived_id(*parts: str, at: datetime | None = None) -> str:
    """Return the UUIDv7-shaped id that belongs to ``parts``: same parts, same id.

    Args:
        *parts: What identifies the thing, such as entity id, score name and author.
        at: Creation time to put into the id; the epoch if absent or earlier.

    Example:
        >>> derived_id("trace-1", "accuracy") == derived_id("trace-1", "accuracy")
        True
        >>> derived_id("a", "b") == derived_id("ab")
        False
    """
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:%b" % (len(encoded), encoded))  # lengths keep the parts apart
    milliseconds = 0 if at is None else max(0, int(at.timestamp() * 1000))
    return _text(milliseconds, int.from_bytes(digest.digest()[:10], "big"))


def time_of(identifier: str) -> datetime:
    """Return the creation time inside a UUIDv7, in UTC with millisecond resolution.

    Raises:
        ConfigError: ``identifier`` is not a UUIDv7.
    """
    try:
        value = uuid.UUID(identifier)
    except ValueError as error:
        raise ConfigError(f"{identifier!r} is not a UUID") from error
    if value.version != 7:
        raise ConfigError(f"{identifier!r} is a UUID of version {value.version}, not 7")
    try:
        return datetime.fromtimestamp((value.int >> 80) / 1000, tz=UTC)
    except ValueError as error:
        raise ConfigError(f"{identifier!r} holds a time after the year 9999") from error


def _text(milliseconds: int, low: int) -> str:
    """Return a UUIDv7 as text; ``low`` is its last 80 bits before version and variant are set."""
    low = low & ~(0xF << 76 | 0x3 << 62) | _VERSION_AND_VARIANT
    digits = ((milliseconds & _LATEST_MILLISECOND) << 80 | low).to_bytes(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


os.register_at_fork(after_in_child=_clock.begin_anew)
