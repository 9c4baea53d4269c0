"""The server as a process: start, refusals, draining, durability."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from opik_eval.cli import main
from opik_eval.errors import ConfigError
from opik_eval.ids import new_id
from opik_eval.server import running
from opik_eval.server.access_log import JsonFormatter

START = "2026-01-01T00:00:00Z"


class Served:
    """A server process and a client for it."""

    def __init__(self, folder: Path, *options: str, lines: int = 4) -> None:
        command = [sys.executable, "-m", "opik_eval", "serve", "--port", "0", *options]
        self.process = subprocess.Popen(
            [*command, "--store", f"file:{folder / 'opik.db'}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        assert self.process.stdout is not None
        self.greeting = [self.process.stdout.readline() for _ in range(lines)]
        found = re.search(r"http://[\w.:]+", self.greeting[0])
        assert found, (self.greeting, self.process.communicate())
        self.errors = ""
        self.client = httpx.Client(base_url=found[0], trust_env=False)

    def write(self, trace: str) -> int:
        """Write a trace and return the status of the answer."""
        body = {"traces": [{"id": trace, "start_time": START}]}
        return self.client.post("/v1/private/traces/batch", json=body).status_code

    def stop(self, how: signal.Signals = signal.SIGTERM) -> str:
        """Stop the process and return what it wrote to standard error."""
        self.client.close()
        with self.process:
            self.process.send_signal(how)
            self.errors += self.process.communicate()[1] if not self.errors else ""
        return self.errors


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A server process over a file."""
    server = Served(tmp_path, "--verbose")
    yield server
    server.stop(signal.SIGKILL)


def test_greeting_says_how_to_connect(served: Served) -> None:
    """The first lines say where the server is and what to set for clients."""
    text = "".join(served.greeting)
    assert f"OPIK_URL_OVERRIDE={str(served.client.base_url).rstrip('/')}/api/" in text
    assert served.client.get("/api/is-alive/ping").status_code == 200


def test_greeting_as_json(tmp_path: Path) -> None:
    """Programs get the place of the server as one line of JSON."""
    server = Served(tmp_path, "--json", lines=1)
    try:
        told = json.loads(server.greeting[0])
        assert told["store"] == f"file:{tmp_path / 'opik.db'}"
        assert server.client.get(f"{told['url']}/is-alive/ping").status_code == 200
    finally:
        server.stop()


def test_acknowledged_writes_survive_kill(served: Served, tmp_path: Path) -> None:
    """What was answered with 204 is there after kill -9 and a restart."""
    trace = new_id()
    assert served.write(trace) == 204
    served.stop(signal.SIGKILL)
    again = Served(tmp_path)
    try:
        assert again.client.get(f"/v1/private/traces/{trace}").json()["id"] == trace
    finally:
        again.stop()


def test_termination_drains(served: Served) -> None:
    """A request that was accepted is answered although the server was told to stop."""
    trace = new_id()
    body = json.dumps({"traces": [{"id": trace, "start_time": START}]}).encode()
    half, asked = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield body[:10]
        half.set()
        asked.wait(10)
        yield body[10:]

    statuses: list[int] = []

    def send() -> None:
        reply = served.client.post("/v1/private/traces/batch", content=slowly())
        statuses.append(reply.status_code)

    sender = threading.Thread(target=send)
    sender.start()
    assert half.wait(10)
    served.client.get("/is-alive/ping")  # by now the server has the first half
    served.process.send_signal(signal.SIGTERM)
    asked.set()
    sender.join()
    errors = served.stop()
    assert statuses == [204]
    assert served.process.returncode in (0, -signal.SIGTERM)
    lines = [json.loads(line) for line in errors.splitlines()]
    assert "/v1/private/traces/batch" in {line.get("path") for line in lines}


def test_logs_hold_no_secrets(served: Served) -> None:
    """Neither keys, nor query strings, nor bodies get into the log."""
    headers = {"Authorization": "sesame-key"}
    served.client.get("/v1/private/projects?name=sesame-name", headers=headers)
    served.client.post("/v1/private/projects", json={"name": "sesame-body"}, headers=headers)
    errors = served.stop()
    assert "/v1/private/projects" in errors
    assert "sesame" not in errors


def test_other_hosts_need_keys(capsys: pytest.CaptureFixture[str]) -> None:
    """Listening beyond this machine is refused without keys."""
    with pytest.raises(SystemExit, match="1"):
        main(["serve", "--host", "0.0.0.0", "--store", "memory:"])
    assert "--insecure" in capsys.readouterr().err


def test_taken_ports_are_told() -> None:
    """A port that is in use is an error that says what to do."""
    first = running.listen("127.0.0.1", 0)
    try:
        with pytest.raises(ConfigError, match="cannot listen"):
            running.listen("127.0.0.1", first.port)
    finally:
        first.socket.close()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.1", False),
        ("example.com", False),
    ],
)
def test_loopback(host: str, *, expected: bool) -> None:
    """Only addresses that other machines cannot reach count as loopback."""
    assert running.is_loopback(host) is expected


def test_urls_of_listeners() -> None:
    """The URL that is shown can be used on this machine."""
    listener = running.listen("127.0.0.1", 0)
    listener.socket.close()
    cases = {"0.0.0.0": "http://127.0.0.1:1", "::": "http://[::1]:1", "::1": "http://[::1]:1"}
    for host, url in cases.items():
        assert running.Listener(listener.socket, host, 1).url == url


def test_log_lines_are_json() -> None:
    """A failure is logged as one line with its traceback."""
    import logging

    try:
        raise ValueError("boom")
    except ValueError:
        record = logging.LogRecord("n", logging.ERROR, "", 1, "m %s", ("x",), sys.exc_info())
    line = json.loads(JsonFormatter().format(record))
    assert (line["level"], line["message"]) == ("error", "m x")
    assert "boom" in line["exception"]
