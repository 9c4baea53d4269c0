"""The published clients, driven against servers of our own in processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import model_replies
import pytest
from client_process import run_driver
from conformance_server import ServerProcess, serve
from readback import ReadBack, assert_delivered, reading

from opik_eval.ids import new_id
from opik_eval.testing.fake_server import FakeServer

Drive = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A server over each of the stores."""
    folder = tmp_path_factory.mktemp("server")
    store = f"file:{folder / 'store.db'}"
    if request.param == "postgresql":
        store = request.getfixturevalue("own_database")()
    with serve(store, folder) as running:
        yield running


@pytest.fixture(scope="session")
def own_database(postgres_url: str) -> Callable[[], str]:
    """Makes databases that no other tests use, and returns their URLs."""
    psycopg = pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")

    def make() -> str:
        name = f"conformance_{new_id().replace('-', '')}"
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return urlsplit(postgres_url)._replace(path=f"/{name}").geturl()

    return make


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
    """Runs a driver to its end, checks that nothing it sent was refused, and returns its report."""

    def run(name: str, project: str) -> dict[str, Any]:
        before = server.place()
        report = run_driver(
            name, url=server.url, project=project, home=tmp_path, model_url=model.base_url
        )
        assert_delivered(report, server.answered(since=before))
        return report

    return run
