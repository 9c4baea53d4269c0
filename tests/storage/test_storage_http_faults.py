"""The HTTP backend on a real connection: faults, restarts, dead processes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from storage_fake_server import NativeServer, ServerTransport, served

from opik_eval.errors import ConfigError, ConflictError, NotFoundError, UnavailableError
from opik_eval.records import Dataset, DatasetItem, Prompt, Trace
from opik_eval.storage.http import HttpStorage
from opik_eval.storage.http_connection import Connection, Reply, Unreachable, normalised_url
from opik_eval.storage.http_retry import wait_seconds

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def server():
    """A server that stores in memory."""
    return NativeServer()


@pytest.fixture
def open_http(tmp_path):
    """Open storages that share an outbox; all are closed at the end."""
    opened = []

    def connect(server_or_url, **options):
        is_url = isinstance(server_or_url, str)
        url = server_or_url if is_url else "http://test"
        transport = None if is_url else ServerTransport(server_or_url)
        connection = Connection(url, transport=transport, sleep=lambda _: None)
        opened.append(HttpStorage(connection, tmp_path / "outbox.db", **options))
        return opened[-1]

    yield connect
    for storage in opened:
        storage.close()


def traces(count, start=0):
    """Return traces with ids in order."""
    return [Trace(id=f"t{n:05}", name="n") for n in range(start, start + count)]


def test_faults_of_every_kind_lose_nothing(server, open_http):
    """Through 429s, 5xx, dropped and cut connections and lost replies all arrives, once."""
    dice = random.Random(1)
    kinds = [
        (429, {"Retry-After": "0"}, b""),
        (429, {"RateLimit-Reset": "0"}, b""),
        (503, {"Retry-After": "0"}, b"{}"),
        ("drop", {}, b""),
        ("cut", {}, b"half"),
        "after",
        None,
        None,
    ]
    server.faults = dice.choices(kinds, k=12)
    with served(server) as url:
        storage = open_http(url)
        for start in range(0, 300, 50):
            storage.write(traces(50, start))
        report = storage.flush(30)
        server.faults = []
    assert report.complete
    assert report.delivered == 300
    assert [t.id for t in server.storage.list_traces()] == [t.id for t in traces(300)]


def test_writes_are_acknowledged_while_the_server_is_down(server, open_http, tmp_path):
    """They wait on disk, flush says so, reads refuse to pretend, and a later process sends them."""
    with served(server) as url:
        pass
    storage = open_http(url, patience_seconds=0.2)
    storage.write(traces(3))
    report = storage.flush(0.2)
    assert (report.pending, report.delivered, report.complete) == (3, 0, False)
    with pytest.raises(UnavailableError, match="3 records wait in"):
        storage.find_trace("t00000")
    storage.close()
    later = open_http(server)
    later.write(traces(1, 3))
    assert later.flush(10).complete
    assert len(list(server.storage.list_traces())) == 4


WRITER = """
import sys
from pathlib import Path
from opik_eval.records import Trace
from opik_eval.storage.http import HttpStorage
from opik_eval.storage.http_connection import Connection

storage = HttpStorage(Connection(sys.argv[1]), Path(sys.argv[2]))
for n in range(100_000):
    storage.write([Trace(id=f"t{n:05}", name="n")])
    print(n, flush=True)
"""


@pytest.mark.parametrize("acknowledged", [1, 7, 60])
def test_what_a_killed_process_was_told_is_kept_arrives(server, open_http, tmp_path, acknowledged):
    """After kill -9 of the writer, every acknowledged record reaches the server, once."""
    with served(server) as url:
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, url, str(tmp_path / "outbox.db")],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        )
        last = [int(writer.stdout.readline()) for _ in range(acknowledged)][-1]
        writer.send_signal(signal.SIGKILL)
        rest = writer.communicate()[0].split()
        last = int(rest[-1]) if rest else last
        storage = open_http(url)
        storage.write([Trace(id="z")])
        assert storage.flush(30).complete
    found = [t.id for t in server.storage.list_traces()]
    assert found[: last + 1] == [f"t{n:05}" for n in range(last + 1)]
    assert len(found) in (last + 2, last + 3)  # the next one may have been committed, untold


def test_two_processes_share_an_outbox(server, open_http):
    """Storages on one outbox deliver each record once between them."""
    with served(server) as url:
        first, second = open_http(url), open_http(url)

        def work(storage, start):
            for n in range(20):
                storage.write(traces(1, start + n))

        workers = [
            threading.Thread(target=work, args=(storage, start))
            for storage, start in ((first, 0), (second, 20))
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert first.flush(20).delivered == second.flush(20).delivered == 20
    written = [r for r in server.requests if r[1].endswith("/records")]
    assert len(list(server.storage.list_traces())) == 40
    assert 0 < len(written) <= 40


def test_refused_records_are_reported_with_the_reason(server, open_http):
    """A record that the server refuses for good is in the report, and the others arrive."""

    def refuse(method, path):
        return (422, {}, b'{"errors": ["too strange"]}') if path.endswith("records") else None

    storage = open_http(server)
    storage.flush(1)
    server.faults = [None, refuse]
    storage.write(traces(1))
    report = storage.flush(10)
    assert report.rejected == ("trace t00000: 422: too strange",)
    assert (report.delivered, report.complete) == (0, False)


def test_a_wrong_key_blocks_without_losing(server, open_http):
    """While the server refuses the key, records wait and flush returns at once."""
    server.faults = [(401, {}, b'{"code": 401, "message": "bad key"}')] * 3
    storage = open_http(server)
    storage.write(traces(1))
    report = storage.flush()
    assert (report.pending, report.rejected) == (1, ())
    with pytest.raises(UnavailableError, match="bad key"):
        storage.find_trace("t00000")


def test_a_change_whose_reply_is_lost_is_made_once(server, open_http):
    """The repeated request changes nothing and returns the version that the first one made."""
    storage = open_http(server)
    storage.write([Dataset(id="d", name="d")])
    server.faults = ["after"]
    version = storage.change_items("d", upsert=[DatasetItem(id="1", data={"q": 1})])
    assert version == next(iter(storage.list_dataset_versions("d")))
    assert version.number == 1
    assert storage.change_items("d", delete=["unknown"], changed_at=version.created_at) is None


def test_a_cut_stream_is_read_again(server, open_http):
    """A list without its end is asked for again; the reader sees it whole, once."""
    storage = open_http(server)
    storage.write(traces(5))
    storage.flush(10)
    server.faults = [(200, {}, b'{"kind":"trace","id":"t00000"}\n'), (200, {}, b"not json")]
    assert [t.id for t in storage.list_traces()] == [t.id for t in traces(5)]


def test_versions_of_datasets_are_read_once(server, open_http):
    """Items of a version that was read are not asked for again; a change makes a new version."""
    storage = open_http(server)
    storage.write([Dataset(id="d", name="d")])
    storage.change_items("d", upsert=[DatasetItem(id="1", data={"q": [1]})])
    (first,) = storage.list_dataset_items("d")
    first.data["q"] = "changed by the reader"
    before = len(server.requests)
    assert [item.data for item in storage.list_dataset_items("d")] == [{"q": [1]}]
    assert len(server.requests) == before + 1
    storage.change_items("d", upsert=[DatasetItem(id="2", data={})])
    assert len(list(storage.list_dataset_items("d"))) == 2
    assert len(list(storage.list_dataset_items("d", version=1))) == 1
    assert len(server.requests) == before + 1 + 1 + 2 + 1


def test_requests_carry_workspace_key_and_compressed_bodies(server, tmp_path):
    """Headers are Opik's; bodies of 256 bytes and more are compressed; the URL may end anyhow."""
    for position, url in enumerate(("http://test/opik/api", "http://test//opik/api/")):
        connection = Connection(
            url, api_key="key", workspace="team", transport=ServerTransport(server)
        )
        with closing(HttpStorage(connection, tmp_path / f"{position}.db")) as storage:
            storage.write(traces(20))
            storage.write([Trace(id="small")])
            assert storage.flush(10).complete
    assert {path for _, path, _, _ in server.requests} == {
        "/opik/api/v1/private/opik-eval/info",
        "/opik/api/v1/private/opik-eval/records",
    }
    for _, _, headers, body in server.requests:
        assert (headers["authorization"], headers["comet-workspace"]) == ("key", "team")
        assert (headers.get("content-encoding") == "gzip") == (body[:2] == b"\x1f\x8b")


def test_a_name_that_is_taken_is_known_at_once(server, open_http):
    """Datasets and prompts go to the server before the write returns."""
    storage = open_http(server)
    storage.write([Prompt(id="p", name="taken")])
    with pytest.raises(ConflictError):
        storage.write([Prompt(id="q", name="taken")])


def test_a_server_that_is_gone_fails_reads_with_its_url(open_http):
    """Reads try for a while and then say who cannot be reached."""
    with served(NativeServer()) as url:
        pass
    with pytest.raises(UnavailableError, match=url):
        open_http(url).find_trace("t")


@pytest.mark.parametrize(
    ("headers", "attempt", "seconds"),
    [
        ({}, 1, 0.5),
        ({}, 4, 4),
        ({}, 99, 60),
        ({"retry-after": "2.5"}, 1, 2.5),
        ({"retry-after": "1", "ratelimit-reset": "9"}, 1, 9),
        ({"retry-after": "-3"}, 1, 0),
        ({"retry-after": "1e9"}, 1, 3600),
        ({"retry-after": "nan"}, 2, 1),
        ({"retry-after": "soon"}, 2, 1),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:30 GMT"}, 1, 30),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:30 -0000"}, 1, 30),
    ],
)
def test_waits_follow_the_server_where_it_says_so(headers, attempt, seconds):
    """Advice in seconds or as a date counts; nonsense does not."""
    assert wait_seconds(attempt, headers, NOW) == seconds
    assert wait_seconds(attempt, headers, NOW + timedelta(days=0)) == seconds


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("http://h", "http://h"),
        ("http://h/", "http://h"),
        ("https://u:p@H:1/opik/api/?q=1#f", "https://h:1/opik/api"),
        ("http://[::1]:8/api//", "http://[::1]:8/api"),
    ],
)
def test_urls_are_normalised(url, normal):
    """Slashes at the end, credentials, queries and fragments are no part of the base URL."""
    assert normalised_url(url) == normal


@pytest.mark.parametrize("url", ["h", "ftp://h", "http://", "http://h:port"])
def test_other_urls_are_refused(url):
    """The error says what form a URL has, and not what it was."""
    with pytest.raises(ConfigError, match="server's URL"):
        normalised_url(url)


def test_explanations_take_both_shapes():
    """Errors of applications, of frameworks and of proxies are shown."""
    assert Reply(409, b'{"errors": ["a", "b"]}').explanation() == "409: a; b"
    assert Reply(401, b'{"code": 401, "message": "no"}').explanation() == "401: no"
    assert Reply(502, b"<html>bad gateway</html>").explanation() == "502: <html>bad gateway</html>"
    assert Reply(500, b"[1]").explanation() == "500: [1]"
    assert Reply(500).explanation() == "500"
    with pytest.raises(Unreachable):
        Reply(200, b"<html>").json()


def test_refusals_become_errors_of_this_package(server):
    """404 and 409 have their own errors; a refused key says where keys are set."""
    connection = Connection("http://test", transport=ServerTransport(server))
    for status, kind in ((404, NotFoundError), (409, ConflictError), (403, UnavailableError)):
        server.faults = [(status, {}, b"")]
        with pytest.raises(kind):
            connection.ask("GET", "x")
    connection.close()


def test_links_elsewhere_do_not_get_the_key():
    """A URL of another host is asked without key and workspace."""
    seen = []

    def answer(request):
        seen.append((request.url.host, "authorization" in request.headers))
        return httpx.Response(200, content=b"x")

    connection = Connection("http://own", api_key="k", transport=httpx.MockTransport(answer))
    connection.exchange_elsewhere("GET", "http://own/file")
    connection.exchange_elsewhere("GET", "http://other/file")
    assert seen == [("own", True), ("other", False)]
    connection.close()
