"""How the simulated reflection model reads a request: which passage is the prompt to improve."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_BORDER = re.compile(r"^\s*(?:</?\w|```|#|---|===)")
_CURRENT = re.compile(r"current|present|best|existing|parent|baseline|<prompt", re.IGNORECASE)
_WARNING = re.compile(
    r"tried|not help|reject|avoid|failed|worse|<rest|as it is|unchanged", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a request shows.

    Attributes:
        current: The passage with the prompt to improve; the whole text if no prompt is recognised.
        others: Passages with further prompts, to borrow from.
    """

    current: str
    others: tuple[str, ...] = ()


@dataclass(kw_only=True)
class _Passage:
    label: str
    lines: list[str]


def read(text: str, openings: Sequence[str]) -> Reading:
    r"""Find the prompts in a text by the first sentences of the seed prompts.

    Passages are separated by lines with a tag, a fence, a heading or a rule. The prompt to improve
    is the first one that its label calls current, or else the first one. Prompts under a label that
    warns of them, or says that they stay as they are, are left out.

    Example:
        >>> text = "<tried>\nDo it. Always a.\n</tried>\n<present>\nDo it. Always b.\n</present>"
        >>> read(text, ["Do it."]).current
        'Do it. Always b.'
    """
    found = [p for p in _passages(text) if any(o in line for line in p.lines for o in openings)]
    usable = [passage for passage in found if not _WARNING.search(passage.label)]
    if not usable:
        return Reading(current=text)
    current = next((p for p in usable if _CURRENT.search(p.label)), usable[0])
    others = ("\n".join(passage.lines) for passage in usable if passage is not current)
    return Reading(current="\n".join(current.lines), others=tuple(others))


def _passages(text: str) -> list[_Passage]:
    """Split a text at its borders; a passage's label is its border and the line before that."""
    passages = [_Passage(label="", lines=[])]
    last = ""
    for line in text.splitlines():
        if _BORDER.match(line):
            passages.append(_Passage(label=f"{last} {line}", lines=[]))
            last = ""
        else:
            passages[-1].lines.append(line)
            last = line if line.strip() else last
    return passages
