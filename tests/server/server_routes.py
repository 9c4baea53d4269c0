"""All routes of a server, and requests for them that fit their schemas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opik_eval.ids import new_id
from opik_eval.server.app import create_app
from opik_eval.storage.workspaces import open_workspaces

OPEN = ("/is-alive/ping", "/is-alive/ver", "/v1/session/redirect/projects")
"""Routes that need no key."""


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
