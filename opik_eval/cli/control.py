"""What the commands for whoever runs a server share: its workspaces, and notes of what they did."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import click

from opik_eval.server.audit import AuditLine, note
from opik_eval.storage.workspaces import Workspaces, open_workspaces

P = ParamSpec("P")
T = TypeVar("T")

_COMMAND_LINE = "-"


def store_option(function: Callable[P, T]) -> Callable[P, T]:
    """Add ``--store`` to a command."""
    return click.option(
        "--store",
        "--storage",
        "store",
        metavar="TARGET",
        help="Store of the server, such as file:runs.db; default: what the settings say.",
    )(function)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


@contextmanager
def opened_workspaces(store: str | None) -> Iterator[Workspaces]:
    """Open the workspaces of a store for the length of a command."""
    workspaces = open_workspaces(store)
    try:
        yield workspaces
    finally:
        workspaces.close()


def note_change(workspaces: Workspaces, command: str, workspace: str, target: str) -> None:
    """Note in the audit trail what a command changed."""
    line = AuditLine(
        key=_COMMAND_LINE,
        user="command line",
        workspace=workspace,
        method="CLI",
        route=command,
        target=target,
    )
    note(workspaces.control, line)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as columns; the first row is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
