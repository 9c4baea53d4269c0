"""``opik-eval configure``: which tracing server to use, and with which key."""

from __future__ import annotations

import click

from opik_eval.cli.output import examples, show_json
from opik_eval.client.configure import CLOUD_URL, LOCAL_URL, save_server
from opik_eval.config import settings


@click.command(
    "configure",
    epilog=examples(
        f"opik-eval configure --url {LOCAL_URL}",
        f"opik-eval configure --url {CLOUD_URL} --workspace team",
    ),
)
@click.option("--url", help="Base URL of the server; asked for if left out.")
@click.option("--workspace", help="Workspace on the server.  [default: default]")
@click.option("--project", "project_name", help="Project for traces that name none.")
@click.option(
    "--api-key",
    metavar="KEY",
    help="Key for the server; better given as OPIK_API_KEY or with --ask-key, since others see "
    "command lines.",
)
@click.option("--ask-key", is_flag=True, help="Ask for the key, without showing it.")
@click.option("--force", is_flag=True, help="Write the file even if the check fails.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of text.")
def configure_command(
    url: str | None,
    workspace: str | None,
    project_name: str | None,
    api_key: str | None,
    ask_key: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Choose a tracing server, check the connection, and write ~/.opik.config.

    The file is Opik's own, readable by you alone. OPIK_URL_OVERRIDE, OPIK_API_KEY, OPIK_WORKSPACE
    and OPIK_PROJECT_NAME win over it.
    """
    known = settings()
    url = url or click.prompt("Server", default=known.url_override or LOCAL_URL)
    if ask_key:
        api_key = click.prompt("API key", hide_input=True)
    found = save_server(
        url, workspace=workspace, api_key=api_key, project_name=project_name, force=force
    )
    kind = "opik-eval" if found.is_native else "Opik"
    if as_json:
        show_json({"url": found.url, "server": kind, "config": str(known.config_path)})
        return
    click.echo(f"{found.url} answers; it is an {kind} server. Written to {known.config_path}.")
