"""The event stream."""

from __future__ import annotations

import logging

import pytest

from opik_optimizer.events import Event, EventStream, RoundStarted, SearchStopped


class Collector:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def on_event(self, event: Event) -> None:
        self.events.append(event)


def broken(event: Event) -> None:
    raise RuntimeError(f"no use for {type(event).__name__}")


def test_functions_and_objects_hear_every_event_in_order() -> None:
    """Both kinds of callback receive the whole stream."""
    collector, heard = Collector(), []
    stream = EventStream([collector, heard.append])
    for index in range(3):
        stream.emit(RoundStarted(optimization_id="1", index=index))
    assert [e.index for e in collector.events if isinstance(e, RoundStarted)] == [0, 1, 2]
    assert heard == collector.events


def test_a_callback_that_raises_is_dropped_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The run goes on without the callback, and the log says so."""
    collector = Collector()
    stream = EventStream([broken, collector])
    with caplog.at_level(logging.WARNING, logger="opik_optimizer"):
        stream.emit(SearchStopped(optimization_id="1", reason="max_trials"))
        stream.emit(SearchStopped(optimization_id="1", reason="max_trials"))
    assert len(collector.events) == 2
    assert len(caplog.records) == 1
    assert "no use for SearchStopped" in caplog.text


def test_an_essential_listener_ends_the_run() -> None:
    """What is part of the run, such as storing, does not fail in silence."""
    stream = EventStream()
    stream.add(broken, essential=True)
    with pytest.raises(RuntimeError, match="no use"):
        stream.emit(SearchStopped(optimization_id="1", reason="x"))
