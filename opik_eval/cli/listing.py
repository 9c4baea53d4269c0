"""``opik-eval list``: what is in the store."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from textwrap import wrap

import click

from opik_eval.cli.output import common_options, examples, open_store, show_json
from opik_eval.storage.base import Storage

Row = dict[str, object]


def _experiments(storage: Storage) -> list[Row]:
    records = list(storage.list_experiments(newest_first=True))
    scores: dict[str, dict[str, float | None]] = {}
    for summary in storage.summarize_scores([record.id for record in records]):
        scores.setdefault(summary.experiment_id, {})[summary.name] = summary.mean
    return [
        {
            "id": record.id,
            "name": record.name,
            "dataset": record.dataset_name,
            "status": record.status,
            "scores": scores.get(record.id, {}),
            "created": record.created_at,
        }
        for record in records
    ]


def _datasets(storage: Storage) -> list[Row]:
    rows: list[Row] = []
    for record in storage.list_datasets():
        versions = list(storage.list_dataset_versions(record.id))
        rows.append(
            {
                "id": record.id,
                "name": record.name,
                "version": versions[-1].name if versions else None,
                "items": versions[-1].items_total if versions else 0,
                "created": record.created_at,
            }
        )
    return rows


def _projects(storage: Storage) -> list[Row]:
    return [{"id": record.id, "name": record.name} for record in storage.list_projects()]


def _prompts(storage: Storage) -> list[Row]:
    return [
        {
            "id": record.id,
            "name": record.name,
            "versions": sum(1 for _ in storage.list_prompt_versions(record.id)),
        }
        for record in storage.list_prompts()
    ]


_KINDS: Mapping[str, Callable[[Storage], list[Row]]] = {
    "experiments": _experiments,
    "datasets": _datasets,
    "prompts": _prompts,
    "projects": _projects,
}


@click.command("list", epilog=examples("opik-eval list", "opik-eval list datasets --json"))
@click.argument("kind", type=click.Choice(sorted(_KINDS)), default="experiments")
@common_options
def list_command(kind: str, storage: str | None, as_json: bool) -> None:
    """List what the store holds: experiments (the default), datasets, prompts or projects.

    Experiments come newest first. Wherever a command takes an experiment, its id always works, its
    name if no other experiment has it.
    """
    with open_store(storage, create=False) as opened:
        rows = _KINDS[kind](opened)
        location = opened.location
    if as_json:
        show_json(rows)
        return
    if not rows:
        click.echo(f"no {kind} in {location}")
        return
    lines, width = _table(rows), shutil.get_terminal_size().columns
    if sys.stdout.isatty() and max(map(len, lines)) > width:
        lines = _blocks(rows, width)
    for line in lines:
        click.echo(line)


def _table(rows: Sequence[Row]) -> list[str]:
    """Return aligned lines, never folded, so that ``grep`` and ``cut`` work; ids come last."""
    columns = [*(name for name in rows[0] if name != "id"), "id"]
    cells = [[_text(row[name]) for name in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    lines = [columns, *cells]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


def _blocks(rows: Sequence[Row], width: int) -> list[str]:
    """Return a few lines for each row: its name, and below it a line for each of the rest."""
    lines: list[str] = []
    for row in rows:
        lines.append(_text(row["name"]))
        fields = {name: _text(value) for name, value in row.items() if name != "name"}
        indent = 4 + max(map(len, fields))
        for name, text in fields.items():
            first = f"  {name}".ljust(indent)
            lines += wrap(text, width, initial_indent=first, subsequent_indent=" " * indent)
    return lines


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, Mapping):
        means = (f"{name} {mean:.3f}" for name, mean in value.items() if isinstance(mean, float))
        return ", ".join(means)
    return "" if value is None else " ".join(str(value).split())
