"""``opik-eval run``: run an evaluation that is written down as YAML."""

from __future__ import annotations

from pathlib import Path

import click

from opik_eval.cli.exits import code_for
from opik_eval.cli.output import common_options, result_as_dict, show_json
from opik_eval.cli.run_file import execute, read_run_file


@click.command("run")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--resume", is_flag=True, help="Go on with the last experiment of this name.")
@common_options
def run_command(file: Path, resume: bool, storage: str | None, as_json: bool) -> int:  # noqa: FBT001 - click passes flags by keyword
    """Run the evaluation that FILE describes (see configs/)."""
    result = execute(
        read_run_file(file), storage=storage, resume=resume or None, verbose=0 if as_json else 1
    )
    if as_json:
        show_json(result_as_dict(result))
    return code_for(result)
