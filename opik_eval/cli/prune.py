"""``opik-eval prune``: delete what is old, or too much."""

from __future__ import annotations

from datetime import timedelta

import click

from opik_eval.cli.control import json_option, note_change, opened_workspaces, store_option
from opik_eval.cli.output import examples, show_json
from opik_eval.records import utc_now
from opik_eval.server.audit import forget_before


@click.command(
    "prune", epilog=examples("opik-eval prune --days 90", "opik-eval prune --gb 5 --workspace a")
)
@click.option("--days", type=click.FloatRange(0), help="Delete traces that began longer ago.")
@click.option(
    "--gb",
    "gigabytes",
    type=click.FloatRange(0),
    help="Delete the oldest traces until a workspace takes no more than this.",
)
@click.option("--audit-days", type=click.FloatRange(0), help="Delete older lines of the audit.")
@click.option("--workspace", help="Only this workspace; default: each of them.")
@store_option
@json_option
def prune_command(
    days: float | None,
    gigabytes: float | None,
    audit_days: float | None,
    workspace: str | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Delete old traces with their spans, scores and attachments.

    Bytes on disk that nothing refers to any more go too, whatever deleted their record. Datasets,
    prompts and experiments stay. A running server does the same with --retention-days
    and --retention-gb.
    """
    from opik_eval.server.retention import Retention

    if days is None and gigabytes is None and audit_days is None:
        raise click.UsageError("say what to delete: --days, --gb or --audit-days")
    retention, now, deleted = Retention(days=days, gigabytes=gigabytes), utc_now(), {}
    garbage = 0
    with opened_workspaces(store) as workspaces:
        for name in workspaces.names() if workspace is None else [workspace]:
            storage = workspaces.storage(name)
            garbage += storage.collect_garbage()
            deleted[name] = retention.apply(storage, now)
            note_change(workspaces, "prune", name, f"{deleted[name]} traces")
        lines = 0
        if audit_days is not None:
            lines = forget_before(workspaces.control, now - timedelta(days=audit_days))
    if as_json:
        show_json(
            {
                "deleted_traces": deleted,
                "deleted_unused_files": garbage,
                "deleted_audit_lines": lines,
            }
        )
        return
    for name, count in deleted.items():
        click.echo(f"{name}: {count} traces deleted")
    if garbage:
        click.echo(f"{garbage} files that nothing referred to any more deleted")
    if audit_days is not None:
        click.echo(f"{lines} lines of the audit trail deleted")
