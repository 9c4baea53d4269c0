"""The background writer: every record is delivered, pending or rejected, and counted as such."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opik_eval.errors import ConflictError, SchemaVersionError, UnavailableError
from opik_eval.records import Attachment, Span, Trace
from opik_eval.storage.base import FlushReport
from opik_eval.storage.memory import MemoryStorage
from opik_eval.tracing.sink import Upload
from opik_eval.tracing.writer import BackgroundWriter


class FakeStore:
    """A store that fails on demand: while ``down``, for ``poison`` names, or behind ``gate``."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.down = 0
        self.error: Exception | None = None
        self.poison: set[str] = set()
        self.batches: list[list[str]] = []
        self.files: list[Attachment] = []
        self.beyond = FlushReport()
        self.tries = 0

    @property
    def names(self) -> list[str]:
        return [name for batch in self.batches for name in batch]

    def write(self, records: Iterable[Trace]) -> None:
        self.entered.set()
        self.gate.wait()
        self.tries += 1
        if self.down:
            self.down -= 1
            raise UnavailableError("locked")
        if self.error:
            raise self.error
        names = [str(record.name) for record in records]
        if self.poison & set(names):
            raise ConflictError("poison")
        self.batches.append(names)

    def put_attachment(self, attachment: Attachment, content: bytes | Path) -> None:
        self.gate.wait()
        if self.error:
            raise self.error
        self.files.append(attachment)

    def flush(self, timeout_seconds: float | None = None) -> FlushReport:
        return self.beyond


def _record(name: object) -> Trace:
    return Trace(id=str(name), name=str(name))


def _writer(store: FakeStore, **options: float) -> BackgroundWriter:
    options = {"interval_seconds": 0, "retry_seconds": 0} | options
    return BackgroundWriter(store, **options)


def _emit(writer: BackgroundWriter, names: Iterable[object]) -> None:
    for name in names:
        writer.emit(_record(name))


def test_records_arrive_in_order_and_in_batches():
    """Nothing is lost or reordered, and no write is larger than a batch."""
    store = FakeStore()
    writer = _writer(store, batch_size=7)
    _emit(writer, range(100))
    assert writer.flush() == FlushReport(delivered=100)
    assert store.names == [str(number) for number in range(100)]
    assert max(map(len, store.batches)) <= 7


def test_records_wait_for_company_until_a_flush_hurries_them():
    """Within the interval records share a write; a flush does not wait for the interval."""
    store = FakeStore()
    writer = _writer(store, interval_seconds=3600)
    _emit(writer, range(5))
    assert writer.flush().delivered == 5
    assert len(store.batches) == 1


def test_flush_of_an_idle_writer_is_complete():
    """Without records there is nothing to wait for, and no thread is started."""
    writer = _writer(FakeStore())
    assert writer.flush().complete
    assert writer.close().complete
    assert writer._thread is None


def test_flush_tells_what_is_pending_when_time_runs_out():
    """A flush that runs out of time reports what is still on its way."""
    store = FakeStore()
    store.gate.clear()
    writer = _writer(store)
    _emit(writer, range(3))
    report = writer.flush(timeout_seconds=0)
    assert (report.delivered, report.pending, report.complete) == (0, 3, False)
    store.gate.set()
    assert writer.flush() == FlushReport(delivered=3)


def test_unavailable_store_is_tried_again(caplog):
    """A store that comes back gets everything, in order; the outage is logged once."""
    store = FakeStore()
    store.down = 4
    writer = _writer(store)
    with caplog.at_level(logging.WARNING):
        _emit(writer, range(3))
        report = writer.flush(timeout_seconds=30)
    assert report == FlushReport(delivered=3)
    assert store.names == ["0", "1", "2"]
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1


def test_flush_without_limit_gives_up_on_a_store_that_stays_away():
    """``flush(None)`` returns with what is pending instead of waiting for ever."""
    store = FakeStore()
    store.down = 10**9
    writer = _writer(store)
    _emit(writer, range(3))
    report = writer.flush()
    assert (report.delivered, report.pending, report.rejected) == (0, 3, ())
    store.down = 0
    assert writer.flush(timeout_seconds=30).delivered == 3


def test_close_rejects_what_an_unavailable_store_did_not_take(caplog):
    """At the end nothing is pending: what could not be stored is counted as lost and logged."""
    store = FakeStore()
    store.down = 10**9
    writer = _writer(store)
    _emit(writer, range(3))
    report = writer.close()
    assert report.rejected == ("UnavailableError: locked",) * 3
    assert report.pending == 0
    assert "lost" in caplog.text


def test_records_after_close_are_rejected():
    """A closed writer counts what comes late."""
    writer = _writer(FakeStore())
    _emit(writer, range(2))
    writer.close()
    writer.emit(_record("late"))
    assert writer.flush().rejected == ("the tracer is closed",)


def test_only_the_offending_record_is_rejected(caplog):
    """A record that the store refuses does not take its batch with it."""
    store = FakeStore()
    store.poison = {"3", "11"}
    store.gate.clear()
    writer = _writer(store)
    _emit(writer, range(20))
    store.gate.set()
    report = writer.flush()
    assert report.delivered == 18
    assert report.rejected == ("ConflictError: poison",) * 2
    assert store.names == [str(n) for n in range(20) if n not in (3, 11)]
    assert caplog.text.count("being lost") == 1


def test_error_of_the_whole_store_rejects_at_once():
    """Where the store itself cannot be used, its records are not tried one by one."""
    store = FakeStore()
    store.error = SchemaVersionError("newer")
    store.gate.clear()
    writer = _writer(store)
    _emit(writer, range(50))
    store.gate.set()
    assert writer.flush().rejected == ("SchemaVersionError: newer",) * 50
    assert store.tries <= 2


def test_full_writer_makes_its_callers_wait():
    """With no room, ``emit`` blocks until something is written, and nothing is lost."""
    store = FakeStore()
    store.gate.clear()
    writer = _writer(store, max_pending=4)
    _emit(writer, range(4))
    done = threading.Event()

    def emit_more() -> None:
        writer.emit(_record("more"))
        done.set()

    thread = threading.Thread(target=emit_more)
    thread.start()
    assert store.entered.wait(10)
    assert not done.wait(0.05)
    store.gate.set()
    thread.join()
    assert writer.flush() == FlushReport(delivered=5)


def test_without_room_for_too_long_records_are_rejected_and_counted(caplog):
    """After ``max_block_seconds`` records are dropped, counted, logged; further ones at once."""
    store = FakeStore()
    store.gate.clear()
    writer = _writer(store, max_pending=2, max_block_seconds=0.01)
    _emit(writer, range(2))
    _emit(writer, ["lost"])
    writer._max_block_seconds = 3600
    _emit(writer, ["lost at once"])
    store.gate.set()
    report = writer.flush()
    assert report.delivered == 2
    assert report.rejected == ("the store was unavailable or too slow for too long",) * 2
    assert "being lost" in caplog.text
    _emit(writer, ["after"])
    assert writer.flush().delivered == 3


def test_files_are_stored_with_their_hash_and_private_copies_deleted(tmp_path):
    """An upload becomes an attachment; our temporary copy goes, the user's file stays."""
    storage = MemoryStorage()
    copy, users = tmp_path / "copy", tmp_path / "users"
    copy.write_bytes(b"copied")
    users.write_bytes(b"own")
    writer = _writer(storage)
    for number, (content, temporary) in enumerate([(copy, True), (users, False), (b"raw", False)]):
        writer.emit(
            Upload(
                id=str(number),
                entity_type="trace",
                entity_id="t",
                file_name="f",
                mime_type="text/plain",
                content=content,
                temporary=temporary,
            )
        )
    assert writer.flush() == FlushReport(delivered=3)
    assert [storage.read_attachment(str(n)) for n in range(3)] == [b"copied", b"own", b"raw"]
    assert not copy.exists()
    assert users.exists()


def test_file_that_is_gone_is_rejected_with_the_reason(tmp_path):
    """A file that was deleted before it could be stored is reported, not forgotten."""
    writer = _writer(FakeStore())
    upload = Upload(
        id="1",
        entity_type="trace",
        entity_id="t",
        file_name="f",
        mime_type="m",
        content=tmp_path / "gone",
    )
    writer.emit(upload)
    (reason,) = writer.flush().rejected
    assert "FileNotFoundError" in reason


def test_report_includes_what_the_store_has_not_delivered():
    """Records in the store's own outbox are pending, those it was refused are rejected."""
    store = FakeStore()
    store.beyond = FlushReport(pending=2, rejected=("400",))
    writer = _writer(store)
    _emit(writer, range(5))
    assert writer.flush() == FlushReport(delivered=2, pending=2, rejected=("400",))


def test_store_that_cannot_flush_is_no_loss(caplog):
    """What was written is durable even if the store's own flush fails; that is logged."""
    store = FakeStore()

    def fail(timeout_seconds: float | None = None) -> FlushReport:
        raise UnavailableError("server away")

    store.flush = fail
    writer = _writer(store)
    _emit(writer, range(2))
    assert writer.flush().delivered == 2
    assert "server away" in caplog.text


def test_interrupted_wait_for_room_loses_count_of_nothing():
    """Ctrl-C while ``emit`` waits for room leaves the counts consistent."""
    store = FakeStore()
    store.gate.clear()
    writer = _writer(store, max_pending=1)
    _emit(writer, ["first"])

    def interrupt(*_: object) -> bool:
        raise KeyboardInterrupt

    writer._wait_hurried = interrupt
    with pytest.raises(KeyboardInterrupt):
        writer.emit(_record("second"))
    del writer._wait_hurried
    store.gate.set()
    assert writer.flush() == FlushReport(delivered=1)


def test_emit_may_be_reentered_by_the_garbage_collector():
    """A span that ends inside ``emit`` of the same thread does not deadlock."""
    writer = _writer(FakeStore())
    with writer._changed:
        writer.emit(_record("inner"))
    assert writer.flush().delivered == 1


steps = st.lists(
    st.one_of(
        st.tuples(st.just("emit"), st.integers(1, 30)),
        st.tuples(st.just("down"), st.integers(1, 3)),
        st.tuples(st.just("poison"), st.integers(1, 3)),
        st.tuples(st.just("hold"), st.just(0)),
        st.tuples(st.just("release"), st.just(0)),
        st.tuples(st.just("flush"), st.sampled_from([0, 1])),
    ),
    max_size=15,
)


@settings(max_examples=80, deadline=None)
@given(steps, st.integers(1, 40), st.integers(1, 9))
def test_every_record_is_delivered_pending_or_rejected(schedule, max_pending, batch_size):
    """Whatever happens in whatever order: emitted = delivered + pending + rejected, always."""
    store = FakeStore()
    writer = _writer(store, max_pending=max_pending, batch_size=batch_size, max_block_seconds=0.001)
    emitted: list[str] = []
    for step, amount in schedule:
        if step == "emit":
            names = [str(len(emitted) + offset) for offset in range(amount)]
            emitted += names
            _emit(writer, names)
        elif step == "down":
            store.down = amount
        elif step == "poison":
            store.poison |= {str(len(emitted) + amount)}
        elif step in ("hold", "release"):
            store.gate.clear() if step == "hold" else store.gate.set()
        else:
            report = writer.flush(timeout_seconds=0.001 * amount)
            total = report.delivered + report.pending + len(report.rejected)
            assert total == len(emitted)
    store.gate.set()
    report = writer.close(timeout_seconds=30)
    assert report.pending == 0
    assert report.delivered + len(report.rejected) == len(emitted)
    assert len(store.names) == report.delivered
    assert store.names == sorted(store.names, key=int)
    assert set(store.names) <= set(emitted)


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 6), st.integers(1, 50), st.integers(1, 3))
def test_many_threads_lose_nothing(threads, each, max_pending):
    """Concurrent callers with little room all get their records written."""
    store = FakeStore()
    writer = _writer(store, max_pending=max_pending)
    workers = [
        threading.Thread(target=_emit, args=(writer, [f"{number}.{n}" for n in range(each)]))
        for number in range(threads)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert writer.flush() == FlushReport(delivered=threads * each)
    assert len(set(store.names)) == threads * each


def test_at_shutdown_records_are_written_without_a_thread(monkeypatch):
    """Where no thread can be started any more, the caller writes; an absent store is no trap."""
    store = FakeStore()
    writer = _writer(store)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    _emit(writer, range(3))
    assert writer.flush() == FlushReport(delivered=3)
    store.down = 1
    _emit(writer, ["lost"])
    assert writer.flush().rejected == ("UnavailableError: locked",)


def test_spans_scores_and_traces_share_a_batch():
    """Records of different kinds go into one write."""
    storage = MemoryStorage()
    writer = _writer(storage)
    writer.emit(Span(id="s", trace_id="t", name="span"))
    writer.emit(Trace(id="t", name="trace"))
    assert writer.flush() == FlushReport(delivered=2)
    assert storage.find_span("s").name == "span"
