"""``opik-eval keys``: who may use a server."""

from __future__ import annotations

from dataclasses import asdict
from typing import cast

import click

from opik_eval.cli.control import json_option, note_change, opened_workspaces, store_option, table
from opik_eval.cli.output import examples, show_json
from opik_eval.server.keys import ApiKey, Keys
from opik_eval.server.roles import ROLES, Role
from opik_eval.storage.workspaces import DEFAULT_WORKSPACE


@click.group(
    "keys",
    epilog=examples(
        "opik-eval keys create ci --role editor",
        "opik-eval keys list",
        "opik-eval keys revoke 3f0a9c12de",
    ),
)
def keys_command() -> None:
    """Make, list and revoke the API keys that a server started with --auth demands.

    Works on the store of the server, whether the server runs or not.
    """


@keys_command.command("create")
@click.argument("name")
@click.option("--workspace", default=DEFAULT_WORKSPACE, show_default=True, help="What it opens.")
@click.option("--role", type=click.Choice(ROLES), default="editor", show_default=True)
@store_option
@json_option
def create_command(name: str, workspace: str, role: str, store: str | None, as_json: bool) -> None:
    """Make a key for NAME, and show it: once, since only a hash of it is kept."""
    with opened_workspaces(store) as workspaces:
        workspaces.storage(workspace)  # there must be one
        text, key = Keys(workspaces.control).create(
            name, workspace=workspace, role=cast("Role", role)
        )
        note_change(workspaces, "keys create", workspace, key.prefix)
    if as_json:
        show_json({"key": text, **_shown(key)})
        return
    click.echo(text)
    click.echo(f"A key for {name}, {role} of the workspace {workspace}.", err=True)
    click.echo("It is not shown again. Clients: export OPIK_API_KEY=...", err=True)


@keys_command.command("list")
@store_option
@json_option
def list_command(store: str | None, as_json: bool) -> None:
    """List the keys, without their secrets."""
    with opened_workspaces(store) as workspaces:
        found = Keys(workspaces.control).list()
    if as_json:
        show_json([_shown(key) for key in found])
        return
    if not found:
        click.echo("There are no keys; make one with: opik-eval keys create NAME")
        return
    rows = [("prefix", "name", "workspace", "role", "created", "state")]
    for key in found:
        state = "works" if key.revoked_at is None else f"revoked {key.revoked_at[:10]}"
        made = str(key.created_at or "")[:10]
        rows.append((key.prefix, key.name, key.workspace, key.role, made, state))
    click.echo(table(rows))


@keys_command.command("revoke")
@click.argument("prefix")
@store_option
@json_option
def revoke_command(prefix: str, store: str | None, as_json: bool) -> None:
    """Stop the key of PREFIX from working; running servers notice within five seconds."""
    with opened_workspaces(store) as workspaces:
        key = Keys(workspaces.control).revoke(prefix)
        note_change(workspaces, "keys revoke", key.workspace, key.prefix)
    if as_json:
        show_json(_shown(key))
        return
    click.echo(f"The key {key.prefix} of {key.name} is revoked.")


def _shown(key: ApiKey) -> dict[str, object]:
    made = None if key.created_at is None else key.created_at.isoformat(timespec="seconds")
    return {**asdict(key), "created_at": made}
