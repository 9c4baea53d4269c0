"""Prompts of the prompt library as prompts to optimize: their placeholders become ``{name}``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from opik_eval.errors import PromptError
from opik_eval.prompts.template import placeholders
from opik_optimizer.substitution import map_texts

if TYPE_CHECKING:
    from opik_eval.client.prompts import ChatPrompt, Prompt

_DOUBLE = re.compile(r"\{\{-?\s*([^{}\n]+?)\s*-?\}\}")
_PYTHON = re.compile(r"\{\{|\}\}")


def from_library(prompt: Prompt | ChatPrompt) -> list[dict[str, object]]:
    """Return the messages of a library prompt; a text prompt becomes a user message.

    Raises:
        PromptError: A template says more than placeholders can (a condition, a loop, a filter).
    """
    if isinstance(prompt.prompt, str):
        messages: list[dict[str, object]] = [{"role": "user", "content": prompt.prompt}]
    else:
        messages = prompt.prompt

    def convert(text: str) -> str:
        return _converted(text, prompt)

    return [{**m, "content": map_texts(m.get("content"), convert)} for m in messages]


def _converted(text: str, prompt: Prompt | ChatPrompt) -> str:
    if prompt.type == "python":
        return _PYTHON.sub(lambda braces: braces[0][0], text)
    names = placeholders(text, prompt.type)
    written = [match[1] for match in _DOUBLE.finditer(text)]
    if prompt.type == "jinja2" and ("{%" in text or "{#" in text or set(written) != set(names)):
        raise PromptError(
            f"the jinja2 template of prompt {prompt.name!r} has more than plain placeholders",
            remedy="write it as a ChatPrompt with {name} placeholders",
        )
    return _DOUBLE.sub(lambda match: f"{{{match[1]}}}" if match[1] in names else match[0], text)


__all__ = ["from_library"]
