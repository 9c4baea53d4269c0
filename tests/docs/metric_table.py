"""Writes the table of metrics into docs/metrics/README.md.

python tests/docs/metric_table.py
"""

from __future__ import annotations

import inspect
from pathlib import Path

from opik_eval.metrics import BaseMetric, list_metrics

PAGE = Path(__file__).parents[2] / "docs" / "metrics" / "README.md"
HEAD = "| class | in run files | value | `score` takes |\n|---|---|---|---|\n"


def table() -> str:
    """Return the table: a row for each built-in metric and judge, by name."""
    return HEAD + "".join(
        f"| `{entry.kind.__name__}` | `{entry.name}` | {entry.summary.replace('|', chr(92) + '|')} "
        f"| {_arguments(entry.kind)} |\n"
        for entry in list_metrics()
    )


def _arguments(kind: type[BaseMetric]) -> str:
    method = next(
        vars(base)[name]
        for base in kind.__mro__
        for name in ("ascore", "score")
        if name in vars(base)
    )
    parameters = list(inspect.signature(method).parameters.values())[1:]
    named = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    required = [f"`{p.name}`" for p in named if p.default is p.empty]
    optional = [f"`{p.name}`" for p in named if p.default is not p.empty]
    if_given = [f"if given {', '.join(optional)}"] if optional else []
    return "; ".join([*([", ".join(required)] if required else []), *if_given])


def with_table(text: str) -> str:
    """Return the page with the table in place of the one that is there."""
    start = text.index(HEAD)
    return text[:start] + table() + text[text.index("\n\n", start) + 1 :]


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
