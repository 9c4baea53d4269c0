"""The recorder: batches, back-pressure, failures, closing."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterable, Sequence

import pytest
from engine_fakes import unit
from hypothesis import given, settings
from hypothesis import strategies as st

from opik_eval.engine import recorder as recorder_module
from opik_eval.engine.recorder import BATCH_UNITS, MOST_WAITING, Recorder
from opik_eval.engine.units import Finished
from opik_eval.errors import ConflictError, UnavailableError
from opik_eval.records import Project


class FakeStorage:
    """A store that takes batches, or refuses them as it is told."""

    def __init__(self, refuse: Callable[[list[str]], Exception | None] = lambda _: None) -> None:
        self.batches: list[list[str]] = []
        self._refuse = refuse

    def write(self, records: Iterable[Project]) -> None:
        names = [record.name for record in records]
        error = self._refuse(names)
        if error is not None:
            raise error
        self.batches.append(names)

    @property
    def stored(self) -> list[str]:
        return [name for batch in self.batches for name in batch]


class Heard:
    """What a recorder reports."""

    def __init__(self) -> None:
        self.durable: list[int] = []
        self.failures: list[Exception] = []

    def on_durable(self, batch: Sequence[Finished]) -> None:
        self.durable += [finished.unit.index for finished in batch]

    def on_failure(self, error: Exception) -> None:
        self.failures.append(error)


def finished(index: int) -> Finished:
    record = Project(id=f"id-{index}", name=f"n{index}")
    return Finished(unit(index), None, [record])  # type: ignore[arg-type,list-item]


def recorder_on(storage: FakeStorage) -> tuple[Recorder, Heard]:
    heard = Heard()
    recorder = Recorder(
        storage,  # type: ignore[arg-type]
        records_of=lambda batch: [record for unit in batch for record in unit.records],
        on_durable=heard.on_durable,
        on_failure=heard.on_failure,
    )
    return recorder, heard


def test_units_are_reported_once_they_are_stored() -> None:
    """Everything handed over is in the store when ``close`` returns, and was reported after."""
    storage = FakeStorage()
    recorder, heard = recorder_on(storage)
    for index in range(10):
        recorder.add(finished(index))
    assert recorder.close() == []
    assert storage.stored == [f"n{index}" for index in range(10)]
    assert heard.durable == list(range(10))
    assert recorder.error is None
    assert recorder.reasons == ()


def test_a_full_batch_is_written_at_once() -> None:
    """Fast units are written in large batches, as soon as one is full."""
    full = threading.Event()

    class Telling(FakeStorage):
        def write(self, records: Iterable[Project]) -> None:
            super().write(records)
            if len(self.stored) >= BATCH_UNITS:
                full.set()

    recorder, heard = recorder_on(Telling())
    for index in range(BATCH_UNITS):
        recorder.add(finished(index))
    assert full.wait(20)
    assert recorder.close() == []
    assert heard.durable == list(range(BATCH_UNITS))


@pytest.mark.parametrize(
    ("flood_seconds", "writer"), [(60.0, "MainThread"), (0.0, "opik-eval-recorder")]
)
def test_who_fills_a_batch_in_a_flood_writes_it(
    monkeypatch: pytest.MonkeyPatch, flood_seconds: float, writer: str
) -> None:
    """In a flood nobody is disturbed by a second thread; slower units go on during the write."""
    monkeypatch.setattr(recorder_module, "_FLOOD_SECONDS", flood_seconds)
    monkeypatch.setattr(recorder_module, "_LINGER_SECONDS", 60.0)
    written, writers = threading.Event(), list[str]()

    class Looking(FakeStorage):
        def write(self, records: Iterable[Project]) -> None:
            super().write(records)
            writers.append(threading.current_thread().name)
            written.set()

    recorder, heard = recorder_on(Looking())
    for index in range(BATCH_UNITS):
        recorder.add(finished(index))
    assert written.wait(20)
    assert recorder.close() == []
    assert writers == [writer]
    assert heard.durable == list(range(BATCH_UNITS))


def test_who_fills_a_batch_does_not_wait_for_another_writer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While a batch is being written, the next one may fill."""
    monkeypatch.setattr(recorder_module, "_FLOOD_SECONDS", 60.0)
    recorder, heard = recorder_on(FakeStorage())
    with recorder._writing:
        for index in range(BATCH_UNITS):
            recorder.add(finished(index))
        assert heard.durable == []
    assert recorder.close() == []
    assert heard.durable == list(range(BATCH_UNITS))


def test_whoever_adds_waits_for_a_slow_store() -> None:
    """What waits to be written is bounded, however slow the store and however fast the units."""
    backlog: list[int] = []

    class Slow(FakeStorage):
        def write(self, records: Iterable[Project]) -> None:
            super().write(records)
            busy.wait(0.01)
            backlog.append(len(recorder._waiting))

    busy = threading.Event()
    recorder, heard = recorder_on(Slow())
    for index in range(6 * BATCH_UNITS):
        recorder.add(finished(index))
    assert recorder.close() == []
    assert max(backlog) <= MOST_WAITING
    assert sorted(heard.durable) == list(range(6 * BATCH_UNITS))


def test_the_collector_is_calm_in_a_flood_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's collector runs less often while batches are large, and as usual afterwards."""
    usual, during = gc.get_threshold(), list[int]()

    class Looking(FakeStorage):
        def write(self, records: Iterable[Project]) -> None:
            super().write(records)
            during.append(gc.get_threshold()[0])

    recorder, _ = recorder_on(Looking())
    for index in range(2 * BATCH_UNITS):
        recorder.add(finished(index))
    recorder.close()
    assert max(during) > usual[0]
    assert gc.get_threshold() == usual

    monkeypatch.setattr(recorder_module, "_CALM_SECONDS", 0.0)
    during.clear()
    recorder, _ = recorder_on(Looking())
    for index in range(BATCH_UNITS):
        recorder.add(finished(index))
    recorder._write_waiting()
    while len(during) < 1:
        recorder._write_waiting()
    recorder.add(finished(BATCH_UNITS))
    recorder._write_waiting()
    recorder.close()
    assert during[-1] == usual[0]
    assert gc.get_threshold() == usual


def test_a_single_unit_is_stored_without_closing() -> None:
    """Slow units do not wait for a batch to fill."""
    stored = threading.Event()

    class Telling(FakeStorage):
        def write(self, records: Iterable[Project]) -> None:
            super().write(records)
            stored.set()

    recorder, _ = recorder_on(Telling())
    recorder.add(finished(0))
    assert stored.wait(20)
    recorder.close()


def test_many_threads_may_add() -> None:
    """Units of many threads are stored once each."""
    storage = FakeStorage()
    recorder, heard = recorder_on(storage)

    def add(start: int) -> None:
        for index in range(start, start + 400):
            recorder.add(finished(index))

    threads = [threading.Thread(target=add, args=(400 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert recorder.close() == []
    assert sorted(heard.durable) == list(range(1600))
    assert len(storage.stored) == len(set(storage.stored)) == 1600


def test_a_failing_store_keeps_what_is_unsaved() -> None:
    """After a failure nothing is written any more, and ``close`` returns all that is not stored."""
    failed = threading.Event()

    def refuse(names: list[str]) -> Exception | None:
        return UnavailableError("disk full") if "n5" in names else None

    storage = FakeStorage(refuse)
    recorder, heard = recorder_on(storage)
    recorder._on_failure = lambda error: (heard.on_failure(error), failed.set())  # type: ignore[assignment,func-returns-value]
    for index in range(6):
        recorder.add(finished(index))
    assert failed.wait(20)
    recorder.add(finished(6))
    unsaved = [f.unit.index for f in recorder.close()]
    assert sorted(unsaved + heard.durable) == list(range(7))
    assert {5, 6} <= set(unsaved)
    assert isinstance(recorder.error, UnavailableError)
    assert len(heard.failures) == 1
    assert "n6" not in storage.stored


def test_a_failing_store_does_not_block_who_adds() -> None:
    """Adding more than a batch to a store that has failed neither waits nor writes."""
    storage = FakeStorage(lambda _: UnavailableError("gone"))
    recorder, heard = recorder_on(storage)
    for index in range(2 * BATCH_UNITS + 5):
        recorder.add(finished(index))
    assert len(recorder.close()) == 2 * BATCH_UNITS + 5
    assert storage.batches == []
    assert heard.durable == []


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 60), bad=st.sets(st.integers(0, 59), max_size=5))
def test_refused_units_are_set_aside_and_the_rest_is_written(count: int, bad: set[int]) -> None:
    """A record that no store can hold costs its unit, not the batch it is in."""
    poison = {f"n{index}" for index in bad}

    def refuse(names: list[str]) -> Exception | None:
        return TypeError("cannot be written") if poison & set(names) else None

    storage = FakeStorage(refuse)
    recorder, heard = recorder_on(storage)
    for index in range(count):
        recorder.add(finished(index))
    refused = {f.unit.index for f in recorder.close()}
    assert refused == {index for index in bad if index < count}
    assert sorted([*heard.durable, *refused]) == list(range(count))
    assert recorder.error is None
    assert heard.failures == []
    assert recorder.reasons == (("TypeError: cannot be written",) if refused else ())


@pytest.mark.parametrize("error", [ConflictError("name taken"), ValueError("odd")])
def test_reasons_name_the_error(error: Exception) -> None:
    """What was set aside is explained by the error's kind and text."""
    recorder, _ = recorder_on(FakeStorage(lambda _: error))
    recorder.add(finished(0))
    assert [f.unit.index for f in recorder.close()] == [0]
    assert recorder.reasons == (f"{type(error).__name__}: {error}",)


@pytest.mark.parametrize("last", [0, 3])
def test_a_store_that_fails_between_halves_loses_nothing(last: int) -> None:
    """While a batch is being divided, a failure keeps what was not written yet."""
    calls = [0]

    def refuse(names: list[str]) -> Exception | None:
        calls[0] += 1
        if calls[0] == 1:
            return ValueError("one of them is odd")
        return UnavailableError("gone") if f"n{last}" in names else None

    storage = FakeStorage(refuse)
    recorder, heard = recorder_on(storage)
    with recorder._writing:  # all in one batch
        for index in range(4):
            recorder.add(finished(index))
    unsaved = {f.unit.index for f in recorder.close()}
    assert unsaved | set(heard.durable) == {0, 1, 2, 3}
    assert last in unsaved
    assert isinstance(recorder.error, UnavailableError)
    assert len(heard.failures) == 1
