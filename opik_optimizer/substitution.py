"""Placeholders of prompts: ``{column}`` in texts, replaced in a single pass.

A placeholder is a name in single braces: letters, digits and underscores, with dots for what lies
inside (``{metadata.context}``), or any text at all that is the name of a column. Whatever else
stands in braces (JSON, code, sets) is ordinary text; there is no escaping, so ``{{x}}`` becomes
the value in one pair of braces. What was inserted is never searched again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping

from opik_eval.errors import PromptError
from opik_eval.prompts.template import render

_BRACES = re.compile(r"\{([^{}\n]+)\}")
_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")


def substitute(text: str, values: Mapping[str, object], *, strict: bool = False) -> str:
    """Return a text with values in the place of its placeholders.

    Texts and numbers are inserted as they are, ``None`` as nothing, the rest as canonical JSON.

    Args:
        text: The template.
        values: What the placeholders stand for, such as a dataset item.
        strict: Refuse placeholders without a value; otherwise they stay as they are.

    Raises:
        PromptError: ``strict``, and a placeholder has no value.

    Example:
        >>> substitute("{q} in {json: 1}", {"q": "what is {a}?", "a": "secret"})
        'what is {a}? in {json: 1}'
    """

    def insert(braces: re.Match[str]) -> str:
        try:
            return _text(_lookup(braces[1], values))
        except LookupError:
            if strict and _NAME.fullmatch(braces[1]):
                raise PromptError(
                    f"the prompt has the placeholder {braces[0]}, and the item has no such field; "
                    f"it has {sorted(values)}",
                    remedy="correct the placeholder, or pass strict=False to leave it as it is",
                ) from None
            return braces[0]

    return _BRACES.sub(insert, text)


def placeholders_in(text: str, columns: Collection[str] = ()) -> list[str]:
    """Return the names of the placeholders of a text, each once, in the order of appearance.

    Args:
        text: The template.
        columns: Names of columns, which may hold any characters.

    Example:
        >>> placeholders_in('{question} {"a": 1} {my column}', columns=["my column"])
        ['question', 'my column']
    """
    names = (braces[1] for braces in _BRACES.finditer(text))
    return list(dict.fromkeys(n for n in names if n in columns or _NAME.fullmatch(n)))


def inert(text: str, columns: Collection[str] = ()) -> str:
    """Return a text in which nothing is a placeholder: ``{name}`` becomes ``{ name }``.

    For values that become part of a prompt, such as demonstrations.

    Args:
        text: The text.
        columns: Names of columns, which may hold any characters.

    Example:
        >>> inert('What is {x}? {"a": 1}')
        'What is { x }? {"a": 1}'
    """

    def part(braces: re.Match[str]) -> str:
        name = braces[1]
        return f"{{ {name} }}" if name in columns or _NAME.fullmatch(name) else braces[0]

    return _BRACES.sub(part, text)


def map_texts(content: object, change: Callable[[str], str]) -> object:
    """Return the content of a message with every text in it changed.

    Texts are the content itself, text parts, and the URLs and data of media parts.
    """
    if isinstance(content, str):
        return change(content)
    if isinstance(content, Mapping):
        return {k: v if k == "type" else map_texts(v, change) for k, v in content.items()}
    if isinstance(content, list | tuple):
        return [map_texts(part, change) for part in content]
    return content


def texts_of(content: object) -> Iterator[str]:
    """Yield every text of the content of a message; see ``map_texts``."""
    found: list[str] = []

    def note(text: str) -> str:
        found.append(text)
        return text

    map_texts(content, note)
    yield from found


def _lookup(name: str, values: Mapping[str, object]) -> object:
    if name in values:
        return values[name]
    current: object = values
    for step in name.split("."):
        if not isinstance(current, Mapping):
            raise KeyError(step)
        current = current[step]
    return current


def _text(value: object) -> str:
    return value if isinstance(value, str) else render("{{ value }}", {"value": value})


__all__ = ["inert", "map_texts", "placeholders_in", "substitute", "texts_of"]
