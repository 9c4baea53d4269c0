"""The published clients, driven against servers of our own in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import model_replies
import peers
import pytest
from conformance_server import ServerProcess, serve
from readback import ReadBack, assert_delivered, reading

from opik_eval.testing.fake_server import FakeServer

_DRIVERS = Path(__file__).with_name("drivers")
_SECONDS = 100
_NO_PYTHON = "the published opik is not installed: make peers"
_NO_TYPESCRIPT = "the published TypeScript opik is not installed: make peers"

Drive = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server over each of the stores."""
    folder = tmp_path_factory.mktemp("server")
    store = f"file:{folder / 'store.db'}"
    if request.param == "postgresql":
        store = request.getfixturevalue("postgres_url")
    with serve(store, folder) as running:
        yield running
    refused = [line for line in running.answered() if line["status"] >= 500]  # type: ignore[operator]
    assert refused == []


@pytest.fixture
def readback(server: ServerProcess) -> Iterator[ReadBack]:
    """Both views of what the server holds."""
    with reading(server.url, server.store) as opened:
        yield opened


@pytest.fixture(scope="session")
def model() -> Iterator[FakeServer]:
    """An OpenAI-compatible server that stands for all models."""
    with FakeServer(model_replies.reply) as running:
        yield running


@pytest.fixture
def drive(server: ServerProcess, model: FakeServer, tmp_path: Path) -> Drive:
    """Runs a driver to its end, checks that nothing it wrote was refused, and returns its report."""

    def run(name: str, project: str, *, refused: tuple[str, ...] = ()) -> dict[str, Any]:
        if name.endswith(".mjs"):
            if not peers.typescript_is_ready():
                pytest.skip(_NO_TYPESCRIPT)
            program = ["node", str(_typescript_driver(name))]
        else:
            if not peers.python_is_ready():
                pytest.skip(_NO_PYTHON)
            program = [str(peers.PYTHON), str(_DRIVERS / name)]
        report = tmp_path / "report.json"
        settings = _settings(server.url, project, model.base_url, tmp_path)
        done = subprocess.run(
            [*program, str(report)], env=settings, cwd=tmp_path, capture_output=True, text=True, timeout=_SECONDS
        )
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-10000:]
        found: dict[str, Any] = json.loads(report.read_text())
        assert_delivered(found, refused=refused)
        return found

    return run


def _settings(url: str, project: str, model_url: str, home: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "OPIK_URL_OVERRIDE": f"{url}/api/",
        "OPIK_PROJECT_NAME": project,
        "OPIK_ANALYTICS_ENABLE": "false",
        "OPIK_SENTRY_ENABLE": "false",
        "OPENAI_BASE_URL": model_url,
        "OPENAI_API_KEY": "not-a-secret",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "TQDM_DISABLE": "1",
    }


def _typescript_driver(name: str) -> Path:
    """Return a driver beside the package, where Node looks for what it imports."""
    source = Path(__file__).with_name("typescript") / name
    copy = peers.TYPESCRIPT / name
    copy.write_bytes(source.read_bytes())
    return copy
