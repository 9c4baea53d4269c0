"""The gate: halving on rate limits, growing back, never above the ceiling."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from opik_eval.engine.gate import Gate


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_halves_on_rate_limit_and_grows_step_by_step() -> None:
    """A 429 halves the limit; as many successes as the limit, after the cool-down, add one."""
    clock = Clock()
    gate = Gate(8, now=clock)
    gate.enter()
    gate.leave(rate_limited=True)
    assert gate.limit == 4
    clock.seconds = 5.0
    for _ in range(3):
        gate.enter()
        gate.leave()
    assert gate.limit == 4
    gate.enter()
    gate.leave()
    assert gate.limit == 5


def test_one_burst_of_rate_limits_halves_once() -> None:
    """Tasks in flight together are one piece of news; after the cool-down it is another."""
    clock = Clock()
    gate = Gate(16, now=clock)
    for _ in range(6):
        assert gate.try_enter()
    for _ in range(6):
        gate.leave(rate_limited=True)
    assert gate.limit == 8
    clock.seconds = 5.0
    gate.enter()
    gate.leave(rate_limited=True)
    assert gate.limit == 4


def test_does_not_grow_while_cooling() -> None:
    """Successes right after a 429 prove nothing."""
    gate = Gate(4, now=Clock())
    gate.enter()
    gate.leave(rate_limited=True)
    for _ in range(50):
        gate.enter()
        gate.leave()
    assert gate.limit == 2


def test_never_below_one() -> None:
    """One task may always run."""
    clock = Clock()
    gate = Gate(2, now=clock)
    for _ in range(5):
        assert gate.try_enter()
        gate.leave(rate_limited=True)
        clock.seconds += 10
    assert gate.limit == 1
    assert gate.try_enter()
    assert not gate.try_enter()


@given(
    ceiling=st.integers(1, 20),
    steps=st.lists(st.tuples(st.booleans(), st.floats(0, 20)), max_size=200),
)
def test_limit_stays_between_one_and_the_ceiling(
    ceiling: int, steps: list[tuple[bool, float]]
) -> None:
    """Whatever happens, the limit is at least one and never above where it started."""
    clock = Clock()
    gate = Gate(ceiling, now=clock)
    for rate_limited, seconds in steps:
        clock.seconds += seconds
        gate.enter()
        gate.leave(rate_limited=rate_limited)
        assert 1 <= gate.limit <= ceiling


def test_a_full_gate_makes_threads_wait_until_somebody_leaves() -> None:
    """``enter`` returns only when there is room."""
    gate = Gate(1, now=Clock())
    gate.enter()
    order: list[str] = []
    entered = threading.Event()

    def second() -> None:
        gate.enter()
        order.append("in")
        entered.set()

    thread = threading.Thread(target=second)
    thread.start()
    order.append("leaving")
    gate.leave()
    assert entered.wait(20)
    thread.join()
    assert order == ["leaving", "in"]


def test_an_opened_gate_lets_everybody_pass() -> None:
    """When the run is over nobody waits any longer."""
    gate = Gate(1, now=Clock())
    gate.enter()
    thread = threading.Thread(target=gate.enter)
    thread.start()
    gate.open()
    thread.join(20)
    assert not thread.is_alive()
