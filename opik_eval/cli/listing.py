"""``opik-eval list``: what is in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import click

from opik_eval.cli.output import common_options, show_json
from opik_eval.storage.base import Storage
from opik_eval.storage.opening import open_storage

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


@click.command("list")
@click.argument("kind", type=click.Choice(sorted(_KINDS)), default="experiments")
@common_options
def list_command(kind: str, storage: str | None, as_json: bool) -> None:  # noqa: FBT001 - click passes flags by keyword
    """List what the store holds: experiments (the default), datasets, prompts or projects."""
    opened = open_storage(storage)
    rows = _KINDS[kind](opened)
    if as_json:
        show_json(rows)
        return
    if not rows:
        click.echo(f"no {kind} in {opened.location}")
        return
    for line in _table(rows):
        click.echo(line)


def _table(rows: Sequence[Row]) -> list[str]:
    columns = [name for name in rows[0] if name != "id"]
    cells = [[_text(row[name]) for name in columns] for row in rows]
    widths = [
        max(len(name), *(len(line[place]) for line in cells)) for place, name in enumerate(columns)
    ]
    lines = [columns, *cells]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {v:.3f}" for k, v in value.items() if isinstance(v, float))
    return "" if value is None else str(value)
