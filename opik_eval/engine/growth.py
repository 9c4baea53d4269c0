"""When more threads would help: tasks wait for something, or take long."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

_BUSY_SHARE = 0.4
_LONG_SECONDS = 0.02
_UNUSUAL = 100


def voluntary_switches() -> float:
    """Return how often threads of this process have waited; infinity where it is not known."""
    if sys.platform == "win32":
        return float("inf")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


@dataclass(frozen=True, slots=True)
class Clocks:
    """What a process knows of itself.

    Attributes:
        cpu: Processor time, in seconds.
        switches: See ``voluntary_switches``.
    """

    cpu: Callable[[], float] = time.process_time
    switches: Callable[[], float] = voluntary_switches


@dataclass(frozen=True, slots=True)
class Look:
    """The state of things at one moment.

    Attributes:
        begun: Tasks started so far.
        longest_seconds: How long the oldest task that runs has been running.
        typical_seconds: How long one takes; 0 as long as none has ended.
    """

    at: float
    cpu: float
    switches: float
    begun: int
    longest_seconds: float
    typical_seconds: float


def more_would_help(before: Look, now: Look) -> bool:
    """Tell whether tasks have been waiting, or computing for long, between two looks.

    A process also gets little done while other programs have the processor. Then its tasks do not
    go to sleep; and where none was started meanwhile, only one that takes far longer than usual
    counts.
    """
    is_busy = now.cpu - before.cpu >= _BUSY_SHARE * (now.at - before.at)
    if is_busy:
        return now.longest_seconds > _LONG_SECONDS
    begun = now.begun - before.begun
    if begun:
        slept = now.switches - before.switches - 1  # the look itself was a rest
        return not slept < begun / 2  # unknown counts as much
    return now.longest_seconds > _UNUSUAL * now.typical_seconds
