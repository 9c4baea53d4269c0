"""What the fake models of these tests answer."""

from __future__ import annotations

from collections.abc import Mapping

from opik_eval.models.base import ModelRequest

JSON = frozenset({"json_schema", "seed"})


def text_of(request: ModelRequest) -> str:
    return "\n".join(str(message["content"]) for message in request.messages)


def oblige(request: ModelRequest) -> object:
    """Answer with the highest, first and truest values that fit the schema."""
    schema = request.json_schema
    return "So be it." if schema is None else instance(schema, schema)


def instance(schema: Mapping[str, object], root: Mapping[str, object]) -> object:
    if "$ref" in schema:
        return instance(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema:
        return instance(schema["anyOf"][0], root)
    if "enum" in schema:
        return schema["enum"][-1] if isinstance(schema["enum"][0], int) else schema["enum"][0]
    kind = schema["type"]
    if kind == "object":
        return {name: instance(part, root) for name, part in schema["properties"].items()}
    if kind == "array":
        return [instance(schema["items"], root)]
    return {"string": "because", "boolean": True}.get(kind, schema.get("maximum", 1))
