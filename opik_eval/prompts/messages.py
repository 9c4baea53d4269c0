"""Chat messages in OpenAI's form: checked, rendered, shown as text.

A message is a dict with ``role`` and ``content``; the content is a text, a list of parts, or
``None`` beside ``tool_calls``. Whatever else a message holds (``name``, ``tool_calls``,
``tool_call_id`` ...) is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from opik_eval.errors import PromptError
from opik_eval.prompts.template import TemplateType, placeholders, render
from opik_eval.serialization import dumps

Message = Mapping[str, object]
Part = Mapping[str, object]

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
PART_TYPES = ("text", "image_url", "video_url", "audio_url", "input_audio", "file")
_REMEDY = "a message looks like {'role': 'user', 'content': 'Hello {{ name }}'}"


def text_part(text: str) -> dict[str, object]:
    """Return a text part."""
    return {"type": "text", "text": text}


def image_part(url: str, *, detail: str | None = None) -> dict[str, object]:
    """Return an image part; ``url`` may be a ``data:`` URL, ``detail`` is low, high or auto."""
    image = {"url": url} if detail is None else {"url": url, "detail": detail}
    return {"type": "image_url", "image_url": image}


def video_part(url: str) -> dict[str, object]:
    """Return a video part."""
    return {"type": "video_url", "video_url": {"url": url}}


def audio_part(data: str, *, format: str = "wav") -> dict[str, object]:
    """Return an audio part; ``data`` is Base64 text."""
    return {"type": "input_audio", "input_audio": {"data": data, "format": format}}


def file_part(
    *, data: str | None = None, file_id: str | None = None, filename: str | None = None
) -> dict[str, object]:
    """Return a file part: a ``data:`` URL, or the id of a file that the provider holds."""
    given = {"file_data": data, "file_id": file_id, "filename": filename}
    return {"type": "file", "file": {key: text for key, text in given.items() if text is not None}}


def validate_messages(messages: object) -> list[Message]:
    """Return ``messages`` if they are a conversation that can be sent.

    Raises:
        PromptError: They are not; the text names the message and what is wrong with it.

    Example:
        >>> validate_messages([{"role": "user", "content": "Hello"}])
        [{'role': 'user', 'content': 'Hello'}]
    """
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        shown = "an empty list" if messages == [] else f"a {type(messages).__name__}"
        raise PromptError(f"messages must be a list of messages, not {shown}", remedy=_REMEDY)
    for index, message in enumerate(messages):
        if problem := _problem(message):
            raise PromptError(f"message {index}: {problem}", remedy=_REMEDY)
    return list(messages)


def render_messages(
    messages: Sequence[Message],
    values: Mapping[str, object],
    *,
    type: TemplateType = "mustache",
    strict: bool = True,
) -> list[dict[str, object]]:
    """Return the messages with the values in the place of the placeholders.

    Contents are rendered: texts, text parts, and the URLs and data of media parts. All other keys,
    ``tool_calls`` included, are handed on as they are. The arguments are left unchanged.

    Args:
        messages: What ``validate_messages`` accepts.
        values: What the placeholders stand for.
        type: Which kind of template the texts are.
        strict: Refuse placeholders without a value.

    Raises:
        PromptError: A message is malformed or cannot be rendered; the text names it.

    Example:
        >>> render_messages([{"role": "user", "content": "{{ q }}", "name": "ann"}], {"q": "Why?"})
        [{'role': 'user', 'content': 'Why?', 'name': 'ann'}]
    """
    rendered = []
    for index, message in enumerate(validate_messages(messages)):
        try:
            content = _render(message.get("content"), values, type, strict)
        except PromptError as error:
            role = message["role"]
            raise PromptError(
                f"message {index} ({role}): {error.message}", remedy=error.remedy
            ) from error
        rendered.append({**message, "content": content} if "content" in message else {**message})
    return rendered


def message_placeholders(
    messages: Sequence[Message],
    type: TemplateType = "mustache",
) -> list[str]:
    """Return the names of all placeholders, each once, in the order of appearance."""
    texts = (text for message in messages for text in _texts(message.get("content")))
    return list(dict.fromkeys(name for text in texts for name in placeholders(text, type)))


def to_text(messages: Sequence[Message]) -> str:
    """Return a conversation as readable text, one paragraph per message.

    Media are named: links in full, embedded data by kind and size.

    Example:
        >>> print(to_text([{"role": "user", "content": [text_part("Look:"), image_part("a.png")]}]))
        user: Look:
        [image_url a.png]
    """
    return "\n\n".join(f"{message.get('role')}: {_message_text(message)}" for message in messages)


def _problem(message: object) -> str | None:
    if not isinstance(message, Mapping):
        return f"is a {type(message).__name__}, not a dict"
    role = message.get("role")
    if role not in ROLES:
        return f"has the role {role!r}; there are {', '.join(ROLES)}"
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        return "has the role 'tool' but no 'tool_call_id'"
    calls = message.get("tool_calls") or message.get("function_call")
    if role == "assistant" and calls and message.get("content") is None:
        return None
    return _content_problem(message.get("content"))


def _content_problem(content: object) -> str | None:
    if content is None:
        return "has no content"
    if isinstance(content, str):
        return None
    if not isinstance(content, Sequence):
        return f"has a {type(content).__name__} as content, not a text or a list of parts"
    problems = (_part_problem(part) for part in content)
    return next((f"part {i}: {p}" for i, p in enumerate(problems) if p), None)


def _part_problem(part: object) -> str | None:
    if not isinstance(part, Mapping):
        return f"is a {type(part).__name__}, not a dict"
    kind = part.get("type")
    if kind not in PART_TYPES:
        return f"has the type {kind!r}; there are {', '.join(PART_TYPES)}"
    body = part.get(cast("str", kind))
    if kind == "text":
        return None if isinstance(body, str) else "is a text part without 'text'"
    if isinstance(body, Mapping) and any(isinstance(text, str) for text in body.values()):
        return None
    return f"is of type {kind!r} and needs {kind!r}: {{...}}"


def _render(
    content: object, values: Mapping[str, object], kind: TemplateType, strict: bool
) -> object:
    if isinstance(content, str):
        return render(content, values, type=kind, strict=strict)
    if isinstance(content, Mapping):
        return {
            key: item if key == "type" else _render(item, values, kind, strict)
            for key, item in content.items()
        }
    if isinstance(content, list | tuple):
        return [_render(item, values, kind, strict) for item in content]
    return content


def _texts(content: object) -> Iterable[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        for key, item in content.items():
            yield from () if key == "type" else _texts(item)
    elif isinstance(content, list | tuple):
        for item in content:
            yield from _texts(item)


def _message_text(message: Message) -> str:
    content = message.get("content")
    parts = [content] if isinstance(content, str) else [_part_text(p) for p in _parts(content)]
    calls = message.get("tool_calls")
    if isinstance(calls, Sequence) and not isinstance(calls, str):
        parts += [f"[tool call {_call_text(call)}]" for call in calls]
    return "\n".join(parts)


def _parts(content: object) -> Sequence[Part]:
    return cast("Sequence[Part]", content) if isinstance(content, Sequence) else ()


def _part_text(part: Part) -> str:
    kind = str(part.get("type"))
    if kind == "text":
        return str(part.get("text", ""))
    sources = [text for text in _texts(part.get(kind)) if text]
    return f"[{kind} {', '.join(map(_source_text, sources))}]"


def _source_text(source: str) -> str:
    if source.startswith("data:"):
        return f"{source.partition(',')[0]}, {len(source)} characters"
    return source


def _call_text(call: object) -> str:
    function = call.get("function") if isinstance(call, Mapping) else None
    if isinstance(function, Mapping):
        return f"{function.get('name')}({function.get('arguments') or ''})"
    return dumps(call).decode()


__all__ = [
    "PART_TYPES",
    "ROLES",
    "Message",
    "Part",
    "audio_part",
    "file_part",
    "image_part",
    "message_placeholders",
    "render_messages",
    "text_part",
    "to_text",
    "validate_messages",
    "video_part",
]
