"""Puts demonstrations into a prompt: as turns before its last user message, or as a text."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opik_optimizer.algorithms.few_shot_bayesian.pool import text_of
from opik_optimizer.substitution import inert, map_texts, substitute

if TYPE_CHECKING:
    from opik_optimizer.algorithms.few_shot_bayesian.choosing import Form
    from opik_optimizer.prompt import ChatPrompt
    from opik_optimizer.templates import TemplateLibrary

Message = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A demonstration as it is shown: an item, and the answer to it."""

    item: Mapping[str, object]
    answer: str


def possible_forms(prompt: ChatPrompt, roles: Collection[str]) -> tuple[Form, ...]:
    """Return the forms that may be used in a prompt whose messages of these roles may change."""
    forms: list[Form] = []
    last = _last_user(prompt.messages)
    if last is not None and {"user", "assistant"} <= {*roles}:
        forms.append("messages")
    if _place_of_text(prompt.messages, roles) is not None or "system" in roles:
        forms.append("text")
    return tuple(forms)


def show(
    prompt: ChatPrompt,
    demonstrations: Sequence[Shown],
    form: Form,
    *,
    roles: Collection[str],
    columns: Collection[str],
    templates: TemplateLibrary,
) -> ChatPrompt:
    """Return a prompt with demonstrations. Nothing in them is a placeholder any more.

    Args:
        prompt: The prompt without them.
        demonstrations: What to show, in order.
        form: As what.
        roles: Roles whose messages may change.
        columns: Columns of the data, which may be placeholders.
        templates: Has the text ``demonstrations``.
    """
    if form == "messages":
        turns = [turn for shown in demonstrations for turn in _turns(prompt, shown, columns)]
        place = _last_user(prompt.messages)
        messages = list(prompt.messages)
        messages[place:place] = turns
        return prompt.with_messages(messages)
    used = [name for name in prompt.placeholders(columns) if name in columns]
    rows = [
        {"input": _input_text(shown.item, used), "answer": shown.answer} for shown in demonstrations
    ]
    text = str(templates.messages("demonstrations", demonstrations=rows)[0]["content"]).strip()
    return prompt.with_messages(_with_text(prompt.messages, inert(text, columns), roles))


def _turns(prompt: ChatPrompt, shown: Shown, columns: Collection[str]) -> list[Message]:
    """Return the prompt's own last user message about the item, and the answer to it."""
    place = _last_user(prompt.messages)
    question = prompt.messages[place]["content"] if place is not None else ""

    def fill(text: str) -> str:
        return inert(substitute(text, shown.item), columns)

    return [
        {"role": "user", "content": map_texts(question, fill)},
        {"role": "assistant", "content": inert(shown.answer, columns)},
    ]


def _input_text(item: Mapping[str, object], used: Sequence[str]) -> str:
    names = [name for name in used if name in item]
    if len(names) == 1:
        return text_of(item[names[0]])
    return "\n".join(f"{name}: {text_of(item[name])}" for name in names)


def _with_text(messages: Sequence[Message], text: str, roles: Collection[str]) -> list[Message]:
    place = _place_of_text(messages, roles)
    if place is None:
        return [{"role": "system", "content": text}, *messages]
    message = messages[place]
    content, before = message["content"], message["role"] != "system"
    if isinstance(content, str):
        joined: object = f"{text}\n\n{content}" if before else f"{content}\n\n{text}"
    else:
        parts = list(content) if isinstance(content, Sequence) else []
        part = {"type": "text", "text": text}
        joined = [part, *parts] if before else [*parts, part]
    return [*messages[:place], {**message, "content": joined}, *messages[place + 1 :]]


def _place_of_text(messages: Sequence[Message], roles: Collection[str]) -> int | None:
    """Return the message that takes a text: the first system message, else the last of the user."""
    if "system" in roles:
        return next((i for i, m in enumerate(messages) if m["role"] == "system"), None)
    return _last_user(messages) if "user" in roles else None


def _last_user(messages: Sequence[Message]) -> int | None:
    places = [i for i, message in enumerate(messages) if message["role"] == "user"]
    return places[-1] if places else None


__all__ = ["Shown", "possible_forms", "show"]
