"""The collector's pace: who changes it, and who changes it back."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from opik_eval.engine.collector import CalmCollector


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    """Leave the collector as it was."""
    before = gc.get_threshold()
    gc.set_threshold(600, 7, 8)
    yield
    gc.set_threshold(*before)


def test_the_last_one_wakes_it() -> None:
    """While one run is still in a flood, another that has ended changes nothing."""
    collector, one, other = CalmCollector(), object(), object()
    for owner in (one, one, other):
        collector.calm(owner)
    assert gc.get_threshold()[0] > 600
    assert gc.get_threshold()[1:] == (7, 8)
    collector.wake(one)
    assert gc.get_threshold()[0] > 600
    collector.wake(other)
    collector.wake(other)
    assert gc.get_threshold() == (600, 7, 8)


@pytest.mark.parametrize("young", [0, 1_000_000])
def test_what_the_user_has_set_stays(young: int) -> None:
    """A collector that is off stays off, and a calmer one is not made busier."""
    gc.set_threshold(young, 7, 8)
    collector, owner = CalmCollector(), object()
    collector.calm(owner)
    assert gc.get_threshold() == (young, 7, 8)
    collector.wake(owner)
    assert gc.get_threshold() == (young, 7, 8)
