"""``opik-eval show``: one experiment."""

from __future__ import annotations

import click

from opik_eval.cli.output import common_options, result_as_dict, show_json, show_text
from opik_eval.experiments.loading import load_result
from opik_eval.experiments.render import result_text
from opik_eval.storage.opening import open_storage


@click.command("show")
@click.argument("experiment")
@common_options
def show_command(experiment: str, storage: str | None, as_json: bool) -> None:  # noqa: FBT001 - click passes flags by keyword
    """Show the result of EXPERIMENT (id or name)."""
    result = load_result(open_storage(storage), experiment)
    if as_json:
        show_json(result_as_dict(result))
    else:
        show_text(lambda width, ascii_only: result_text(result, width=width, ascii_only=ascii_only))
