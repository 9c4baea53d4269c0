"""``configure`` and ``sync``: the commands that speak to a tracing server."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path

import pytest

from opik_eval import config
from opik_eval.cli.app import main
from opik_eval.errors import ConfigError
from opik_eval.records import Trace
from opik_eval.storage.file import FileStorage

sys.path.insert(0, str(Path(__file__).parents[1] / "storage"))

from storage_fake_server import NativeServer, served


@pytest.fixture
def config_path(tmp_path, monkeypatch):
    """The configuration file that the commands read and write."""
    path = tmp_path / "home" / "opik.config"
    monkeypatch.setenv("OPIK_CONFIG_PATH", str(path))
    monkeypatch.chdir(tmp_path)
    config.settings.cache_clear()
    return path


class Server(NativeServer):
    """Answers the questions of ``configure`` too, below ``/api`` only."""

    key = None

    def answer(self, method, target, headers, body):
        if target.endswith("is-alive/ping"):
            return (200 if "/api/" in target else 404), {}, b'{"healthy":true}'
        if self.key is not None and headers.get("authorization") != self.key:
            return 401, {}, b'{"code":401,"message":"unknown key"}'
        if target.endswith("/auth"):
            return 204, {}, b""
        return super().answer(method, target, headers, body)


def run(*arguments):
    """Run a command and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def test_configure_checks_and_writes_the_file(config_path, capsys):
    """The prefix is found, the file is the owner's alone, and it keeps what else is in it."""
    config_path.parent.mkdir()
    config_path.write_text("[opik]\nproject_name = mine\n[other]\nx = 1\n")
    server = Server()
    server.key = "secret"
    with served(server) as url:
        code = run("configure", "--url", url, "--workspace", "team", "--api-key", "secret")
    assert code == 0
    assert "is an opik-eval server" in capsys.readouterr().out
    assert config_path.stat().st_mode & 0o777 == 0o600
    assert "[other]" in config_path.read_text()
    config.settings.cache_clear()
    found = config.settings()
    assert (found.url_override, found.workspace) == (f"{url}/api", "team")
    assert (found.api_key, found.project_name) == ("secret", "mine")


def test_configure_asks_for_what_is_missing(config_path, capsys, monkeypatch):
    """Server and key are asked for; --project and --json are taken."""
    server = Server()
    server.key = "hidden"
    with served(server) as url:
        answers = iter([f"{url}/api/", "hidden"])
        monkeypatch.setattr("click.prompt", lambda *_, **__: next(answers))
        assert run("configure", "--ask-key", "--project", "p", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == {"url": f"{url}/api", "server": "opik-eval", "config": str(config_path)}
    config.settings.cache_clear()
    assert (config.settings().api_key, config.settings().project_name) == ("hidden", "p")


def test_configure_explains_what_is_wrong(config_path, capsys):
    """A refused key, a server that is no tracing server, and one that is not there differ."""
    server = Server()
    server.key = "right"
    with served(server) as url:
        assert run("configure", "--url", url, "--api-key", "wrong") == 1
        assert "unknown key" in capsys.readouterr().err
    with served(NativeServer()) as url:
        assert run("configure", "--url", url) == 1
        assert "not as a tracing server" in capsys.readouterr().err
    assert run("configure", "--url", url) == 1
    assert "cannot be reached" in capsys.readouterr().err
    assert not config_path.exists()
    assert run("configure", "--url", url, "--force") == 1
    config.settings.cache_clear()
    assert config.settings().url_override == url


def test_saving_settings_needs_a_place(tmp_path):
    """An unwritable place is an error; an empty value removes an entry."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot"):
        config.save_settings(tmp_path / "file" / "config", {})
    path = tmp_path / "config"
    config.save_settings(path, {"api_key": "k", "workspace": "w"})
    config.save_settings(path, {"api_key": ""})
    assert path.read_text().split() == ["[opik]", "workspace", "=", "w"]


class Choosy(NativeServer):
    """Refuses traces, whose records it calls strange, and takes everything else."""

    def write(self, given):
        if any(payload["kind"] == "trace" for payload in given["records"]):
            raise ConfigError("strange")
        super().write(given)


def test_a_run_whose_records_are_refused_says_so(config_path, tmp_path, capsys):
    """An evaluation that could not deliver shows it in text, JSON and exit code."""
    (tmp_path / "q.jsonl").write_text('{"question": "a", "answer": "a"}\n')
    (tmp_path / "run.yaml").write_text(
        "name: r\ndataset: q.jsonl\nprompt: '{{question}}'\nmodel: fake/echo\n"
        "metrics: [equals_metric]\nkey_mapping: {reference: answer}\n"
    )
    with served(Choosy()) as url:
        assert run("run", "run.yaml", "--storage", url, "--json") == 3
        shown = json.loads(capsys.readouterr().out)
        assert (shown["status"], shown["pending"], len(shown["rejected"])) == ("completed", 0, 1)
        assert shown["rejected"][0].endswith("400: strange")
        assert run("run", "run.yaml", "--storage", url) == 3
        text = " ".join(capsys.readouterr().out.split())
        assert "Not all delivered: 0 records wait on disk, 1 were rejected" in text
        assert "400: strange" in text


def test_sync_sends_a_file_and_says_what(config_path, tmp_path, capsys):
    """The first run sends, the second has nothing to do; refusals end with exit code 3."""
    with closing(FileStorage(tmp_path / "runs.db")) as storage:
        storage.write([Trace(id="t", name="n")])
    server = NativeServer()
    with served(server) as url:
        assert run("sync", "runs.db", url) == 0
        assert f"sent 1 trace to {url}; 0 had arrived before" in capsys.readouterr().out
        assert run("sync", "runs.db", url, "--json") == 0
        assert json.loads(capsys.readouterr().out)["skipped"] == 1
        assert [t.name for t in server.storage.list_traces()] == ["n"]

        def refuse(method, path):
            return (400, {}, b'{"errors":["no"]}') if path.endswith("/records") else None

        server.faults = [refuse] * 9
        assert run("sync", "runs.db", url, "--again", "--keep-ids") == 3
        assert "rejected: trace t: 400: no" in capsys.readouterr().err
