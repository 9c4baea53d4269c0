"""``opik-eval sync``: what was evaluated on this machine, sent to a server later."""

from __future__ import annotations

from pathlib import Path

import click

from opik_eval.cli.exits import DONE, INCOMPLETE
from opik_eval.cli.output import examples, open_store, show_json
from opik_eval.config import settings
from opik_eval.serialization import content_hash
from opik_eval.storage.http_connection import Connection, normalised_url
from opik_eval.storage.http_native import is_native
from opik_eval.storage.sync import SyncReport, sync_store


@click.command("sync", epilog=examples("opik-eval sync runs.db http://localhost:5173/api"))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.argument("url")
@click.option("--fresh-ids/--keep-ids", default=None, help="Ids for servers that take no old ones.")
@click.option("--again", is_flag=True, help="Send also what has arrived before.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of text.")
def sync_command(file: Path, url: str, fresh_ids: bool | None, again: bool, as_json: bool) -> int:
    """Send everything in FILE to the tracing server at URL.

    Doing so again sends what is new or changed; an interrupted sync goes on where it stopped. What
    has arrived is noted in FILE.sync. Key and workspace are those of the settings. By default ids
    are kept on an opik-eval server and, where older than twelve hours, replaced on an Opik server.
    """
    base = normalised_url(url)
    with open_store(f"file:{file}", create=False) as source, open_store(base) as target:
        report = sync_store(
            source,
            target,
            _journal(file, base),
            fresh_ids=_wants_fresh(base) if fresh_ids is None else fresh_ids,
            again=again,
        )
    _report(report, base, as_json=as_json)
    return DONE if report.complete else INCOMPLETE


def _journal(file: Path, url: str) -> Path:
    name = content_hash([url, settings().workspace])[:16]
    return file.with_name(f"{file.name}.sync") / f"{name}.db"


def _wants_fresh(url: str) -> bool:
    known = settings()
    connection = Connection(url, workspace=known.workspace, api_key=known.api_key)
    try:
        return not connection.retried(lambda: is_native(connection))
    finally:
        connection.close()


def _report(report: SyncReport, url: str, *, as_json: bool) -> None:
    flush = report.flush
    if as_json:
        show_json(
            {
                "sent": dict(report.sent),
                "skipped": report.skipped,
                "pending": flush.pending,
                "rejected": list(flush.rejected),
            }
        )
        return
    counts = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in report.sent.items())
    click.echo(f"sent {counts or 'nothing'} to {url}; {report.skipped} had arrived before")
    if flush.pending:
        why = f" ({flush.problem})" if flush.problem else ""
        click.echo(f"{flush.pending} records wait on disk{why}; the same command goes on", err=True)
    for reason in flush.rejected:
        click.echo(f"rejected: {reason}", err=True)
