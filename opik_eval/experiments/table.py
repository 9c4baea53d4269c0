"""A small table, as text for terminals and pipes and as HTML for notebooks."""

from __future__ import annotations

import html
import io
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field

from opik_eval.serialization import dumps

_PLAIN_LINES = "    \n    \n -- \n    \n    \n    \n    \n    \n"
_DRAWN_LINES = "    \n    \n ── \n    \n    \n    \n    \n    \n"


@dataclass(slots=True)
class Table:
    """Rows of text under a header; the first column is left-aligned, numbers to the right.

    Attributes:
        header: Titles of the columns.
        left: Titles of the columns that are aligned to the left.
        rows: Cells, as many as titles.
    """

    header: tuple[str, ...]
    left: frozenset[str] = frozenset()
    rows: list[Sequence[str]] = field(default_factory=list)

    def as_text(self, *, width: int = 80, ascii_only: bool = False, color: bool = False) -> str:
        """Return the table in lines of at most ``width`` characters; long cells are folded."""
        from rich.box import Box
        from rich.console import Console
        from rich.table import Table as RichTable
        from rich.text import Text

        lines = Box(_PLAIN_LINES if ascii_only else _DRAWN_LINES, ascii=ascii_only)
        table = RichTable(box=lines, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        for title in self.header:
            is_left = title in self.left
            table.add_column(
                title,
                justify="left" if is_left else "right",
                overflow="fold",
                no_wrap=not is_left,
            )
        for row in self.rows:
            # Text, not str: brackets in names are no markup.
            table.add_row(*(Text(to_ascii(cell) if ascii_only else cell) for cell in row))
        console = Console(
            file=io.StringIO(),
            width=width,
            force_terminal=color,
            color_system="standard" if color else None,
            legacy_windows=False,
            _environ={},
        )
        with console.capture() as capture:
            console.print(table)
        return "\n".join(line.rstrip() for line in capture.get().splitlines())

    def as_html(self) -> str:
        """Return the table as an HTML fragment."""
        head = "".join(f"<th>{html.escape(title)}</th>" for title in self.header)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def number(value: float | None, *, signed: bool = False) -> str:
    """Return a number in few characters; ``-`` where there is none."""
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    sign = "+" if signed else ""
    return f"{value:{sign}.3f}" if 1e-3 <= abs(value) < 1e3 or value == 0 else f"{value:{sign}.3g}"


def interval(low: float | None, high: float | None) -> str:
    """Return an interval in brackets; ``-`` where nothing is known."""
    if low is None or high is None or (math.isinf(low) and math.isinf(high)):
        return "-"
    if 0.05 <= high - low < 1e3:  # a third digit would mean nothing
        return f"[{low:.2f}, {high:.2f}]"
    return f"[{number(low)}, {number(high)}]"


def shorten(value: object, width: int) -> str:
    """Return a value on one line of at most ``width`` characters, without control characters."""
    # Ten times the width is plenty to fill a line; longer texts need not be cleaned as a whole.
    text = value if isinstance(value, str) else dumps(value).decode()
    text = " ".join(text[: 10 * width].split())
    text = "".join(sign if sign.isprintable() else "?" for sign in text)
    return text if len(text) <= width else text[: width - 3] + "..."


def wrap(text: str, width: int) -> str:
    """Return a text whose lines have at most ``width`` characters; continued lines are indented."""
    return "\n".join(
        line
        if len(line) <= width
        else textwrap.fill(line, width, subsequent_indent="  ", break_on_hyphens=False)
        for line in text.splitlines()
    )


def to_ascii(text: str) -> str:
    """Return ``text`` with everything but ASCII escaped."""
    return text.encode("ascii", "backslashreplace").decode("ascii")
