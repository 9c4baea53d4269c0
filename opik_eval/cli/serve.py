"""``opik-eval serve``: the tracing server."""

from __future__ import annotations

import logging

import click
from typing_extensions import TypedDict, Unpack

from opik_eval.cli.output import examples, show_json
from opik_eval.errors import ConfigError
from opik_eval.server.keys import Keys
from opik_eval.storage.workspaces import Workspaces, open_workspaces

_PORT = 5173


class _Options(TypedDict):
    """The options that have no place of their own."""

    with_keys: bool
    insecure: bool
    verbose: bool
    as_json: bool
    retention_days: float | None
    retention_gb: float | None
    key_events: int | None
    workspace_events: int | None
    max_body_mb: int


@click.command(
    "serve",
    epilog=examples(
        "opik-eval serve",
        "opik-eval serve --store file:runs.db --port 8080",
        "opik-eval serve --host 0.0.0.0 --auth",
    ),
)
@click.option(
    "--store",
    "--storage",
    "store",
    metavar="TARGET",
    help="Where the data lives, such as file:runs.db; default: what the settings say.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Interface to listen on.")
@click.option(
    "--port", default=_PORT, show_default=True, type=click.IntRange(0, 65535), help="0 = any free."
)
@click.option("--auth", "with_keys", is_flag=True, help="Demand API keys.")
@click.option("--insecure", is_flag=True, help="Listen beyond this machine without API keys.")
@click.option("--verbose", is_flag=True, help="Log every request, as lines of JSON.")
@click.option(
    "--retention-days",
    type=click.FloatRange(0, min_open=True),
    help="Delete traces that began longer ago.",
)
@click.option(
    "--retention-gb",
    type=click.FloatRange(0, min_open=True),
    help="Delete the oldest traces of a workspace that takes more than this.",
)
@click.option(
    "--key-events",
    type=click.IntRange(1),
    help="Records that one key may send in a minute; Opik's cloud has 10000.",
)
@click.option(
    "--workspace-events",
    type=click.IntRange(1),
    help="Records that a workspace takes in a minute; Opik's cloud has 5000.",
)
@click.option(
    "--max-body-mb",
    default=64,
    show_default=True,
    type=click.IntRange(1),
    help="Largest body of a request, decompressed.",
)
@click.option("--json", "as_json", is_flag=True, help="Say where the server is as a line of JSON.")
def serve_command(store: str | None, host: str, port: int, **options: Unpack[_Options]) -> None:
    """Run a tracing server that Opik's clients and opik-eval itself can log to.

    Data is in one file, the one that other commands use unless --store names another. Ctrl-C stops
    the server once it has answered what it has accepted.
    """
    try:
        from opik_eval.server import running, serving
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the server needs a package that is not installed: {error.name}",
            remedy="pip install 'opik-eval[server]'",
        ) from error
    if not (running.is_loopback(host) or options["with_keys"] or options["insecure"]):
        raise ConfigError(
            f"--host {host} lets other machines in, and without API keys they may read and "
            "change everything",
            remedy="add --auth to demand keys, or --insecure if the network is trusted",
        )
    _log_to_stderr(verbose=options["verbose"])
    settings = serving.ServerSettings(
        max_body_bytes=options["max_body_mb"] * serving.MEBIBYTE,
        key_events_per_minute=options["key_events"],
        workspace_events_per_minute=options["workspace_events"],
    )
    retention = serving.Retention(days=options["retention_days"], gigabytes=options["retention_gb"])
    workspaces = open_workspaces(store)
    try:
        listener = running.listen(host, port)
        _announce(listener.url, workspaces, options)
        serving.serve(
            workspaces, listener, settings, with_keys=options["with_keys"], retention=retention
        )
    finally:
        workspaces.close()


def _announce(url: str, workspaces: Workspaces, options: _Options) -> None:
    location = workspaces.location
    if options["as_json"]:
        show_json({"url": url, "store": location})
        return
    click.echo(f"opik-eval serves {location} at {url}")
    click.echo(f"opik SDK:   export OPIK_URL_OVERRIDE={url}/api/")
    click.echo(f"opik-eval:  export OPIK_EVAL_STORAGE={url}/api")
    if options["with_keys"] and all(key.revoked_at for key in Keys(workspaces.control).list()):
        click.echo("There are no keys yet; make one with: opik-eval keys create NAME")
    click.echo("Ctrl-C stops it.")


def _log_to_stderr(*, verbose: bool) -> None:
    """Send the server's log to standard error as lines of JSON."""
    from opik_eval.server.access_log import JsonFormatter

    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    for name in ("opik_eval.server", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO if verbose else logging.WARNING)
    logging.getLogger("opik_eval.server.audit").setLevel(logging.INFO)
