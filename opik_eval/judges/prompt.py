"""The texts that judges send, kept as Markdown files and versioned by their content."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from opik_eval.errors import PromptError
from opik_eval.judges.media import put_media, take_media
from opik_eval.prompts.template import render
from opik_eval.serialization import content_hash

_ROLE_LINE = re.compile(r"^<!-- (system|user|assistant) -->[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class JudgePrompt:
    """A prompt of a judge: a jinja2 template of one or more messages.

    A line ``<!-- system -->``, ``<!-- user -->`` or ``<!-- assistant -->`` begins a message; a text
    without such lines is one user message. The messages are cut before anything is rendered, so no
    value can forge one.

    Args:
        name: What the prompt is called in score metadata.
        text: The template.

    Example:
        >>> JudgePrompt("tone", "Is this polite? {{ output }}").messages({"output": "Hi {{ you }}"})
        [{'role': 'user', 'content': 'Is this polite? Hi {{ you }}'}]
    """

    name: str
    text: str

    @property
    def version(self) -> str:
        """Twelve hex digits of the text's hash; recorded with every score it produced."""
        return content_hash(self.text)[:12]

    def messages(self, values: Mapping[str, object]) -> list[Mapping[str, object]]:
        """Return the rendered messages.

        Media parts among the values (images, audio, files) become parts of the message, at the
        place of their placeholder.

        Raises:
            PromptError: A value is missing, or the template is malformed.
        """
        pieces = _ROLE_LINE.split(self.text)
        if len(pieces) == 1:
            pieces = ["", "user", self.text]
        if pieces[0].strip():
            raise PromptError(
                f"the prompt {self.name!r} has text above its first role line",
                remedy="begin it with <!-- system --> or <!-- user -->",
            )
        texts, media = take_media(values)
        return [
            {"role": role, "content": put_media(render(text.strip(), texts, type="jinja2"), media)}
            for role, text in zip(pieces[1::2], pieces[2::2], strict=True)
        ]


@cache
def load_prompt(name: str, *, package: str = "opik_eval.judges") -> JudgePrompt:
    """Return the prompt in the file ``prompts/NAME.md`` of a package.

    Raises:
        PromptError: There is no such file.
    """
    path = files(package) / "prompts" / f"{name}.md"
    if not path.is_file():
        raise PromptError(
            f"there is no prompt {name!r} in {package}",
            remedy=f"add the file prompts/{name}.md, or pass a JudgePrompt",
        )
    return JudgePrompt(name, path.read_text(encoding="utf-8"))


__all__ = ["JudgePrompt", "load_prompt"]
