"""A candidate: the prompts of one attempt, with where they come from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

from opik_optimizer.errors import OptimizerError
from opik_optimizer.prompt import ChatPrompt, as_prompts, content_id
from opik_optimizer.tools import tool_texts, with_tool_texts

Message = dict[str, object]
Texts = Mapping[str, str]
"""Texts by component: ``prompt/role/index`` for a message, ``prompt/role/index/part`` for a text
part of one, ``prompt/tool/name[/parameter]`` for the description of a tool."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """The prompts of one attempt. Candidates of equal content are equal, wherever they come from.

    Attributes:
        prompts: The prompts by name; one under its own name where a single prompt is optimized.
            They must not be changed any more.
        parents: Ids of the candidates it was made from.
        operator: How: ``seed``, ``reflection``, ``mutation``, ``crossover`` ...
        note: Why, in words.

    Example:
        >>> seed = Candidate.of(ChatPrompt(system="Be brief.", user="{question}"))
        >>> seed.components(roles=["system"])
        {'chat-prompt/system/0': 'Be brief.'}
        >>> child = seed.with_components({"chat-prompt/system/0": "Be exact."}, operator="mutation")
        >>> child.prompts["chat-prompt"].system, child.parents == (seed.id,)
        ('Be exact.', True)
    """

    prompts: Mapping[str, ChatPrompt] = field(repr=False)
    parents: tuple[str, ...] = ()
    operator: str = "seed"
    note: str | None = None

    @classmethod
    def of(cls, prompt: object) -> Candidate:
        """Return the seed made of a prompt, a bundle, a library prompt or a result."""
        return cls(prompts=as_prompts(prompt))

    @cached_property
    def id(self) -> str:
        """Hash of the content: messages, tools, models and parameters; 16 hex digits."""
        return content_id(self.prompts)

    @cached_property
    def tokens(self) -> int:
        """Size of the prompts in tokens; see ``ChatPrompt.tokens``."""
        return sum(prompt.tokens for prompt in self.prompts.values())

    def text(self, roles: Collection[str] | None = None) -> str:
        """Return the texts of the messages of some roles (all if absent), one after the other."""
        return "\n\n".join(self.components(roles).values())

    def components(
        self, roles: Collection[str] | None = None, *, tools: Collection[str] | bool = False
    ) -> dict[str, str]:
        """Return the editable texts by component.

        Args:
            roles: Only messages of these roles; of all if absent.
            tools: Descriptions of these tools too; ``True`` = of all.
        """
        found: dict[str, str] = {}
        for name, prompt in self.prompts.items():
            found |= {
                key: text
                for key, role, text in _texts(name, prompt.messages)
                if roles is None or role in roles
            }
            if tools:
                wanted = None if tools is True else tools
                texts = tool_texts(prompt.tools, wanted)
                found |= {f"{name}/tool/{key}": text for key, text in texts.items()}
        return found

    def with_components(
        self,
        changes: Texts,
        *,
        operator: str,
        parents: Sequence[str] | None = None,
        note: str | None = None,
    ) -> Candidate:
        """Return a candidate with other texts for some components.

        Args:
            changes: New texts.
            operator: How they were made.
            parents: Ids of the parents; this candidate if absent.
            note: Why.

        Raises:
            OptimizerError: A key names no component.
        """
        known = self.components(tools=True)
        if unknown := [key for key in changes if key not in known]:
            raise OptimizerError(
                f"there are no components {unknown}", remedy=f"there are {sorted(known)}"
            )
        prompts = {name: _changed(name, prompt, changes) for name, prompt in self.prompts.items()}
        return self.with_prompts(prompts, operator=operator, parents=parents, note=note)

    def with_prompts(
        self,
        prompts: Mapping[str, ChatPrompt],
        *,
        operator: str,
        parents: Sequence[str] | None = None,
        note: str | None = None,
    ) -> Candidate:
        """Return a candidate with other prompts; those that are not named stay.

        Raises:
            OptimizerError: There is no prompt of a given name.
        """
        if unknown := [name for name in prompts if name not in self.prompts]:
            raise OptimizerError(
                f"there are no prompts {unknown}", remedy=f"there are {sorted(self.prompts)}"
            )
        return Candidate(
            prompts={**self.prompts, **prompts},
            parents=(self.id,) if parents is None else tuple(parents),
            operator=operator,
            note=note,
        )

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON types."""
        return {
            "id": self.id,
            "prompts": {name: prompt.to_dict() for name, prompt in self.prompts.items()},
            "parents": list(self.parents),
            "operator": self.operator,
            "note": self.note,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, object]) -> Candidate:
        """Return what ``to_dict`` was made from, without the functions of its tools."""
        prompts = cast("Mapping[str, Mapping[str, object]]", document["prompts"])
        return cls(
            prompts={name: ChatPrompt.from_dict(prompt) for name, prompt in prompts.items()},
            parents=tuple(cast("list[str]", document["parents"])),
            operator=str(document["operator"]),
            note=cast("str | None", document["note"]),
        )

    def __eq__(self, other: object) -> bool:
        """Compare by content; lineage is not part of it."""
        return self.id == other.id if isinstance(other, Candidate) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)


def _texts(name: str, messages: Sequence[Message]) -> Iterator[tuple[str, str, str]]:
    """Yield key, role and text of each editable text."""
    for index, message in enumerate(messages):
        role, content = str(message["role"]), message.get("content")
        key = f"{name}/{role}/{index}"
        if isinstance(content, str):
            yield key, role, content
        for place, part in enumerate(content if isinstance(content, list) else ()):
            if part.get("type") == "text":
                yield f"{key}/{place}", role, part["text"]


def _changed(name: str, prompt: ChatPrompt, changes: Texts) -> ChatPrompt:
    changed = prompt.copy()
    for index, message in enumerate(changed.messages):
        if "content" in message:
            key = f"{name}/{message['role']}/{index}"
            message["content"] = _edited(message["content"], key, changes)
    prefix = f"{name}/tool/"
    texts = {k.removeprefix(prefix): text for k, text in changes.items() if k.startswith(prefix)}
    if texts:
        changed.tools = with_tool_texts(changed.tools, texts)
    return changed


def _edited(content: object, key: str, changes: Texts) -> object:
    if isinstance(content, list):
        return [
            {**part, "text": changes[f"{key}/{place}"]} if f"{key}/{place}" in changes else part
            for place, part in enumerate(content)
        ]
    return changes.get(key, content) if isinstance(content, str) else content


__all__ = ["Candidate", "Texts"]
