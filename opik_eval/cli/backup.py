"""``opik-eval backup``: a copy of a server's store, made while it is in use."""

from __future__ import annotations

from pathlib import Path

import click

from opik_eval.cli.control import json_option, opened_workspaces, store_option
from opik_eval.cli.output import examples, show_json


@click.command("backup", epilog=examples("opik-eval backup backups/monday --store file:runs.db"))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@store_option
@json_option
def backup_command(folder: Path, store: str | None, as_json: bool) -> None:
    """Copy all workspaces, keys and the audit trail to FOLDER, which must be new or empty.

    The server may run meanwhile; the copy of each workspace is of one moment. A server started on
    the first file has everything.
    """
    with opened_workspaces(store) as workspaces:
        copies = workspaces.backup(folder.absolute())
    size = sum(copy.stat().st_size for copy in copies)
    if as_json:
        show_json({"files": [str(copy) for copy in copies], "size_bytes": size})
        return
    click.echo(f"{len(copies)} files, {size / 1e6:,.1f} MB. To use them:")
    click.echo(f"  opik-eval serve --store file:{copies[0]}")
