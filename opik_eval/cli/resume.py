"""``opik-eval resume``: finish an interrupted run."""

from __future__ import annotations

from typing import cast

import click

from opik_eval.cli.exits import code_for
from opik_eval.cli.output import common_options, result_as_dict, show_json
from opik_eval.cli.run_file import execute, parse_run
from opik_eval.errors import ConfigError
from opik_eval.experiments.loading import get_experiment
from opik_eval.storage.opening import open_storage


@click.command("resume")
@click.argument("experiment")
@common_options
def resume_command(experiment: str, storage: str | None, as_json: bool) -> int:  # noqa: FBT001 - click passes flags by keyword
    """Finish EXPERIMENT (id or name), if it was started with 'opik-eval run'."""
    opened = open_storage(storage)
    record = get_experiment(opened, experiment)
    content = (record.config or {}).get("run_file")
    if not isinstance(content, dict):
        raise ConfigError(
            f"experiment {record.name!r} was not started with 'opik-eval run', so its task is "
            "not known here",
            remedy="call evaluate_resume(experiment_id, task, metrics) in Python",
        )
    run = parse_run(cast("dict[str, object]", content), f"experiment {record.name!r}")
    result = execute(run, storage=opened, resume=record.id, verbose=0 if as_json else 1)
    if as_json:
        show_json(result_as_dict(result))
    return code_for(result)
