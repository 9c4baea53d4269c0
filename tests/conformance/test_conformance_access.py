"""The published opik at a server that demands keys and limits their rate."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing

import pytest
from client_process import run_driver
from conformance_server import serve
from expectation import Expectation
from readback import is_refused

from opik_eval.storage.workspaces import open_workspaces

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def create_key(store, role):
    """Return a new key of the workspace ``team``."""
    words = [sys.executable, "-m", "opik_eval", "keys", "create", f"a {role}", "--store", store]
    options = ["--workspace", "team", "--role", role, "--json"]
    done = subprocess.run([*words, *options], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)["key"]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server that demands keys, with a workspace besides the default one."""
    folder = tmp_path_factory.mktemp("guarded")
    store = f"file:{folder / 'store.db'}"
    with closing(open_workspaces(store)) as workspaces:
        workspaces.create("team")
    with serve(store, folder, "--auth", "--key-events", "100") as running:
        yield running


def test_what_exceeds_the_rate_arrives_later_and_whole(guarded, tmp_path):
    """A client that is told to wait waits, and then everything is in its workspace alone."""
    report = run_driver(
        "guarded.py",
        url=guarded.url,
        project="guarded",
        home=tmp_path,
        OPIK_API_KEY=create_key(guarded.store, "editor"),
        OPIK_WORKSPACE="team",
    )
    said = report["said"]
    assert (said["status"], said["is_flushed"], report["lost"]) == (204, True, 0)
    refused = {exchange["status"] for exchange in report["exchanges"] if is_refused(exchange)}
    assert refused == {429}
    expected = Expectation.of(report["exchanges"])
    with closing(open_workspaces(guarded.store)) as workspaces:
        team = workspaces.storage("team")
        stored = {trace.id: trace.output for trace in team.list_traces(project_name="guarded")}
        scores = list(team.list_feedback_scores("trace", said["traces"]))
        elsewhere = list(workspaces.storage("default").list_traces())
    assert stored == {given: {"number": n} for n, given in enumerate(said["traces"])}
    assert expected.traced("trace").keys() == stored.keys()
    assert {score.entity_id: score.value for score in scores} == {
        given: n for n, given in enumerate(said["traces"])
    }
    assert elsewhere == []


@pytest.mark.parametrize("key", ["wrong", ""])
def test_a_client_without_a_good_key_is_told_so(guarded, tmp_path, key):
    """The check of the key fails, and so does the flush of what it tried to write."""
    settings = {"OPIK_API_KEY": key} if key else {}
    report = run_driver(
        "guarded.py",
        url=guarded.url,
        project="refused",
        home=tmp_path,
        OPIK_WORKSPACE="team",
        **settings,
    )
    assert report["said"] == {"status": 401, "is_flushed": False}
    assert report["lost"] > 0


def test_a_viewer_writes_nothing(guarded, tmp_path):
    """What a viewer sends is refused, and its client says that it is lost."""
    report = run_driver(
        "refused.py",
        url=guarded.url,
        project="viewed",
        home=tmp_path,
        OPIK_API_KEY=create_key(guarded.store, "viewer"),
        OPIK_WORKSPACE="team",
    )
    assert report["said"] == {"is_flushed": False}
    assert {exchange["status"] for exchange in report["exchanges"] if is_refused(exchange)} == {403}
