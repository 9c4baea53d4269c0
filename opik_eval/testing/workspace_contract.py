"""The battery that the workspaces of every kind of store pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from threading import Thread as Worker

import pytest

from opik_eval.errors import ConfigError, ConflictError, NotFoundError, UnavailableError
from opik_eval.records import Dataset, Document, FeedbackScore, Trace
from opik_eval.storage.base import DocumentStore, Storage
from opik_eval.storage.workspaces import DEFAULT_WORKSPACE, Workspaces


class WorkspaceContract:
    """Workspaces share nothing, are opened once, and come and go by name."""

    @pytest.fixture
    def workspaces(self) -> Iterator[Workspaces]:
        """Yield open workspaces without data and close them afterwards."""
        raise NotImplementedError("supply the fixture `workspaces` for your store")

    def reopen(self, workspaces: Workspaces) -> Workspaces:
        """Return what another process would see; ``workspaces`` itself without durability."""
        return workspaces

    def test_there_is_a_default_workspace(self, workspaces: Workspaces) -> None:
        """Fresh workspaces are one, which is complete and keeps documents."""
        assert workspaces.names() == [DEFAULT_WORKSPACE]
        storage = workspaces.storage(DEFAULT_WORKSPACE)
        assert isinstance(storage, Storage)
        assert isinstance(storage, DocumentStore)
        assert workspaces.storage(DEFAULT_WORKSPACE) is storage

    def test_workspaces_share_nothing(self, workspaces: Workspaces) -> None:
        """The same ids and names live side by side, and deleting is for one workspace alone."""
        workspaces.create("other")
        places = [workspaces.storage(name) for name in workspaces.names()]
        for number, storage in enumerate(places):
            storage.write([Trace(id="t", name=str(number)), Dataset(id=f"d{number}", name="d")])
            storage.write([FeedbackScore(entity_id="t", name="s", value=number)])
            storage.put_documents([Document(id="1", kind="k", body={"n": number})])
            storage.write_cached("key", str(number).encode())
        places[0].delete_traces(["t"])
        assert [trace.name for trace in places[1].list_traces()] == ["1"]
        assert list(places[0].list_traces()) == []
        assert places[0].read_cached("key") == b"0"
        assert [d.id for d in places[0].list_datasets()] == ["d0"]
        assert [d.body for d in places[1].list_documents("k")] == [{"n": 1}]

    def test_control_belongs_to_no_workspace(self, workspaces: Workspaces) -> None:
        """Documents of control are in no workspace, and those of workspaces not in control."""
        workspaces.control.put_documents([Document(id="1", kind="key", body={})])
        storage = workspaces.storage(DEFAULT_WORKSPACE)
        storage.put_documents([Document(id="2", kind="key", body={})])
        seen = self.reopen(workspaces)
        assert [d.id for d in seen.control.list_documents("key")] == ["1"]
        assert [d.id for d in seen.storage(DEFAULT_WORKSPACE).list_documents("key")] == ["2"]

    def test_workspaces_come_and_go(self, workspaces: Workspaces) -> None:
        """A workspace is there for every process until it is deleted; then its name is free."""
        workspaces.create("b-1")
        workspaces.create("a_2")
        workspaces.storage("b-1").write([Trace(id="t")])
        seen = self.reopen(workspaces)
        assert seen.names() == ["a_2", "b-1", DEFAULT_WORKSPACE]
        before = seen.storage("b-1")
        assert before.find_trace("t") is not None
        workspaces.delete("b-1")
        assert seen.names() == ["a_2", DEFAULT_WORKSPACE]
        for place in (workspaces, seen):
            with pytest.raises(NotFoundError, match="no workspace 'b-1'"):
                place.storage("b-1")
        workspaces.create("b-1")
        assert list(seen.storage("b-1").list_traces()) == []

    def test_names_are_taken_once(self, workspaces: Workspaces) -> None:
        """A second workspace of a name is refused, the default one's too."""
        workspaces.create("x")
        for name in ("x", DEFAULT_WORKSPACE):
            with pytest.raises(ConflictError, match="already"):
                workspaces.create(name)

    @pytest.mark.parametrize("name", ["", "A", "a b", "../a", "-a", "é", ".control", "a" * 41])
    def test_other_names_are_refused(self, workspaces: Workspaces, name: str) -> None:
        """Names that could leave their place, or that some systems would mix up, are refused."""
        for act in (workspaces.create, workspaces.storage, workspaces.delete):
            with pytest.raises((ConfigError, NotFoundError)):
                act(name)
        assert workspaces.names() == [DEFAULT_WORKSPACE]

    def test_deleting_what_must_or_does_not_exist(self, workspaces: Workspaces) -> None:
        """The default workspace stays; an unknown one is an error."""
        with pytest.raises(ConfigError, match="cannot be deleted"):
            workspaces.delete(DEFAULT_WORKSPACE)
        with pytest.raises(NotFoundError, match="no workspace 'gone'"):
            workspaces.delete("gone")

    def test_threads_get_one_storage(self, workspaces: Workspaces) -> None:
        """Threads that ask at once get the same object, and one of them creates a name."""
        found, created = list[Storage](), list[bool]()

        def work() -> None:
            with suppress(ConflictError):
                workspaces.create("w")
                created.append(True)
            found.append(workspaces.storage("w"))

        workers = [Worker(target=work) for _ in range(6)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert created == [True]
        assert len({id(storage) for storage in found}) == 1
        assert len(found) == 6

    def test_closing_closes_what_was_handed_out(self, workspaces: Workspaces) -> None:
        """After closing, the storages that were handed out refuse their work."""
        storage = workspaces.storage(DEFAULT_WORKSPACE)
        workspaces.close()
        with pytest.raises(UnavailableError):
            storage.write([Trace(id="t")])
