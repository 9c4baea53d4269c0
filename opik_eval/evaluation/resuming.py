"""``evaluate_resume``: finish an experiment that was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Unpack, cast

from opik_eval.datasets.dataset import pinned_dataset
from opik_eval.evaluation.conduct import conduct
from opik_eval.evaluation.job import storage_for
from opik_eval.evaluation.options import OF_EXPERIMENT, EvaluateOptions, resolve
from opik_eval.evaluation.preparation import prepare
from opik_eval.experiments.loading import get_experiment
from opik_eval.experiments.result import EvaluationResult
from opik_eval.records import Experiment

_WITHOUT = (
    *OF_EXPERIMENT,
    "nb_samples",
    "dataset_item_ids",
    "dataset_filter_string",
    "dataset_sampler",
    "trial_count",
    "seed",
    "optimization_id",
    "resume",
)


def evaluate_resume(
    experiment_id: str,
    task: Callable[..., object],
    scoring_metrics: Sequence[object] | None = None,
    **options: Unpack[EvaluateOptions],
) -> EvaluationResult:
    """Finish an experiment: run what is missing or failed, keep what is done.

    Items, dataset version and trials are those of the interrupted run. Results whose task and
    metrics have not changed are taken over as they are; where only metrics changed or failed, only
    they run.

    Args:
        experiment_id: Id, or a name that only one experiment has.
        task: The same task.
        scoring_metrics: The same metrics, or others.
        **options: See ``EvaluateOptions``, without those that define the experiment.

    Returns:
        The whole result, earlier parts included.

    Raises:
        NotFoundError: There is no such experiment.
        DatasetError: Its dataset is gone.
    """
    resolved = resolve(options, function="evaluate_resume", without=_WITHOUT)
    with storage_for(resolved) as storage:
        experiment = get_experiment(storage, experiment_id)
        source = pinned_dataset(storage, experiment.dataset_name, experiment.dataset_version_id)
        _restore(resolved, experiment)
        return conduct(prepare(storage, source, task, scoring_metrics, resolved))


def _restore(options: EvaluateOptions, experiment: Experiment) -> None:
    """Set the options that define the experiment to what they were."""
    run = experiment.run or {}
    item_ids = run.get("item_ids")
    options["trial_count"] = int(cast("int", run.get("trial_count") or 1))
    options["seed"] = cast("int | None", run.get("seed"))
    options["resume"] = experiment.id
    options["optimization_id"] = experiment.optimization_id
    options["experiment_type"] = experiment.type or options["experiment_type"]
    if isinstance(item_ids, list):
        options["dataset_item_ids"] = [str(identifier) for identifier in item_ids]
