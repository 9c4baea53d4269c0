"""What all tests share: only loopback, no settings of the machine, a store of their own."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from postgres_server import postgres_url  # noqa: F401 - a fixture of all tests

from opik_eval import config
from opik_eval.storage.base import Storage
from opik_eval.storage.opening import open_storage

pytest.register_assert_rewrite("opik_eval.testing")  # before any test imports its batteries
_LOOPBACK = ("127.", "::1", "localhost")

# Machines differ in speed and CI must not: no deadlines anywhere, and in CI always the same cases.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

# A shell that starts the tests in the background has them ignore Ctrl-C, and their children too.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections to anywhere but this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else str(address)
        if self.family != socket.AF_UNIX and not str(host).startswith(_LOOPBACK):
            raise AssertionError(f"a test tried to reach {host}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Run with default settings, whatever the machine says."""
    for name in [name for name in os.environ if name.startswith("OPIK_")]:
        if name != "OPIK_EVAL_DATA_DIR":
            monkeypatch.delenv(name)
    monkeypatch.setenv("OPIK_CONFIG_PATH", str(tmp_path / "no.config"))
    monkeypatch.setenv("OPIK_EVAL_STORAGE", f"file:{tmp_path / 'default.db'}")
    config.settings.cache_clear()
    yield
    config.settings.cache_clear()


@pytest.fixture
def storage() -> Iterator[Storage]:
    """A store in memory."""
    opened = open_storage("memory:")
    yield opened
    opened.close()
