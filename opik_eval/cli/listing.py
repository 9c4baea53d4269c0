"""``opik-eval list``: what is in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

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
    for line in _table(rows):
        click.echo(line)


def _table(rows: Sequence[Row]) -> list[str]:
    """Return aligned lines, never folded, so that ``grep`` and ``cut`` work; ids come last."""
    columns = [*(name for name in rows[0] if name != "id"), "id"]
    cells = [[_text(row[name]) for name in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    lines = [columns, *cells]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, Mapping):
        means = (f"{name} {mean:.3f}" for name, mean in value.items() if isinstance(mean, float))
        return ", ".join(means)
    return "" if value is None else " ".join(str(value).split())
