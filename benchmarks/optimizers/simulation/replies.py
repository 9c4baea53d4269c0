"""Replies in the form that a reflection model is asked for: a text, or JSON that fits a schema."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Schema = Mapping[str, object]

PROMPT_FIELDS = re.compile(r"prompt|instruction|text|content|candidate|improved|revised|new_")
"""Names of text fields that ask for a prompt; all others ask for an analysis."""

_NUMBER_WORDS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "eight": 8, "ten": 10}
_ASKED = re.compile(
    r"\b(\d+|" + "|".join(_NUMBER_WORDS) + r")\s+(?:\w+\s+){0,3}"
    r"(?:prompts|variants|versions|candidates|proposals|alternatives|instructions)\b",
    re.IGNORECASE,
)
_MOST = 16


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Fills the fields of a schema.

    Attributes:
        text: What the model was asked.
        prompt: Makes a new prompt, another one each time.
        analysis: Returns what the feedback has in common.
        item_ids: Items that the text names.
    """

    text: str
    prompt: Callable[[], str]
    analysis: Callable[[], str]
    item_ids: tuple[str, ...] = ()

    def fill(self, schema: Schema) -> object:
        """Return a value that fits a JSON schema (the part of it that pydantic writes)."""
        return self._value(schema, "", schema.get("$defs", {}))

    def _value(self, schema: Schema, name: str, definitions: object) -> object:
        schema = _resolved(schema, definitions)
        if "const" in schema:
            return schema["const"]
        if isinstance(choices := schema.get("enum"), list):
            return "system" if "system" in choices else choices[0]
        kind = schema.get("type")
        if kind == "object":
            return self._object(schema, definitions)
        if kind == "array":
            return self._array(schema, name, definitions)
        if kind == "string":
            return self._string(name)
        return {"boolean": True, "null": None}.get(str(kind), schema.get("minimum", 1))

    def _object(self, schema: Schema, definitions: object) -> object:
        fields = schema.get("properties")
        if not isinstance(fields, Mapping) or not fields:
            return {}
        return {name: self._value(field, name, definitions) for name, field in fields.items()}

    def _array(self, schema: Schema, name: str, definitions: object) -> object:
        item = schema.get("items")
        part = _resolved(item, definitions) if isinstance(item, Mapping) else {"type": "string"}
        if "id" in name.split("_") or "ids" in name.split("_") or name.startswith("items"):
            return list(self.item_ids)
        size = self._size(schema, name)
        return [self._value(part, name.rstrip("s"), definitions) for _ in range(size)]

    def _size(self, schema: Schema, name: str) -> int:
        """Return how many entries a list should have: what the schema or the text asks for."""
        least, most = schema.get("minItems", 1), schema.get("maxItems", _MOST)
        asked = _ASKED.search(self.text) if name != "messages" else None
        number = 1
        if asked:
            word = asked[1].lower()
            number = _NUMBER_WORDS.get(word) or int(word)
        assert isinstance(least, int)
        assert isinstance(most, int)
        return max(least, min(number, most, _MOST))

    def _string(self, name: str) -> str:
        if name == "role":
            return "system"
        if name.endswith("id"):
            return self.item_ids[0] if self.item_ids else "0"
        return self.prompt() if PROMPT_FIELDS.search(name) else self.analysis()


def _resolved(schema: Schema, definitions: object) -> Schema:
    """Follow references, and take the first alternative that is not null."""
    reference = schema.get("$ref")
    if isinstance(reference, str) and isinstance(definitions, Mapping):
        return _resolved(definitions[reference.rpartition("/")[2]], definitions)
    for keyword in ("anyOf", "oneOf", "allOf"):
        if isinstance(alternatives := schema.get(keyword), list):
            real = [part for part in alternatives if part.get("type") != "null"]
            return _resolved(real[0], definitions)
    return schema
