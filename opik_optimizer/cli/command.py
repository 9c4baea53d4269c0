"""``opik-eval optimize``: run an optimization that is written down as YAML."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from opik_eval.cli.execution import standard_output_kept, working_directory_importable
from opik_eval.cli.exits import DONE, INCOMPLETE
from opik_eval.cli.output import (
    command_line,
    common_options,
    examples,
    open_store,
    show_json,
    show_text,
)
from opik_eval.concurrency import run_sync
from opik_optimizer.cli.assembly import Assembly
from opik_optimizer.cli.holdout import INITIAL, RETURNED, HoldoutReport, score_on_holdout
from opik_optimizer.cli.optimize_file import read_optimize_file
from opik_optimizer.ground import lay_ground
from opik_optimizer.reporting import result_text
from opik_optimizer.settings import settings_of

if TYPE_CHECKING:
    from opik_eval.storage.base import Storage
    from opik_optimizer.prompt import ChatPrompt
    from opik_optimizer.result import OptimizationResult


@click.command(
    "optimize",
    epilog=examples(
        "opik-eval optimize configs/optimize_demo.yaml",
        "opik-eval optimize configs/optimize_demo.yaml --output best.json",
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--output", type=click.Path(path_type=Path), help="Write the whole result to this JSON file."
)
@click.option("--anew", is_flag=True, help="Use nothing of earlier runs of the same file.")
@common_options
def optimize_command(
    file: Path, output: Path | None, anew: bool, storage: str | None, as_json: bool
) -> int:
    """Run the optimization that FILE describes in YAML (docs/cli.md; examples in configs/).

    All that is paid for is stored as it comes. A run that was stopped, interrupted or killed goes
    on where it was if the same command is given again.
    """
    with (
        open_store(storage) as opened,
        working_directory_importable(),
        standard_output_kept(as_json),
    ):
        try:
            result, report = _optimize(file, opened, anew=anew, is_quiet=as_json)
        except KeyboardInterrupt:
            again = command_line("optimize", str(file))
            click.echo(f"all finished work is stored; go on with: {again}", err=True)
            raise
    if output is not None:
        result.save(output)
    if as_json:
        show_json(_summary(result, report))
    else:
        show_text(lambda width, _: _text(result, report, width))
    return INCOMPLETE if result.interval.failed else DONE


def _optimize(
    path: Path, storage: Storage, *, anew: bool, is_quiet: bool
) -> tuple[OptimizationResult, HoldoutReport | None]:
    file = read_optimize_file(path)
    assembly = Assembly(file, storage, is_quiet)
    optimizer, prompt = assembly.optimizer(), assembly.prompt()
    objective = assembly.objective()
    references = {name: assembly.prompt(part) for name, part in file.references.items()}
    given = assembly.options()
    given["resume"] = not anew
    settings = settings_of(given, optimizer.options)
    ground = lay_ground(
        prompt, assembly.dataset(), objective, given, limits=settings.budget, seed=settings.seed
    )
    if not is_quiet:
        click.echo("If this is stopped, the same command goes on from there.", err=True)
    result = run_sync(lambda: optimizer.optimize_on(ground, given))
    if not ground.splits.holdout:
        return result, None
    prompts = {INITIAL: prompt, **references, RETURNED: cast("ChatPrompt", result.prompt)}
    given["resume"] = True
    scored = run_sync(lambda: score_on_holdout(optimizer, ground, given, prompts))
    return result, HoldoutReport(scored, objective.name, objective.observed_names)


def _summary(result: OptimizationResult, report: HoldoutReport | None) -> dict[str, object]:
    """Return the figures of a run as JSON types, without its trials."""
    document = result.model_dump(mode="json", exclude={"rounds", "train_ids", "validation_ids"})
    del document["holdout_ids"]
    return {**document, "holdout": None if report is None else report.to_dict()}


def _text(result: OptimizationResult, report: HoldoutReport | None, width: int) -> str:
    text = result_text(result, width=width)
    return text if report is None else f"{text}\n\n{report.as_text(width=width)}"
