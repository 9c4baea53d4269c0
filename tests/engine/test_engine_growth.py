"""When more threads would help."""

from __future__ import annotations

import math
import threading

import pytest

from opik_eval.engine.growth import Look, more_would_help, voluntary_switches

START = Look(at=0.0, cpu=0.0, switches=0, begun=1, longest_seconds=0.0, typical_seconds=0.0)


@pytest.mark.parametrize(
    ("cpu", "switches", "begun", "longest", "typical", "expected"),
    [
        (0.009, 3, 40, 0.001, 0.0002, False),  # computing, and short
        (0.009, 3, 1, 0.050, 0.0002, True),  # computing for long: perhaps beside the interpreter
        (0.001, 9, 9, 0.001, 0.001, True),  # each task waits for something
        (0.001, 3, 40, 0.001, 0.0002, False),  # other programs have the processor
        (0.000, 1, 1, 0.010, 0.0, True),  # the first task waits
        (0.000, 1, 101, 0.010, 0.0001, False),  # idle, but no task has gone to sleep
        (0.001, math.nan, 40, 0.001, 0.0002, True),  # nobody knows whether they sleep
    ],
)
def test_signs(
    cpu: float, switches: float, begun: int, longest: float, typical: float, expected: bool
) -> None:
    """Tasks that wait or take long want company; short ones that compute do not."""
    now = Look(0.01, cpu, switches, begun, longest, typical)
    assert more_would_help(START, now) is expected


def test_nothing_begun_counts_if_that_is_unusual() -> None:
    """A task that runs a hundred times as long as usual waits for something."""
    for longest, expected in ((0.01, False), (0.03, True)):
        assert more_would_help(START, Look(0.01, 0.0, 1, 1, longest, 0.0002)) is expected


def test_waiting_is_counted() -> None:
    """Each wait of a thread adds to the number of voluntary switches."""
    before = voluntary_switches()
    for _ in range(5):
        threading.Event().wait(0.001)
    after = voluntary_switches()
    assert after - before >= 5 or after == math.inf
