"""Prompts of the prompt library."""

from __future__ import annotations

from typing import Literal

from opik_eval.records.base import Record, UtcDatetime

TemplateType = Literal["mustache", "jinja2", "python"]
TemplateStructure = Literal["text", "chat"]


class Prompt(Record):
    """A named prompt; its texts are its versions. Names are unique in a store."""

    id: str
    name: str
    description: str | None = None
    project_name: str | None = None
    tags: tuple[str, ...] | None = None
    template_structure: TemplateStructure | None = None
    created_at: UtcDatetime | None = None
    last_updated_at: UtcDatetime | None = None


class PromptVersion(Record):
    """One immutable text of a prompt.

    Attributes:
        commit: Eight hex digits of the content hash.
        number: 1, 2, 3 ... within the prompt.
        template: The text; for a chat prompt the JSON of its list of messages.
    """

    id: str
    prompt_id: str
    commit: str
    number: int
    template: str
    type: TemplateType = "mustache"
    metadata: dict[str, object] | None = None
    change_description: str | None = None
    tags: tuple[str, ...] | None = None
    environments: tuple[str, ...] | None = None
    created_at: UtcDatetime | None = None
    last_updated_at: UtcDatetime | None = None
