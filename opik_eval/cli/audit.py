"""``opik-eval audit``: who changed what on a server."""

from __future__ import annotations

from dataclasses import asdict

import click

from opik_eval.cli.control import json_option, opened_workspaces, store_option
from opik_eval.cli.output import examples, show_json
from opik_eval.server.audit import audited
from opik_eval.storage.wire import wire_time


@click.command("audit", epilog=examples("opik-eval audit --workspace team-a --limit 20"))
@click.option("--workspace", help="Only changes of this workspace.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="How many.")
@store_option
@json_option
def audit_command(workspace: str | None, limit: int, store: str | None, as_json: bool) -> None:
    """List the latest changes, oldest first: time, key, workspace, route, status.

    Servers started with --auth note every request that may change something before they answer it;
    keys, workspaces and prune note what they did.
    """
    with opened_workspaces(store) as workspaces:
        found = audited(workspaces.control, workspace=workspace, limit=limit)
    if as_json:
        for past in found:
            show_json({"at": wire_time(past.at), **asdict(past.line)})
        return
    for past in found:
        line = past.line
        who = f"{line.key} ({line.user})"
        what = f"{line.method} {line.target if line.method != 'CLI' else line.route}"
        status = line.status or line.target
        click.echo(f"{wire_time(past.at)[:19]}Z  {who}  {line.workspace}  {what}  {status}")
