"""Figures, the audit trail's thread, and retention."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from server_client import Api

from opik_eval.errors import UnavailableError
from opik_eval.ids import new_id
from opik_eval.records import Document, Trace
from opik_eval.server.audit import AuditLine, AuditTrail, audited, forget_before
from opik_eval.server.otlp.ids import trace_ids
from opik_eval.server.retention import Housekeeping, Retention, prune
from opik_eval.storage.memory import MemoryStorage
from opik_eval.storage.workspaces import open_workspaces

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LINE = AuditLine(key="k", user="u", workspace="w", method="PUT", route="/r", status=204)


def figures(api: Api) -> dict[str, float]:
    """Return the figures of the server by name and labels."""
    reply = api.client.get("/metrics")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in reply.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_figures(api: Api) -> None:
    """Requests are counted by route and status, records by kind, times in a histogram."""
    api.trace()
    before = figures(api)
    body = {"traces": [{"id": new_id(), "start_time": "2026-01-01T00:00:00Z"} for _ in range(3)]}
    api.ok("POST", "traces/batch", body)
    api.send("POST", "traces/batch", {"traces": []})
    api.client.get("/nothing")
    after = figures(api)

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0)

    route = 'method="POST",route="/v1/private/traces/batch"'
    assert grown(f'opik_eval_requests_total{{{route},status="204"}}') == 1
    assert grown(f'opik_eval_requests_total{{{route},status="422"}}') == 1
    assert grown('opik_eval_requests_total{method="GET",route="none",status="404"}') == 1
    assert grown('opik_eval_events_total{kind="traces"}') == 3
    assert grown(f"opik_eval_request_seconds_count{{{route}}}") == 2
    assert after['opik_eval_store_bytes{workspace="default"}'] > 0
    assert after["opik_eval_open_requests"] == 1
    assert after["opik_eval_queued_requests"] == 0
    assert any(name.startswith("opik_eval_build_info{") for name in after)


def test_audit_lines_wait_for_the_disk() -> None:
    """Lines that come while one transaction runs share the next; all are there when noted."""
    store = Slow()
    with closing(AuditTrail(store)) as trail:

        async def note() -> None:
            waiting = [asyncio.create_task(trail.note(LINE)) for _ in range(20)]
            await asyncio.sleep(0)
            assert not any(task.done() for task in waiting)
            store.gate.set()
            await asyncio.gather(*waiting)

        asyncio.run(note())
        assert len(audited(store)) == 20
        assert len(store.batches) <= 3
    assert audited(store, workspace="nobody") == []
    assert {past.line for past in audited(store, workspace="w", limit=3)} == {LINE}


def test_audit_lines_that_cannot_be_stored_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A change whose line could not be stored is in the log as an error."""
    store = MemoryStorage()
    store.close()
    with closing(AuditTrail(store)) as trail, caplog.at_level(logging.ERROR, "opik_eval.server"):
        asyncio.run(trail.note(LINE))
    assert "was not stored" in caplog.text
    assert "route='/r'" in caplog.text


def test_closing_writes_what_waits() -> None:
    """What was noted before the end is stored, and the thread ends."""
    store = Slow()
    trail = AuditTrail(store)

    async def note() -> None:
        waiting = [asyncio.create_task(trail.note(LINE)) for _ in range(3)]
        await asyncio.sleep(0)
        threading.Timer(0, store.gate.set).start()
        await asyncio.to_thread(trail.close)
        await asyncio.gather(*waiting)

    asyncio.run(note())
    assert len(audited(store)) == 3


def test_old_audit_lines_are_forgotten() -> None:
    """Lines older than a time go, the others stay."""
    store = MemoryStorage()
    store.put_documents([LINE.document() for _ in range(3)])
    assert forget_before(store, datetime(2000, 1, 1, tzinfo=UTC)) == 0
    assert forget_before(store, datetime(9000, 1, 1, tzinfo=UTC)) == 3
    assert audited(store) == []


def test_retention() -> None:
    """Each workspace loses what is too old or too much, and OpenTelemetry's old ids."""
    with closing(open_workspaces("memory:")) as workspaces:
        workspaces.create("a")
        for name in workspaces.names():
            storage = workspaces.storage(name)
            ages = (timedelta(days=100), timedelta(days=1))
            storage.write([Trace(id=new_id(), start_time=NOW - age) for age in ages])
            fresh = trace_ids(storage, threading.RLock(), {"ab" * 16: NOW})
        assert prune(workspaces, Retention(), NOW) == {"a": 0, "default": 0}
        assert prune(workspaces, Retention(days=30), NOW) == {"a": 1, "default": 1}
        assert prune(workspaces, Retention(gigabytes=0), NOW) == {"a": 1, "default": 1}
        storage = workspaces.storage("a")
        assert trace_ids(storage, threading.RLock(), {"ab" * 16: NOW - timedelta(1)}) == fresh
        later = datetime.now(UTC) + timedelta(days=9)
        prune(workspaces, Retention(), later)
        assert trace_ids(storage, threading.RLock(), {"ab" * 16: NOW - timedelta(1)}) != fresh


def test_housekeeping_goes_on_after_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    """A store that fails is logged; deletions are; the thread ends when it is told to."""
    with closing(open_workspaces("memory:")) as workspaces:
        storage = workspaces.storage("default")
        storage.write([Trace(id=new_id(), start_time=NOW - timedelta(days=9))])
        seen = threading.Event()

        def now() -> datetime:
            seen.set()
            return NOW

        with caplog.at_level(logging.INFO, "opik_eval.server"):
            for _ in range(2):
                seen.clear()
                housekeeping = Housekeeping(workspaces, Retention(days=1), now)
                housekeeping.start()
                assert seen.wait(10)
                housekeeping.close()
                storage.close()
    assert "deleted 1 traces" in caplog.text
    assert "retention failed" in caplog.text


class Slow(MemoryStorage):
    """A store whose first transaction takes until the gate opens."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.batches: list[int] = []

    def put_documents(self, documents: Iterable[Document]) -> None:
        """Store documents once the gate is open."""
        if not self.gate.wait(10):
            raise UnavailableError("the gate stayed shut")
        listed = list(documents)
        self.batches.append(len(listed))
        super().put_documents(listed)
