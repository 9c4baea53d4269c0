"""Workspaces in memory and in files pass their battery; what is refused."""

from __future__ import annotations

from contextlib import closing

import pytest

from opik_eval.errors import ConfigError, UnavailableError
from opik_eval.records import Trace
from opik_eval.storage.opening import open_storage
from opik_eval.storage.workspaces import open_workspaces
from opik_eval.testing.workspace_contract import WorkspaceContract


class TestMemoryWorkspaces(WorkspaceContract):
    """The battery on workspaces in memory."""

    @pytest.fixture
    def workspaces(self):
        with closing(open_workspaces("memory:")) as workspaces:
            yield workspaces


class TestFileWorkspaces(WorkspaceContract):
    """The battery on workspaces in files."""

    @pytest.fixture
    def workspaces(self, tmp_path):
        self.opened = [open_workspaces(f"file:{tmp_path / 'opik.db'}")]
        yield self.opened[0]
        for workspaces in self.opened:
            workspaces.close()

    def reopen(self, workspaces):
        self.opened.append(open_workspaces(workspaces.location))
        return self.opened[-1]


def test_the_default_workspace_is_the_file(tmp_path):
    """What a server stores in the default workspace is what open_storage finds in the file."""
    with closing(open_workspaces(f"file:{tmp_path / 'a.db'}")) as workspaces:
        workspaces.storage("default").write([Trace(id="t")])
        workspaces.create("other")
    assert (tmp_path / "a.db.workspaces" / "other.db").is_file()
    with closing(open_storage(f"file:{tmp_path / 'a.db'}")) as storage:
        assert storage.find_trace("t") is not None


def test_deleting_leaves_no_file(tmp_path):
    """A deleted workspace takes its log, its index and its blobs with it."""
    with closing(open_workspaces(f"file:{tmp_path / 'a.db'}")) as workspaces:
        workspaces.create("w")
        workspaces.storage("w").write([Trace(id="t", input="x" * 100_000)])
        workspaces.delete("w")
        assert list((tmp_path / "a.db.workspaces").glob("w*")) == []


def test_closed_workspaces_open_nothing(tmp_path):
    """After closing, a workspace that was never asked for is refused, too."""
    workspaces = open_workspaces(f"file:{tmp_path / 'a.db'}")
    workspaces.close()
    with pytest.raises(UnavailableError, match="are closed"):
        _ = workspaces.control


def test_a_server_cannot_hold_workspaces():
    """The store of another server is refused with the forms that work."""
    with pytest.raises(ConfigError, match="a store of its own"):
        open_workspaces("https://host/api/")


class TestPostgresWorkspaces(WorkspaceContract):
    """The battery on workspaces in schemas of a PostgreSQL database."""

    @pytest.fixture
    def workspaces(self, postgres_url):
        drop_schemas(postgres_url)
        self.opened = [open_workspaces(postgres_url)]
        self.url = postgres_url
        yield self.opened[0]
        for workspaces in self.opened:
            workspaces.close()

    def reopen(self, workspaces):
        self.opened.append(open_workspaces(self.url))
        return self.opened[-1]


def drop_schemas(url):
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        for (name,) in connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname ~ '^opik_'"
        ).fetchall():
            connection.execute(f'DROP SCHEMA "{name}" CASCADE')
