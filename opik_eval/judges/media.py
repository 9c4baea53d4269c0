"""Images, audio and files among the values of a prompt: they travel beside the text, not in it.

A template is text. Whatever part of a value is a media part in OpenAI's form stands in the
rendered text as a marker; afterwards the text is cut there and the part put in its place. Markers
are random, so no value can forge one.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from opik_eval.prompts.messages import PART_TYPES, text_part

Part = Mapping[str, object]


def take_media(values: Mapping[str, object]) -> tuple[Mapping[str, object], Mapping[str, Part]]:
    """Return the values with markers in the place of media parts, and the parts by marker.

    A list of content parts becomes text: its text parts and markers, one a line.

    Example:
        >>> image = {"type": "image_url", "image_url": {"url": "a.png"}}
        >>> values, media = take_media({"output": image})
        >>> put_media(f"Look: {values['output']}", media)[1]["image_url"]
        {'url': 'a.png'}
    """
    found: dict[str, Part] = {}
    replaced = {name: _marked(value, found) for name, value in values.items()}
    return replaced, found


def put_media(text: str, media: Mapping[str, Part]) -> str | list[Part]:
    """Return a message's content: the text itself, or parts where it has markers."""
    if not media:
        return text
    pieces = re.split(f"({'|'.join(map(re.escape, media))})", text)
    if len(pieces) == 1:
        return text
    return [media.get(piece) or text_part(piece) for piece in pieces if piece.strip()]


def _marked(value: object, found: dict[str, Part]) -> object:
    if isinstance(value, Mapping):
        if not _is_part(value):
            return {key: _marked(item, found) for key, item in value.items()}
        if value["type"] == "text":
            return value["text"]
        marker = f"⟦{secrets.token_hex(8)}⟧"
        found[marker] = value
        return marker
    if isinstance(value, list | tuple):
        marked = [_marked(item, found) for item in value]
        return "\n".join(map(str, marked)) if value and all(map(_is_part, value)) else marked
    return value


def _is_part(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    kind = value.get("type")
    if kind == "text":
        return set(value) == {"type", "text"} and isinstance(value["text"], str)
    return kind in PART_TYPES and isinstance(value.get(str(kind)), Mapping)


__all__ = ["put_media", "take_media"]
