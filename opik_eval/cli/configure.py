"""``opik-eval configure``: which tracing server to use, and with which key."""

from __future__ import annotations

import click

from opik_eval.cli.output import examples, show_json
from opik_eval.config import save_settings, settings
from opik_eval.storage.http_check import check_server

_LOCAL_URL = "http://localhost:5173/api"


@click.command(
    "configure",
    epilog=examples(
        f"opik-eval configure --url {_LOCAL_URL}",
        "opik-eval configure --url https://www.comet.com/opik/api --workspace team",
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
    url = url or click.prompt("Server", default=known.url_override or _LOCAL_URL)
    workspace = workspace or known.workspace
    if ask_key:
        api_key = click.prompt("API key", hide_input=True)
    api_key = api_key or known.api_key
    found = None
    try:
        found = check_server(url, workspace=workspace, api_key=api_key)
    finally:
        if found is not None or force:
            values = {
                "url_override": found.url if found is not None else url,
                "workspace": workspace,
                **({"api_key": api_key} if api_key else {}),
                **({"project_name": project_name} if project_name else {}),
            }
            save_settings(known.config_path, values)
    kind = "opik-eval" if found.is_native else "Opik"
    if as_json:
        show_json({"url": found.url, "server": kind, "config": str(known.config_path)})
        return
    click.echo(f"{found.url} answers; it is an {kind} server. Written to {known.config_path}.")
