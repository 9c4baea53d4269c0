"""The commands for whoever runs a server: keys, workspaces, audit, backup, prune, doctor."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from opik_eval import config
from opik_eval.ids import new_id
from opik_eval.records import Trace
from opik_eval.server.keys import Keys
from opik_eval.storage.workspaces import Workspaces, open_workspaces

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A store for a server."""
    return f"file:{tmp_path / 'server.db'}"


@pytest.fixture
def workspaces(store: str) -> Iterator[Workspaces]:
    """The workspaces in it."""
    with closing(open_workspaces(store)) as opened:
        yield opened


def fill(workspaces: Workspaces, name: str, *starts: datetime) -> None:
    """Write traces that began then."""
    traces = [Trace(id=new_id(), name="t" * 2000, start_time=start) for start in starts]
    workspaces.storage(name).write(traces)


def test_keys(cli, store: str, workspaces: Workspaces) -> None:
    """A key is shown once, listed without its secret, and stops working when revoked."""
    assert "no keys" in cli("keys", "list", "--store", store).out
    made = cli("keys", "create", "ci", "--role", "viewer", "--store", store)
    text = made.out.strip()
    assert "not shown again" in made.err
    keys = Keys(workspaces.control)
    key = keys.check(text)
    assert key is not None
    assert (key.name, key.role, key.workspace) == ("ci", "viewer", "default")
    listed = cli("keys", "list", "--store", store).out
    assert key.prefix in listed
    assert "works" in listed
    assert text.rsplit("_", 1)[1] not in listed
    assert cli("keys", "revoke", f"oek_{key.prefix}", "--store", store).code == 0
    assert keys.check(text) is None
    assert "revoked" in cli("keys", "list", "--store", store).out
    assert cli("keys", "revoke", key.prefix, "--store", store, "--json").json["revoked_at"]


def test_keys_as_json(cli, store: str, workspaces: Workspaces) -> None:
    """Programs get the key and what is known of it."""
    found = cli("keys", "create", "ci", "--store", store, "--json").json
    assert Keys(workspaces.control).check(found["key"]) is not None
    (listed,) = cli("keys", "list", "--store", store, "--json").json
    assert listed == {name: value for name, value in found.items() if name != "key"}
    assert listed["role"] == "editor"


def test_keys_that_cannot_be(cli, store: str) -> None:
    """A key needs a name and a workspace that is there; only known ones are revoked."""
    unknown = cli("keys", "create", "x", "--workspace", "nowhere", "--store", store)
    assert (unknown.code, "no workspace" in unknown.err) == (1, True)
    assert "needs a name" in cli("keys", "create", " ", "--store", store).err
    assert "no key" in cli("keys", "revoke", "nothing", "--store", store).err
    assert cli("keys", "create", "x", "--role", "king", "--store", store).code == 2


def test_workspaces(
    cli, store: str, workspaces: Workspaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A workspace is made, listed and deleted; its keys do not open a later one of that name."""
    assert cli("workspaces", "create", "team-a", "--store", store).code == 0
    assert cli("workspaces", "create", "team-a", "--store", store).code == 1
    text = cli("keys", "create", "a", "--workspace", "team-a", "--store", store, "--json").json
    names = [row["name"] for row in cli("workspaces", "list", "--store", store, "--json").json]
    assert names == ["default", "team-a"]
    assert "team-a" in cli("workspaces", "list", "--store", store).out
    deleted = cli("workspaces", "delete", "team-a", "--yes", "--store", store, "--json").json
    assert deleted == {"name": "team-a", "revoked_keys": [text["prefix"]]}
    assert workspaces.names() == ["default"]
    cli("workspaces", "create", "team-a", "--store", store, "--json")
    assert Keys(workspaces.control).check(text["key"]) is None
    assert cli("workspaces", "delete", "default", "--yes", "--store", store).code == 1
    monkeypatch.setattr("sys.stdin", io.StringIO(""))  # nobody says yes
    assert cli("workspaces", "delete", "team-a", "--store", store).code == 130
    assert "0 keys" in cli("workspaces", "delete", "team-a", "--yes", "--store", store).out


def test_audit(cli, store: str) -> None:
    """What commands change is in the audit trail, by workspace and with a limit."""
    cli("workspaces", "create", "team-a", "--store", store)
    key = cli("keys", "create", "a", "--workspace", "team-a", "--store", store, "--json").json
    cli("keys", "create", "b", "--store", store)
    lines = cli("audit", "--store", store).out.splitlines()
    assert [("keys create" in line) for line in lines] == [False, True, True]
    assert key["prefix"] in lines[1]
    own = cli("audit", "--store", store, "--workspace", "team-a").out.splitlines()
    assert own == lines[:2]
    last = cli("audit", "--store", store, "--limit", "1", "--json").json
    assert (last["method"], last["route"], last["workspace"]) == ("CLI", "keys create", "default")


def test_backup(cli, store: str, workspaces: Workspaces, tmp_path: Path) -> None:
    """A backup of a store in use has all workspaces and keys, and serves as it is."""
    cli("workspaces", "create", "team-a", "--store", store)
    key = cli("keys", "create", "a", "--workspace", "team-a", "--store", store, "--json").json
    fill(workspaces, "team-a", START)
    folder = tmp_path / "copy"
    found = cli("backup", str(folder), "--store", store, "--json").json
    assert found["size_bytes"] > 0
    with closing(open_workspaces(f"file:{found['files'][0]}")) as copy:
        assert len(list(copy.storage("team-a").list_traces())) == 1
        assert Keys(copy.control).check(key["key"]) is not None
    assert cli("backup", str(folder), "--store", store).code == 1, "it is not empty any more"
    assert "serve --store" in cli("backup", str(tmp_path / "other"), "--store", store).out


def test_backup_without_the_bucket(cli, store: str, tmp_path: Path, monkeypatch) -> None:
    """A backup says that the files of a bucket are not in it."""
    found = cli("backup", str(tmp_path / "whole"), "--store", store, "--json")
    assert (found.json["not_copied"], found.err) == ([], "")
    monkeypatch.setenv("OPIK_EVAL_S3_BUCKET", "files/opik")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    config.settings.cache_clear()
    found = cli("backup", str(tmp_path / "part"), "--store", store, "--json")
    assert found.json["not_copied"] == ["s3://files/opik"]
    assert "Not copied: the attachments in the bucket files/opik" in found.err


def test_prune(cli, store: str, workspaces: Workspaces) -> None:
    """Old traces go, and then the oldest ones until there is room; the audit trail shrinks too."""
    workspaces.create("team-a")
    now = datetime.now(UTC)
    for name in ("default", "team-a"):
        fill(workspaces, name, START, now - timedelta(days=1))
    assert cli("prune", "--store", store).code == 2
    one = cli("prune", "--days", "30", "--workspace", "team-a", "--store", store, "--json").json
    assert one == {
        "deleted_traces": {"team-a": 1},
        "deleted_unused_files": 0,
        "deleted_audit_lines": 0,
    }
    both = cli("prune", "--days", "30", "--store", store, "--json").json
    assert both["deleted_traces"] == {"default": 1, "team-a": 0}
    told = cli("prune", "--gb", "0", "--audit-days", "0", "--store", store).out
    assert "default: 1 traces deleted" in told
    assert "lines of the audit trail" in told
    assert list(workspaces.storage("default").list_traces()) == []


def test_a_server_with_keys(cli, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``serve --auth`` lets nobody in without a key, notes changes, and doctor looks at it."""
    command = [sys.executable, "-m", "opik_eval", "serve", "--port", "0", "--auth", "--json"]
    limits = ["--retention-days", "1", "--retention-gb", "1", "--key-events", "100"]
    with subprocess.Popen(
        [*command, *limits, "--store", store],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        text = cli("keys", "create", "me", "--store", store, "--json").json["key"]
        assert cli("doctor", "--storage", f"{url}/api").code == 1, "there is no key"
        monkeypatch.setenv("OPIK_API_KEY", text)
        config.settings.cache_clear()
        healthy = cli("doctor", "--storage", f"{url}/api").out
        assert "is an opik-eval server, workspace default, with a key" in healthy
        headers = {"Authorization": text, "Comet-Workspace": "default"}
        with httpx.Client(base_url=url, headers=headers, trust_env=False) as client:
            old = {"id": new_id(), "start_time": START.isoformat(), "name": "secret-name"}
            reply = client.post("/v1/private/traces/batch", json={"traces": [old]})
            assert reply.status_code == 204
            assert reply.headers["opik-user-limit"] == "100"
        server.send_signal(signal.SIGTERM)
        _, errors = server.communicate(timeout=30)
    lines = [json.loads(line) for line in errors.splitlines()]
    (noted,) = [line for line in lines if line["logger"] == "opik_eval.server.audit"]
    assert noted["route"] == "/v1/private/traces/batch"
    assert text not in errors
    assert "secret-name" not in errors
    found = cli("audit", "--store", store, "--limit", "1", "--json").json
    assert (found["user"], found["status"]) == ("me", 204)
