"""``opik-eval export`` and ``opik-eval import``: a whole store, to files and back."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from opik_eval.cli.output import common_options, examples, open_store, show_json
from opik_eval.storage.transfer import ExportFormat, Manifest, export_store, import_store


@click.command("export", epilog=examples("opik-eval export backup --format parquet"))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--format",
    "file_format",
    type=click.Choice(get_args(ExportFormat)),
    default="jsonl",
    show_default=True,
    help="Format of the files.",
)
@common_options
def export_command(
    folder: Path,
    file_format: ExportFormat,
    storage: str | None,
    as_json: bool,
) -> None:
    """Write everything in the store to FOLDER, which must be empty or new.

    Cached replies of models are left out.
    """
    with open_store(storage, create=False) as opened:
        manifest = export_store(opened, folder, format=file_format)
    _report("exported", manifest, as_json=as_json)


@click.command("import", epilog=examples("opik-eval import backup --storage file:copy.db"))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@common_options
def import_command(folder: Path, storage: str | None, as_json: bool) -> None:
    """Bring everything from an exported FOLDER into the store; doing so twice changes nothing."""
    with open_store(storage) as opened:
        manifest = import_store(opened, folder)
    _report("imported", manifest, as_json=as_json)


def _report(verb: str, manifest: Manifest, *, as_json: bool) -> None:
    if as_json:
        show_json({verb: dict(manifest.counts)})
        return
    counts = ", ".join(
        f"{count} {name.replace('_', ' ')}" for name, count in manifest.counts.items() if count
    )
    click.echo(f"{verb} {counts or 'nothing'}")
