"""``opik-eval run``: run an evaluation that is written down as YAML."""

from __future__ import annotations

from pathlib import Path

import click

from opik_eval.cli.execution import conclude, execute
from opik_eval.cli.output import common_options, examples, open_store
from opik_eval.cli.run_file import read_run_file


@click.command(
    "run",
    epilog=examples("opik-eval run configs/echo.yaml", "opik-eval run configs/echo.yaml --resume"),
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--resume", is_flag=True, help="Go on with the last experiment of this name, if there is one."
)
@common_options
def run_command(file: Path, resume: bool, storage: str | None, as_json: bool) -> int:
    """Run the evaluation that FILE describes in YAML (docs/cli.md; examples in configs/)."""
    run = read_run_file(file)
    with open_store(storage) as opened:
        result = execute(run, storage=opened, resume=resume or None, as_json=as_json)
    return conclude(result, as_json=as_json)
