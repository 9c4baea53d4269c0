"""The prompt that is optimized: chat messages with placeholders, tools, model and parameters."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, cast, runtime_checkable

from opik_eval.errors import PromptError
from opik_eval.models.base import Message, Model
from opik_eval.prompts.messages import to_text, validate_messages
from opik_eval.serialization import content_hash, dumps, loads, to_jsonable
from opik_optimizer.errors import SettingsError
from opik_optimizer.substitution import map_texts, placeholders_in, substitute, texts_of
from opik_optimizer.tools import Tool, validate_tools

Content = str | Sequence[Mapping[str, object]]
"""Content of a message: a text, or parts as ``opik_eval.prompts`` makes them."""

ToolFunction = Callable[..., object]
_BYTES_PER_TOKEN = 4


@runtime_checkable
class HasPrompt(Protocol):
    """A result of an optimization, of which the prompt is taken."""

    @property
    def prompt(self) -> object:
        """A ``ChatPrompt`` or a dict of them."""
        ...


class ChatPrompt:
    """A prompt of chat messages, with the tools and the model it is run with.

    Placeholders are names of columns in single braces, ``{question}``. They are replaced in one
    pass, in texts and in the URLs and data of media parts; a value is never read as a template.

    Args:
        name: Name; that of the component in a bundle of several prompts.
        system: Content of a system message.
        user: Content of a user message.
        messages: The messages; instead of ``system`` and ``user``.
        tools: Definitions of tools in OpenAI's form, or of MCP servers.
        function_map: What to call for each tool.
        model: Name of the model, or the model; ``None`` = the default of the settings.
        model_parameters: Parameters of its calls, such as ``temperature``.
        model_kwargs: The same under Opik's other name.

    Raises:
        PromptError: There are no messages, or they are malformed.
        ToolError: A tool is malformed.

    Example:
        >>> prompt = ChatPrompt(system="Answer briefly.", user="{question}")
        >>> prompt.get_messages({"question": "Why {x}?", "x": "not"})[1]
        {'role': 'user', 'content': 'Why {x}?'}
    """

    def __init__(  # noqa: PLR0913, PLR0917 - Opik's door; each is a part of a prompt
        self,
        name: str = "chat-prompt",
        system: Content | None = None,
        user: Content | None = None,
        messages: Sequence[Message] | None = None,
        tools: Sequence[Tool] | None = None,
        function_map: Mapping[str, ToolFunction] | None = None,
        model: str | Model | None = None,
        model_parameters: Mapping[str, object] | None = None,
        model_kwargs: Mapping[str, object] | None = None,
    ) -> None:
        if model_parameters is not None and model_kwargs is not None:
            raise PromptError(
                "model_parameters and model_kwargs are two names of one thing", remedy="pass one"
            )
        self.name = name
        self.messages = _messages(system, user, messages)
        self.tools = validate_tools(tools or [])
        self.function_map = dict(function_map or {})
        self.model = model
        self.model_parameters = copy.deepcopy(dict(model_parameters or model_kwargs or {}))

    @property
    def model_kwargs(self) -> dict[str, object]:
        """The model parameters, under Opik's name."""
        return self.model_parameters

    @property
    def system(self) -> object:
        """Content of the first system message, or ``None``."""
        return _first_content(self.messages, "system")

    @property
    def user(self) -> object:
        """Content of the first user message, or ``None``."""
        return _first_content(self.messages, "user")

    def get_messages(
        self, dataset_item: Mapping[str, object] | None = None, *, strict: bool = False
    ) -> list[dict[str, object]]:
        """Return the messages, with the values of an item in the place of the placeholders.

        Args:
            dataset_item: The values; without them the messages are returned as they are.
            strict: Refuse placeholders without a value; otherwise they stay as they are.

        Raises:
            PromptError: ``strict``, and a placeholder has no value.
        """
        if dataset_item is None:
            return copy.deepcopy(self.messages)

        def fill(text: str) -> str:
            return substitute(text, dataset_item, strict=strict)

        return [
            {**message, "content": map_texts(message["content"], fill)}
            if "content" in message
            else {**message}
            for message in self.messages
        ]

    def placeholders(self, columns: Collection[str] = ()) -> list[str]:
        """Return the names of the placeholders, each once; see ``substitution.placeholders_in``."""
        texts = (t for message in self.messages for t in texts_of(message.get("content")))
        return list(dict.fromkeys(n for text in texts for n in placeholders_in(text, columns)))

    def set_messages(self, messages: Sequence[Message]) -> None:
        """Replace the messages.

        Raises:
            PromptError: They are malformed.
        """
        self.messages = _messages(None, None, messages)

    def with_messages(self, messages: Sequence[Message]) -> ChatPrompt:
        """Return a copy with other messages."""
        changed = self.copy()
        changed.set_messages(messages)
        return changed

    def copy(self) -> ChatPrompt:
        """Return an independent copy; functions and model are shared."""
        return ChatPrompt(
            name=self.name,
            messages=self.messages,
            tools=self.tools,
            function_map=self.function_map,
            model=self.model,
            model_parameters=self.model_parameters,
        )

    @property
    def tokens(self) -> int:
        """Size of the texts in tokens, taken as four bytes of UTF-8 each, rounded up."""
        texts = (t for message in self.messages for t in _visible_texts(message.get("content")))
        return -(-sum(len(t.encode("utf-8", "replace")) for t in texts) // _BYTES_PER_TOKEN)

    def content(self) -> dict[str, object]:
        """Return what decides how it answers, as JSON types: all but name and functions."""
        parameters = {k: v for k, v in self.model_parameters.items() if v is not None}
        content = {
            "messages": self.messages,
            "tools": self.tools,
            "model": describe_model(self.model),
            "model_parameters": parameters,
        }
        return cast("dict[str, object]", to_jsonable(content))

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON types. Functions are kept by the names of their tools alone."""
        return {
            "name": self.name,
            **self.content(),
            "model_parameters": to_jsonable(self.model_parameters),
            "function_map": sorted(self.function_map),
        }

    @classmethod
    def from_dict(
        cls,
        document: Mapping[str, object],
        *,
        function_map: Mapping[str, ToolFunction] | None = None,
    ) -> ChatPrompt:
        """Return what ``to_dict`` was made from.

        Args:
            document: What ``to_dict`` gave.
            function_map: The functions of its tools, which JSON cannot hold.

        Raises:
            PromptError: It is not the document of a prompt.
        """
        if "messages" not in document:
            raise PromptError(
                f"a prompt has 'messages', and this document has {sorted(document)}",
                remedy="pass what ChatPrompt.to_dict() gave",
            )
        return cls(
            name=str(document.get("name", "chat-prompt")),
            messages=cast("list[Message]", document["messages"]),
            tools=cast("list[Tool] | None", document.get("tools")),
            function_map=function_map,
            model=_model_from(document.get("model")),
            model_parameters=cast("dict[str, object] | None", document.get("model_parameters")),
        )

    def to_json(self) -> str:
        """Return ``to_dict`` as JSON."""
        return dumps(self.to_dict()).decode()

    @classmethod
    def from_json(
        cls, text: str | bytes, *, function_map: Mapping[str, ToolFunction] | None = None
    ) -> ChatPrompt:
        """Return what ``to_json`` was made from."""
        return cls.from_dict(cast("dict[str, object]", loads(text)), function_map=function_map)

    @classmethod
    def from_result(cls, result: HasPrompt, name: str | None = None) -> ChatPrompt:
        """Return a copy of the prompt of a result.

        Args:
            result: Result of an optimization.
            name: Which prompt, where it has several.

        Raises:
            SettingsError: It has several and ``name`` names none of them.
        """
        prompts = as_prompts(result)
        if name is None and len(prompts) == 1:
            return next(iter(prompts.values())).copy()
        if name not in prompts:
            raise SettingsError(
                f"the result has no prompt {name!r}", remedy=f"name one of {sorted(prompts)}"
            )
        return prompts[name].copy()

    def __eq__(self, other: object) -> bool:
        """Compare by name and content."""
        if not isinstance(other, ChatPrompt):
            return NotImplemented
        return self.name == other.name and self.content() == other.content()

    __hash__ = None  # type: ignore[assignment]  # it can be changed

    def __repr__(self) -> str:
        model = describe_model(self.model)
        return f"ChatPrompt(name={self.name!r}, model={model!r}, messages={self.messages!r})"

    def __str__(self) -> str:
        return to_text(self.messages)


def as_prompts(prompt: object) -> dict[str, ChatPrompt]:
    """Return the prompts by name of whatever may be optimized. What is returned are copies.

    Args:
        prompt: A ``ChatPrompt``; a dict of them (a bundle); a prompt of the prompt library; or the
            result of another optimization.

    Raises:
        SettingsError: It is none of these.

    Example:
        >>> sorted(as_prompts({"plan": ChatPrompt(user="{q}"), "act": ChatPrompt(user="{q}")}))
        ['act', 'plan']
    """
    if isinstance(prompt, Mapping):
        if not prompt:
            raise SettingsError("the bundle of prompts is empty", remedy="pass at least one prompt")
        return {str(name): _named(member, str(name)) for name, member in prompt.items()}
    if isinstance(prompt, HasPrompt) and isinstance(prompt.prompt, ChatPrompt | Mapping):
        return as_prompts(prompt.prompt)
    single = _single(prompt)
    return {single.name: single}


def describe_model(model: str | Model | None) -> object:
    """Return what identifies a model, as JSON types: its name, or name, address and parameters."""
    if model is None or isinstance(model, str):
        return model
    extra = {"api_base": getattr(model, "api_base", None), "params": getattr(model, "params", None)}
    given = {key: value for key, value in extra.items() if value}
    return {"name": model.name, **given} if given else model.name


def content_id(prompts: Mapping[str, ChatPrompt]) -> str:
    """Return the id that belongs to the content of prompts: 16 hex digits."""
    return content_hash({name: prompt.content() for name, prompt in prompts.items()})[:16]


def _messages(
    system: Content | None, user: Content | None, messages: Sequence[Message] | None
) -> list[dict[str, object]]:
    if messages is not None and (system is not None or user is not None):
        raise PromptError(
            "a prompt has either messages, or system and user",
            remedy="put the system and the user message into messages",
        )
    if messages is None:
        given = [("system", system), ("user", user)]
        messages = [{"role": role, "content": text} for role, text in given if text is not None]
        if not messages:
            raise PromptError("a prompt needs messages", remedy="pass system, user or messages")
    return [copy.deepcopy(dict(message)) for message in validate_messages(list(messages))]


def _first_content(messages: Sequence[Message], role: str) -> object:
    return next((m.get("content") for m in messages if m["role"] == role), None)


def _visible_texts(content: object) -> list[str]:
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, list | tuple) else ()
    return [str(part["text"]) for part in parts if part.get("type") == "text"]


def _model_from(described: object) -> str | Model | None:
    if not isinstance(described, Mapping):
        return None if described is None else str(described)
    from opik_eval.models.client import get_model

    parameters = cast("Mapping[str, object]", described.get("params") or {})
    api_base = cast("str | None", described.get("api_base"))
    return get_model(str(described["name"]), api_base=api_base, **parameters)  # type: ignore[arg-type]


def _named(prompt: object, name: str) -> ChatPrompt:
    single = _single(prompt)
    single.name = name
    return single


def _single(prompt: object) -> ChatPrompt:
    if isinstance(prompt, ChatPrompt):
        return prompt.copy()
    from opik_eval.client.prompts import ChatPrompt as LibraryChatPrompt
    from opik_eval.client.prompts import Prompt as LibraryPrompt

    if isinstance(prompt, LibraryPrompt | LibraryChatPrompt):
        from opik_optimizer.library import from_library

        return ChatPrompt(name=prompt.name, messages=from_library(prompt))
    raise SettingsError(
        f"a {type(prompt).__name__} is not a prompt",
        remedy="pass ChatPrompt(system=..., user='{question}'), or a dict of such prompts",
    )


__all__ = [
    "ChatPrompt",
    "Content",
    "HasPrompt",
    "ToolFunction",
    "as_prompts",
    "content_id",
    "describe_model",
]
