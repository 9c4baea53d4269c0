"""The prompt library: named, versioned templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict, Unpack, cast, get_args

from opik_eval import records
from opik_eval.client.connection import Connection, check_keywords
from opik_eval.errors import ConflictError, PromptError
from opik_eval.ids import new_id
from opik_eval.prompts.messages import render_messages, validate_messages
from opik_eval.prompts.template import render
from opik_eval.records import PromptVersion, TemplateStructure, TemplateType, utc_now
from opik_eval.serialization import content_hash, dumps, loads
from opik_eval.storage.base import Storage

Messages = Sequence[Mapping[str, object]]


@dataclass(frozen=True)
class _Versioned:
    """One version of a prompt.

    Attributes:
        name: Name of the prompt.
        record: The version as it is stored.
    """

    name: str
    record: PromptVersion

    @property
    def commit(self) -> str:
        """Eight hex digits that name the version by its content."""
        return self.record.commit

    @property
    def version_id(self) -> str:
        """Id of the version."""
        return self.record.id

    @property
    def version(self) -> str:
        """Name of the version: ``v1``, ``v2`` ..."""
        return f"v{self.record.number}"

    @property
    def metadata(self) -> dict[str, object] | None:
        """Whatever was stored with the version."""
        return self.record.metadata

    @property
    def type(self) -> TemplateType:
        """Language of the placeholders."""
        return self.record.type


class Prompt(_Versioned):
    """A text prompt."""

    @property
    def prompt(self) -> str:
        """The template."""
        return self.record.template

    def format(self, **values: object) -> str:
        """Return the text with the values in place.

        Raises:
            PromptError: A placeholder has no value.
        """
        return render(self.prompt, values, type=self.type)


class ChatPrompt(_Versioned):
    """A prompt of chat messages."""

    @property
    def messages(self) -> list[dict[str, object]]:
        """The messages, with placeholders."""
        return cast("list[dict[str, object]]", loads(self.record.template))

    @property
    def prompt(self) -> list[dict[str, object]]:
        """The messages, under the name that text prompts use."""
        return self.messages

    def format(self, **values: object) -> list[dict[str, object]]:
        """Return the messages with the values in place; every key of a message is kept.

        Raises:
            PromptError: A placeholder has no value.
        """
        return render_messages(self.messages, values, type=self.type)


class PromptFields(TypedDict, total=False):
    """What may be said of a prompt.

    Attributes:
        metadata: Whatever is worth storing with the version.
        type: Language of the placeholders; ``mustache`` if absent.
        description: What the prompt is for; replaces what is stored.
        change_description: Why there is a new version.
        tags: Labels of the prompt; replace what is stored.
    """

    metadata: Mapping[str, object] | None
    type: TemplateType
    description: str | None
    change_description: str | None
    tags: Sequence[str] | None


class Prompts(Connection):
    """Create and find prompts; a version is new only if template, type or metadata differ."""

    def create_prompt(self, name: str, prompt: str, **fields: Unpack[PromptFields]) -> Prompt:
        """Store a text prompt, or a new version of it, and return it.

        Raises:
            ConflictError: There is a chat prompt of that name.
            PromptError: The name is blank, or the type unknown.

        Example:
            >>> from opik_eval import Opik
            >>> client = Opik(storage="memory:")
            >>> client.create_prompt("greeting", "Hello {{name}}").format(name="Ann")
            'Hello Ann'
        """
        return Prompt(name, _store(self._storage, name, prompt, "text", fields))

    def create_chat_prompt(
        self, name: str, messages: Messages, **fields: Unpack[PromptFields]
    ) -> ChatPrompt:
        """Store a chat prompt, or a new version of it, and return it.

        Raises:
            ConflictError: There is a text prompt of that name.
            PromptError: The messages are malformed, the name is blank, or the type unknown.
        """
        text = dumps(validate_messages(list(messages))).decode()
        return ChatPrompt(name, _store(self._storage, name, text, "chat", fields))

    def get_prompt(
        self, name: str, commit: str | None = None, version: str | None = None
    ) -> Prompt | None:
        """Return a text prompt: the latest version, or that of a commit or ``v2``-like name."""
        found = self._find(name, "text", commit, version)
        return None if found is None else Prompt(name, found)

    def get_chat_prompt(
        self, name: str, commit: str | None = None, version: str | None = None
    ) -> ChatPrompt | None:
        """Return a chat prompt: the latest version, or that of a commit or ``v2``-like name."""
        found = self._find(name, "chat", commit, version)
        return None if found is None else ChatPrompt(name, found)

    def get_prompt_history(self, name: str) -> list[Prompt | ChatPrompt]:
        """Return all versions of a prompt, newest first; empty if there is no such prompt."""
        record = self._storage.find_prompt(name)
        if record is None:
            return []
        kind = ChatPrompt if record.template_structure == "chat" else Prompt
        versions = list(self._storage.list_prompt_versions(record.id))
        return [kind(name, version) for version in reversed(versions)]

    def search_prompts(self, name: str | None = None) -> list[Prompt | ChatPrompt]:
        """Return the latest version of each prompt whose name contains ``name``."""
        wanted = (name or "").casefold()
        found = [r for r in self._storage.list_prompts() if wanted in r.name.casefold()]
        histories = [self.get_prompt_history(record.name) for record in found]
        return [history[0] for history in histories if history]

    def _find(
        self, name: str, structure: TemplateStructure, commit: str | None, version: str | None
    ) -> PromptVersion | None:
        record = self._storage.find_prompt(name)
        if record is None:
            return None
        _check_structure(record, structure)
        found = None
        for candidate in self._storage.list_prompt_versions(record.id):
            if commit in (None, candidate.commit) and version in (None, f"v{candidate.number}"):
                found = candidate
        return found


def _store(
    storage: Storage, name: str, template: str, structure: TemplateStructure, fields: PromptFields
) -> PromptVersion:
    check_keywords(f"create_{'chat_' if structure == 'chat' else ''}prompt", fields, PromptFields)
    if not name.strip():
        raise PromptError("a prompt needs a name", remedy="pass a name that is not blank")
    prompt = storage.find_prompt(name)
    latest: PromptVersion | None = None
    if prompt is not None:
        _check_structure(prompt, structure)
        for latest in storage.list_prompt_versions(prompt.id):  # noqa: B007 - the last one counts
            pass
    new: list[records.Prompt | PromptVersion] = []
    if prompt is None or fields.get("description") or fields.get("tags"):
        prompt = _prompt(prompt, name, structure, fields)
        new.append(prompt)
    version = _version(prompt, latest, template, fields)
    if latest is None or _says(latest) != _says(version):
        latest = version
        new.append(version)
    storage.write(new)
    return latest


def _prompt(
    known: records.Prompt | None, name: str, structure: TemplateStructure, fields: PromptFields
) -> records.Prompt:
    now = utc_now()
    return records.Prompt(
        id=new_id() if known is None else known.id,
        name=name,
        description=fields.get("description"),
        tags=tuple(fields.get("tags") or ()) or None,
        template_structure=structure,
        created_at=now if known is None else known.created_at,
        last_updated_at=now,
    )


def _version(
    prompt: records.Prompt, latest: PromptVersion | None, template: str, fields: PromptFields
) -> PromptVersion:
    kind, metadata, now = fields.get("type") or "mustache", fields.get("metadata"), utc_now()
    if kind not in get_args(TemplateType):
        raise PromptError(
            f"{kind!r} is no type of template", remedy=f"use one of {get_args(TemplateType)}"
        )
    number = 0 if latest is None else latest.number
    return PromptVersion(
        id=new_id(),
        prompt_id=prompt.id,
        commit=content_hash([prompt.name, template, kind, metadata, number])[:8],
        number=number + 1,
        template=template,
        type=kind,
        metadata=None if metadata is None else dict(metadata),
        change_description=fields.get("change_description"),
        created_at=now,
        last_updated_at=now,
    )


def _says(version: PromptVersion) -> tuple[str, TemplateType, bytes]:
    return version.template, version.type, dumps(version.metadata)


def _check_structure(record: records.Prompt, structure: TemplateStructure) -> None:
    if record.template_structure not in (None, structure):
        raise ConflictError(
            f"prompt {record.name!r} is a {record.template_structure} prompt",
            remedy=f"choose another name for the {structure} prompt",
        )
