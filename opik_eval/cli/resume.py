"""``opik-eval resume``: finish an interrupted run."""

from __future__ import annotations

import click

from opik_eval.cli.execution import conclude, execute
from opik_eval.cli.output import common_options, examples, open_store
from opik_eval.cli.run_file import RunFile, parse_run
from opik_eval.datasets.dataset import pinned_dataset
from opik_eval.errors import ConfigError
from opik_eval.experiments.loading import get_experiment
from opik_eval.records import Experiment


@click.command("resume", epilog=examples("opik-eval resume echo"))
@click.argument("experiment")
@common_options
def resume_command(experiment: str, storage: str | None, as_json: bool) -> int:
    """Finish EXPERIMENT (id or name), if it was started with 'opik-eval run'.

    What is done stands; what is missing or failed runs, on the dataset version of the first run.
    """
    with open_store(storage, create=False) as opened:
        record = get_experiment(opened, experiment)
        run = _run_file_of(record)
        dataset = pinned_dataset(opened, record.dataset_name, record.dataset_version_id)
        result = execute(run, storage=opened, resume=record.id, dataset=dataset, as_json=as_json)
    return conclude(result, as_json=as_json)


def _run_file_of(record: Experiment) -> RunFile:
    content = (record.config or {}).get("run_file")
    if not isinstance(content, dict):
        raise ConfigError(
            f"experiment {record.name!r} was not started with 'opik-eval run', so its task is "
            "not known here",
            remedy="call opik_eval.evaluate_resume(experiment_id, task, metrics) in Python",
        )
    return parse_run(content, f"run file of experiment {record.name!r}")
