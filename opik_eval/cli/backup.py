"""``opik-eval backup``: a copy of a server's store, made while it is in use."""

from __future__ import annotations

from pathlib import Path

import click

from opik_eval.cli.control import json_option, opened_workspaces, store_option
from opik_eval.cli.output import examples, show_json
from opik_eval.config import settings


@click.command("backup", epilog=examples("opik-eval backup backups/monday --store file:runs.db"))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@store_option
@json_option
def backup_command(folder: Path, store: str | None, as_json: bool) -> None:
    """Copy all workspaces, keys and the audit trail to FOLDER, which must be new or empty.

    The server may run meanwhile; the copy of each workspace is of one moment. A server started on
    the first file has everything but attachments in a bucket, which are not copied.
    """
    with opened_workspaces(store) as workspaces:
        copies = workspaces.backup(folder.absolute())
    size = sum(copy.stat().st_size for copy in copies)
    bucket = settings().s3_bucket
    if bucket:
        click.echo(
            f"Not copied: the attachments in the bucket {bucket}. Copy them with the tools of its "
            "service; a server on this backup finds them where OPIK_EVAL_S3_BUCKET says.",
            err=True,
        )
    if as_json:
        missing = [f"s3://{bucket}"] if bucket else []
        files = [str(copy) for copy in copies]
        show_json({"files": files, "size_bytes": size, "not_copied": missing})
        return
    click.echo(f"{len(copies)} files, {size / 1e6:,.1f} MB. To use them:")
    click.echo(f"  opik-eval serve --store file:{copies[0]}")
