"""Reading fenced code blocks out of Markdown files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"# not run: \S.{10,}")
NEEDS_MODEL = "# needs the embedded model"


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: The word after the fence.
        line: Line of its first line of code in the file, from 1.
        output: The ``text`` block right below, if there is one: what a Python block prints.
    """

    path: Path
    language: str
    code: str
    line: int
    output: str | None = None

    @property
    def is_run(self) -> bool:
        """False if its first line says, with a reason that readers see, that it is not run."""
        return not _NOT_RUN.match(self.code)

    @property
    def needs_model(self) -> bool:
        """True if its first line says that it needs the embedded model."""
        return self.code.startswith(NEEDS_MODEL)


def documents() -> list[Path]:
    """Return the Markdown files that users read."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(path: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a file."""
    text = path.read_text(encoding="utf-8")
    found = list(_FENCE.finditer(text))
    for number, match in enumerate(found):
        following = found[number + 1] if number + 1 < len(found) else None
        is_output = (
            following is not None
            and following[1] == "text"
            and not text[match.end() : following.start()].strip()
        )
        yield Block(
            path=path,
            language=match[1],
            code=match[2],
            line=text.count("\n", 0, match.start(2)) + 1,
            output=following[2] if is_output and following else None,
        )
