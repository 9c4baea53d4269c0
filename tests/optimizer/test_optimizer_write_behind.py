"""Writing beside the run: order, waiting at the end, failures."""

from __future__ import annotations

import threading

import pytest

from opik_optimizer import write_behind
from opik_optimizer.events import Event, RoundStarted, RunFailed, SearchStopped
from opik_optimizer.write_behind import WriteBehind

KINDS = (RoundStarted, RunFailed)


def rounds(count: int) -> list[RoundStarted]:
    """Return events of numbered rounds."""
    return [RoundStarted(optimization_id="1", index=k) for k in range(count)]


def the_end() -> RunFailed:
    """Return the last event of a run."""
    return RunFailed(optimization_id="1", error=ValueError("no"), status="error")


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the other thread wait until the run ends."""
    monkeypatch.setattr(write_behind, "_PAUSE_SECONDS", 60.0)


def test_events_come_in_their_order_and_in_another_thread() -> None:
    """The listener gets what it cares for, in order, and not in the thread of the run."""
    seen: list[tuple[Event, bool]] = []
    here, started, all_seen = threading.current_thread(), rounds(5), threading.Event()

    def listen(event: Event) -> None:
        seen.append((event, threading.current_thread() is here))
        if len(seen) == len(started):
            all_seen.set()

    behind = WriteBehind(listen, KINDS)
    for event in started:
        behind.on_event(event)
        behind.on_event(SearchStopped(optimization_id="1", reason="not for the listener"))
    assert all_seen.wait(20)
    assert [event for event, _ in seen] == started
    assert not any(is_here for _, is_here in seen)


@pytest.mark.usefixtures("patient")
def test_the_last_event_waits_for_no_thread() -> None:
    """At the end of a run everything is handed over at once, each event once."""
    seen: list[Event] = []
    behind = WriteBehind(seen.append, KINDS)
    events = [*rounds(3), the_end()]
    for event in events:
        behind.on_event(event)
    assert seen == events


def test_a_failure_is_raised_once_and_the_rest_is_still_handed_over() -> None:
    """What a store refuses ends the run at the next event; the run's end is still stored."""
    seen: list[Event] = []
    refused = threading.Event()

    def store(event: Event) -> None:
        if isinstance(event, RoundStarted) and event.index == 0:
            refused.set()
            raise OSError("the disk is full")
        seen.append(event)

    first, second = rounds(2)
    behind = WriteBehind(store, KINDS)
    behind.on_event(first)
    assert refused.wait(20)
    with behind._one_at_a_time:  # the failure is noted once the other thread is done
        pass
    with pytest.raises(OSError, match="full"):
        behind.on_event(second)
    last = the_end()
    behind.on_event(last)
    assert seen == [second, last]


def test_a_failure_at_the_end_is_raised_there() -> None:
    """A run whose last event could not be stored does not look finished."""

    def store(_: Event) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        WriteBehind(store, KINDS).on_event(the_end())
