"""``opik-eval workspaces``: tenants of a server, which share nothing."""

from __future__ import annotations

import click

from opik_eval.cli.control import json_option, note_change, opened_workspaces, store_option
from opik_eval.cli.output import examples, show_json
from opik_eval.server.keys import Keys


@click.group(
    "workspaces",
    epilog=examples(
        "opik-eval workspaces create team-a",
        "opik-eval keys create alice --workspace team-a",
    ),
)
def workspaces_command() -> None:
    """Make, list and delete the workspaces of a server; no key of one opens another."""


@workspaces_command.command("create")
@click.argument("name")
@store_option
@json_option
def create_command(name: str, store: str | None, as_json: bool) -> None:
    """Make an empty workspace."""
    with opened_workspaces(store) as workspaces:
        workspaces.create(name)
        note_change(workspaces, "workspaces create", name, name)
    if as_json:
        show_json({"name": name})
        return
    click.echo(f"Made. A key for it: opik-eval keys create NAME --workspace {name}")


@workspaces_command.command("list")
@store_option
@json_option
def list_command(store: str | None, as_json: bool) -> None:
    """List the workspaces with their sizes."""
    with opened_workspaces(store) as workspaces:
        sizes = {name: workspaces.storage(name).size_bytes() for name in workspaces.names()}
    if as_json:
        show_json([{"name": name, "size_bytes": size} for name, size in sizes.items()])
        return
    for name, size in sizes.items():
        click.echo(f"{name:<40} {size / 1e6:>12,.1f} MB")


@workspaces_command.command("delete")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_option
@json_option
def delete_command(name: str, yes: bool, store: str | None, as_json: bool) -> None:
    """Delete a workspace with all that is in it, and revoke its keys."""
    with opened_workspaces(store) as workspaces:
        workspaces.storage(name)  # there must be one
        if not yes:
            click.confirm(f"Delete the workspace {name} with all that is in it?", abort=True)
        keys = Keys(workspaces.control)
        own = [key for key in keys.list() if key.workspace == name]
        revoked = [key.prefix for key in own if key.revoked_at is None]
        for prefix in revoked:  # first, so that they cannot open a new one of that name
            keys.revoke(prefix)
        workspaces.delete(name)
        note_change(workspaces, "workspaces delete", name, name)
    if as_json:
        show_json({"name": name, "revoked_keys": revoked})
        return
    click.echo(f"Deleted; {len(revoked)} keys revoked.")
