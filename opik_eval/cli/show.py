"""``opik-eval show``: one experiment."""

from __future__ import annotations

from dataclasses import asdict

import click

from opik_eval.cli.failures import failure_lines, failures_of
from opik_eval.cli.output import (
    common_options,
    examples,
    open_store,
    result_as_dict,
    show_json,
    show_text,
)
from opik_eval.experiments.loading import load_result
from opik_eval.experiments.render import result_text


@click.command("show", epilog=examples("opik-eval show demo-instruction"))
@click.argument("experiment")
@click.option(
    "--failures",
    "most",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    metavar="N",
    help="Show the first N failed items; all are counted.",
)
@common_options
def show_command(experiment: str, most: int, storage: str | None, as_json: bool) -> None:
    """Show the scores of EXPERIMENT (id or name), and the items that failed."""
    with open_store(storage, create=False) as opened:
        result = load_result(opened, experiment)
    failures = failures_of(result)
    if as_json:
        listed = [asdict(failure) for failure in failures[:most]]
        show_json({**result_as_dict(result), "failures_total": len(failures), "failures": listed})
        return

    def render(width: int, ascii_only: bool) -> str:
        text = result_text(result, width=width, ascii_only=ascii_only)
        below = "\n".join(failure_lines(failures, most, width))
        return f"{text}\n\n{below}" if below else text

    show_text(render)
