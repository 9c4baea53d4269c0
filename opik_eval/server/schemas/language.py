"""How the schemas are written, and the small ones that all use.

Bodies are parsed by hand, so that a batch of a thousand records costs no second validation; these
schemas say the same for readers and for tools that generate requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opik_eval.server.payloads import MAX_ELEMENTS

Schema = dict[str, Any]
"""A JSON schema."""


def one(required: str = "", /, **fields: Schema) -> Schema:
    """Return the schema of an object.

    Args:
        required: Names of the fields that must be there.
        **fields: Schemas of the fields.
    """
    schema: Schema = {"type": "object", "properties": fields}
    return {**schema, "required": required.split()} if required else schema


def optional(schema: Schema) -> Schema:
    """Return the schema of an object whose fields may all be absent."""
    return {name: value for name, value in schema.items() if name != "required"}


def many(element: Schema, *, least: int = 1, most: int = MAX_ELEMENTS) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": element, "minItems": least, "maxItems": most}


def choice(*values: str) -> Schema:
    """Return the schema of one of some words."""
    return {"type": "string", "enum": list(values)}


def takes(schema: Schema | None, *, is_required: bool = True) -> Mapping[str, Any]:
    """Return the arguments of a route that takes a JSON body of a schema."""
    body = {"required": is_required, "content": {"application/json": {"schema": schema or {}}}}
    return {"openapi_extra": {"requestBody": body}}


def takes_bytes() -> Mapping[str, Any]:
    """Return the arguments of a route that takes the bytes of a file."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    body = {"required": True, "content": {"application/octet-stream": binary}}
    return {"openapi_extra": {"requestBody": body}}


TEXT: Schema = {"type": "string"}
NAME: Schema = {"type": "string", "minLength": 1, "pattern": r"\S"}
UUID7: Schema = {"type": "string", "format": "uuid"}
DATE: Schema = {"type": "string", "format": "date-time"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer"}
FLAG: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
ANYTHING: Schema = {}
TAGS = many(TEXT, least=0)
ERROR_INFO = one("exception_type traceback", exception_type=NAME, message=TEXT, traceback=NAME)
IDS = one("ids", ids=many(UUID7))
