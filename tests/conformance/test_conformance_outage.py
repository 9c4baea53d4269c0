"""The published opik goes on while the server is away, and sends what it kept when it is back."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from client_process import run_driver
from conformance_server import serve
from expectation import Expectation
from readback import reading

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
PHASES, DECORATED = 3, 25


def free_port():
    """Return a port that nobody listens on."""
    with closing(socket.socket()) as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


def wait_for(path, running):
    """Wait for a file of a driver that must not end meanwhile."""
    deadline = time.monotonic() + 120
    while not path.exists():
        assert not running.done(), running.result()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_is_logged_in_an_outage_arrives_once(tmp_path):
    """The server is killed; what the client logs until it is back arrives, and nothing twice."""
    home, store = tmp_path / "home", f"file:{tmp_path / 'store.db'}"
    home.mkdir()
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    port = ("--port", str(free_port()))
    with ThreadPoolExecutor(1) as threads, serve(store, folders[0], *port) as first:
        settings = {"OPIK_CONNECTION_MONITOR_PING_INTERVAL": "1"}
        running = threads.submit(
            run_driver, "outage.py", url=first.url, project="outage", home=home, **settings
        )
        wait_for(home / "ready-for-is-down", running)
        first.kill()
        (home / "is-down").touch()
        wait_for(home / "ready-for-is-up", running)
        with serve(store, folders[1], *port) as second:
            (home / "is-up").touch()
            report = running.result()
            with reading(second.url, second.store) as readback:
                assert len({*report["said"]}) == PHASES * (DECORATED + 1)
                readback.assert_traced(Expectation.of(report["exchanges"]), "outage")
                found = readback.storage.list_traces(project_name="outage")
                assert {trace.id for trace in found} == {*report["said"]}
                spans = [*readback.storage.list_spans(project_name="outage")]
                assert (
                    len(spans) == len({span.id for span in spans}) == PHASES * (DECORATED * 2 + 1)
                )
                scores = readback.storage.list_feedback_scores("trace", project_name="outage")
                assert len([*scores]) == PHASES * DECORATED
    assert report["lost"] == 0, report["warnings"]
