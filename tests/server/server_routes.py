"""All routes of a server, and requests for them that fit their schemas."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from server_client import Api

from opik_eval.ids import new_id
from opik_eval.server.app import create_app
from opik_eval.storage.workspaces import open_workspaces

OPEN = ("/is-alive/ping", "/is-alive/ver", "/v1/session/redirect/projects")
"""Routes that need no key."""

SECRET = "what only some may see"
PROJECT = "a project"


@dataclass(frozen=True)
class Route:
    """One method of one path."""

    method: str
    path: str
    operation: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def request(self, known: Mapping[str, str]) -> dict[str, Any]:
        """Return a request that fits the schema, about the records in ``known`` where it can."""
        path, query = self.path, {}
        for parameter in self.operation.get("parameters", ()):
            name = parameter["name"]
            value = known.get(name, new_id() if name.endswith("_id") else "1")
            if parameter["in"] == "path":
                path = path.replace(f"{{{name}}}", value)
            elif parameter["required"] or name in known:
                query[name] = value
        sent: dict[str, Any] = {"method": self.method, "url": path, "params": query}
        content = self.operation.get("requestBody", {}).get("content", {})
        if "application/json" in content:
            sent["json"] = example(content["application/json"]["schema"], known)
        elif content:
            sent["content"] = b"bytes"
        return sent


def routes() -> list[Route]:
    """Return all routes."""
    document = create_app(open_workspaces("memory:")).openapi()
    return [
        Route(method.upper(), path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]


def example(schema: Mapping[str, Any], known: Mapping[str, str], name: str = "") -> Any:
    """Return a value of a schema."""
    if name in known:
        return [known[name]] if schema.get("type") == "array" else known[name]
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object":
        fields = schema.get("properties", {})
        return {key: example(part, known, key) for key, part in fields.items()}
    if kind == "array":
        return [example(schema.get("items", {}), known)]
    if schema.get("format") == "uuid":
        return new_id()
    if schema.get("format") == "date-time":
        return "2026-01-01T00:00:00Z"
    return {"integer": 1, "number": 1, "boolean": True, "string": "text"}.get(str(kind), {"a": 1})


def fill(client: httpx.Client) -> dict[str, str]:
    """Write one record of each kind, and return their ids by the names of parameters."""
    api = Api(client, project=PROJECT)
    trace = api.trace(name=SECRET, thread_id="thread", input={"text": SECRET})
    span = api.span(trace["id"], name=SECRET)
    dataset = api.dataset({"text": SECRET})
    item = api.items(dataset)[0]["id"]
    experiment, prompt = new_id(), {"name": "prompt", "version": {"template": SECRET}}
    body = {"id": experiment, "dataset_name": dataset["name"], "name": PROJECT}
    api.ok("POST", "experiments", body)
    version = api.ok("POST", "prompts/versions", prompt)
    row = {"experiment_id": experiment, "dataset_item_id": item, "trace_id": trace["id"]}
    api.ok("POST", "experiments/items", {"experiment_items": [{"id": new_id(), **row}]})
    score = {"id": trace["id"], "name": "score", "value": 1, "source": "sdk", "reason": SECRET}
    api.ok("PUT", "traces/feedback-scores", {"scores": [score]})
    api.ok("POST", f"traces/{trace['id']}/comments", {"text": SECRET})
    comment = api.ok("GET", f"traces/{trace['id']}")["comments"][0]["id"]
    query = {"file_name": "f", "entity_type": "trace", "entity_id": trace["id"]}
    assert api.send("PUT", "attachment/upload", content=b"x", params=query).is_success
    project = api.ok("POST", "projects/retrieve", {"name": PROJECT})["id"]
    document = new_id()
    api.ok("POST", "dashboards", {"id": document, "name": SECRET, "config": {}})
    optimization = new_id()
    run = {"id": optimization, "dataset_name": dataset["name"], "objective_name": "o"}
    api.ok("POST", "optimizations", {**run, "name": SECRET, "status": "running"})
    return {
        **{"trace_id": str(trace["id"]), "entity_id": str(trace["id"]), "id": str(trace["id"])},
        **{"span_id": str(span["id"]), "dataset_id": dataset["id"], "item_id": item},
        **{"dataset_name": dataset["name"], "experiment_id": experiment, "comment_id": comment},
        **{"experiment_name": PROJECT, "experiment_ids": json.dumps([experiment])},
        **{"prompt_id": version["prompt_id"], "version_id": version["id"]},
        **{"commit": version["commit"], "project_id": project, "project_name": PROJECT},
        **{"document_id": document, "optimization_id": optimization, "entity_type": "trace"},
        **{"thread_id": "thread", "file_name": "f", "ids": str(trace["id"])},
    }
