"""A server in a thread, and a client of its routes under ``/v1/private``."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from opik_eval.ids import new_id
from opik_eval.server import running
from opik_eval.server.app import create_app
from opik_eval.server.settings import ServerSettings
from opik_eval.storage.workspaces import Workspaces

START = "2026-01-01T00:00:00.000000Z"
END = "2026-01-01T00:00:02.000000Z"


@dataclass
class Api:
    """A client of the routes under ``/v1/private``, with a project of its own."""

    client: httpx.Client
    project: str = field(default_factory=lambda: f"project {new_id()}")

    def send(self, method: str, path: str, body: object = None, **options: Any) -> httpx.Response:
        """Send a request."""
        if body is not None:
            options["json"] = body
        return self.client.request(method, f"/api/v1/private/{path}", **options)

    def ok(self, method: str, path: str, body: object = None, **options: Any) -> Any:
        """Send a request that must succeed, and return the JSON of its answer."""
        reply = self.send(method, path, body, **options)
        assert reply.is_success, (reply.status_code, reply.text)
        return reply.json() if reply.content else None

    def lines(self, path: str, body: object) -> list[Any]:
        """Return the values of a stream."""
        reply = self.send("POST", path, body)
        assert reply.status_code == 200, reply.text
        return [json.loads(line) for line in reply.content.splitlines()]

    def trace(self, **fields: object) -> dict[str, object]:
        """Write a trace and return what was sent."""
        sent = {"id": new_id(), "project_name": self.project, "start_time": START, **fields}
        self.ok("POST", "traces/batch", {"traces": [sent]})
        return sent

    def span(self, trace_id: object, **fields: object) -> dict[str, object]:
        """Write a span and return what was sent."""
        sent = {
            "id": new_id(),
            "trace_id": trace_id,
            "project_name": self.project,
            "start_time": START,
            **fields,
        }
        self.ok("POST", "spans/batch", {"spans": [sent]})
        return sent

    def dataset(self, *items: dict[str, object], **fields: object) -> dict[str, Any]:
        """Make a dataset with items and return it."""
        name = f"dataset {new_id()}"
        self.ok("POST", "datasets", {"name": name, "project_name": self.project, **fields})
        if items:
            rows = [{"id": new_id(), "source": "sdk", "data": data} for data in items]
            group = {"dataset_name": name, "batch_group_id": new_id(), "items": rows}
            self.ok("PUT", "datasets/items", group)
        return self.ok("POST", "datasets/retrieve", {"dataset_name": name})

    def items(self, dataset: dict[str, Any], **query: object) -> list[Any]:
        """Return the items of a dataset."""
        path = f"datasets/{dataset['id']}/items"
        return self.ok("GET", path, params={"size": 1000, **query})["content"]


def start(
    workspaces: Workspaces, settings: ServerSettings | None = None, **parts: Any
) -> Iterator[str]:
    """Run a server in a thread and yield its URL; ``parts`` are those of ``create_app``."""
    listener = running.listen("127.0.0.1", 0)
    server = running.make_server(create_app(workspaces, settings, **parts))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener.socket]})
    thread.start()
    try:
        yield listener.url
    finally:
        server.should_exit = True
        thread.join()
        listener.socket.close()
