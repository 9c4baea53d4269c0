"""Writes the list of metrics into docs/metrics/README.md.

python tests/docs/metric_table.py
"""

from __future__ import annotations

from pathlib import Path

from opik_eval.metrics import list_metrics

PAGE = Path(__file__).parents[2] / "docs" / "metrics" / "README.md"
HEAD = "| class | in run files | value |\n|---|---|---|\n"


def table() -> str:
    """Return the table: a row for each built-in metric and judge, by name."""
    rows = (
        f"| `{entry.kind.__name__}` | `{entry.name}` | {_cell(entry.summary)} |\n"
        for entry in list_metrics()
    )
    return HEAD + "".join(rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def with_table(text: str) -> str:
    """Return the page with the table in place of the one that is there."""
    start = text.index(HEAD)
    return text[:start] + table() + text[text.index("\n\n", start) + 1 :]


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
