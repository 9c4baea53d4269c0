"""Single records of a real Opik server, and the rows of its lists as records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast
from urllib.parse import quote

from opik_eval.records import Project, Prompt, Record, Trace
from opik_eval.storage.http_connection import Connection
from opik_eval.storage.http_pages import pages
from opik_eval.storage.wire import Payload, record_from_wire

Arguments = Mapping[str, object]
PRIVATE = "v1/private"
PLURALS = {
    "project": "projects",
    "trace": "traces",
    "span": "spans",
    "dataset": "datasets",
    "experiment": "experiments",
    "prompt": "prompts",
    "optimization": "optimizations",
}


class OpikRows:
    """Finds records and turns rows into records.

    Args:
        connection: The server.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._project_names: dict[str, str] = {}

    def find(self, kind: str, value: str) -> Record | None:
        """Return a record by its name (project, dataset, prompt) or id (all others)."""
        if kind == "project":
            return self._retrieved(kind, "projects/retrieve", {"name": value})
        if kind == "dataset":
            return self._retrieved(kind, "datasets/retrieve", {"dataset_name": value})
        if kind == "prompt":
            named = self.pages_of("prompt", {"name": value})
            return next((p for p in named if cast("Prompt", p).name == value), None)
        if kind == "prompt_by_id":
            return self.by_id("prompt", value)
        return self.by_id(kind, value)

    def _retrieved(self, kind: str, path: str, body: Payload) -> Record | None:
        reply = self.connection.ask("POST", f"{PRIVATE}/{path}", json=body, missing=True)
        return None if reply.status == 404 else self.record(kind, cast("Payload", reply.json()))

    def by_id(self, kind: str, identifier: str) -> Record | None:
        """Return a record of any kind by its id."""
        path = f"{PRIVATE}/{PLURALS[kind]}/{quote(identifier, safe='')}"
        reply = self.connection.ask("GET", path, missing=True)
        return None if reply.status == 404 else self.record(kind, cast("Payload", reply.json()))

    def record(self, kind: str, row: Payload) -> Record:
        """Return the record of a row, which names its project by id only."""
        project_id = row.get("project_id")
        if row.get("project_name") is None and isinstance(project_id, str):
            row = {**row, "project_name": self._project_name(project_id)}
        return record_from_wire({**row, "kind": kind})

    def _project_name(self, project_id: str) -> str | None:
        if project_id not in self._project_names:
            found = self.by_id("project", project_id)
            if found is None:
                return None
            self._project_names[project_id] = cast("Project", found).name
        return self._project_names[project_id]

    def pages_of(self, kind: str, params: Mapping[str, str]) -> Iterator[Record]:
        """Yield the records of all pages of a list."""
        for row in pages(self.connection, f"{PRIVATE}/{PLURALS[kind]}", params):
            yield self.record(kind, row)

    def projects_of(self, given: Arguments) -> Iterator[str]:
        """Yield the name of the project that is asked for, or of all."""
        if "project_name" in given:
            yield cast("str", given["project_name"])
        else:
            yield from (cast("Project", project).name for project in self.pages_of("project", {}))

    def knows_project(self, project: str) -> bool:
        """Tell whether there is a project of that name; searches elsewhere are errors."""
        return self.find("project", project) is not None


def id_of(record: Record) -> str:
    """Return the id of a record that has one."""
    return cast("Trace", record).id
