"""``opik-eval export`` and ``opik-eval import``: a whole store, to files and back."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from opik_eval.cli.output import common_options, show_json
from opik_eval.storage.opening import open_storage
from opik_eval.storage.transfer import ExportFormat, Manifest, export_store, import_store


@click.command("export")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--format", "file_format", type=click.Choice(get_args(ExportFormat)), default="jsonl",
    show_default=True, help="Format of the files.",
)  # fmt: skip
@common_options
def export_command(
    folder: Path,
    file_format: ExportFormat,
    storage: str | None,
    as_json: bool,  # noqa: FBT001 - click passes flags by keyword
) -> None:
    """Write everything in the store to FOLDER, which must be empty or new."""
    _report("exported", export_store(open_storage(storage), folder, format=file_format), as_json)


@click.command("import")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@common_options
def import_command(folder: Path, storage: str | None, as_json: bool) -> None:  # noqa: FBT001 - click passes flags by keyword
    """Bring everything from an exported FOLDER into the store; doing so twice changes nothing."""
    _report("imported", import_store(open_storage(storage), folder), as_json)


def _report(verb: str, manifest: Manifest, as_json: bool) -> None:  # noqa: FBT001 - handed through
    if as_json:
        show_json({verb: dict(manifest.counts)})
        return
    counts = ", ".join(f"{count} {name}" for name, count in manifest.counts.items() if count)
    click.echo(f"{verb} {counts or 'nothing'}")
