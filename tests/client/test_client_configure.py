"""``configure``: a server is checked before it is written down; without one all stays here."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import opik_eval
from opik_eval import config
from opik_eval.client import configure as module
from opik_eval.errors import StorageError, UnavailableError
from opik_eval.storage.opening import parse_target
from opik_eval.testing.fake_server import FakeServer

NOWHERE = "http://127.0.0.1:9/api"


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The configuration file, with no store named in the environment."""
    monkeypatch.delenv("OPIK_EVAL_STORAGE")
    monkeypatch.setattr(module, "LOCAL_URL", NOWHERE)
    monkeypatch.chdir(tmp_path)
    config.settings.cache_clear()
    return tmp_path / "no.config"


def test_without_arguments_results_stay_here(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is asked, checked or written; a line says where results go."""
    with caplog.at_level(logging.INFO, "opik_eval"):
        opik_eval.configure()
    assert f"results are stored in file:{path.parent / '.opik' / 'opik.db'}" in caplog.text
    assert not path.exists()


def test_no_server_on_this_machine_is_no_error(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """``use_local`` means this machine; its files are on it, too."""
    opik_eval.configure(use_local=True, api_key="k")
    assert f"no server answers at {NOWHERE}: results are stored in file:" in caplog.text
    assert not path.exists()
    assert parse_target()[0] == "file"


def test_a_file_that_is_forced_is_no_silent_choice(path: Path) -> None:
    """Once it names the server of this machine, results go there, and it does not answer."""
    with pytest.raises(UnavailableError):
        opik_eval.configure(use_local=True, force=True)
    assert parse_target() == ("http", NOWHERE)


@pytest.mark.parametrize("name", ["url", "url_override"])
def test_a_server_that_does_not_answer_is_an_error(path: Path, name: str) -> None:
    """Unless the file is to be written all the same."""
    with pytest.raises(UnavailableError):
        opik_eval.configure(**{name: NOWHERE})  # type: ignore[arg-type]
    assert not path.exists()
    with pytest.raises(UnavailableError):
        opik_eval.configure(**{name: NOWHERE}, force=True)  # type: ignore[arg-type]
    assert parse_target() == ("http", NOWHERE)


def test_passwords_are_not_logged(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The URL of a database may hold one."""
    monkeypatch.setenv("OPIK_EVAL_STORAGE", "postgresql://me:secret@host/db")
    config.settings.cache_clear()
    with caplog.at_level(logging.INFO, "opik_eval"):
        opik_eval.configure()
    assert "the store of the settings (postgresql)" in caplog.text
    assert "secret" not in caplog.text


def test_what_is_no_tracing_server_is_refused(path: Path) -> None:
    """A model's server answers, too."""
    with FakeServer() as server, pytest.raises(StorageError, match="tracing server"):
        opik_eval.configure(url=server.base_url)
    assert not path.exists()
