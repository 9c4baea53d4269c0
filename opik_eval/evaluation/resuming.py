"""``evaluate_resume``: finish an experiment that was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Unpack, cast

from opik_eval.datasets.dataset import pinned_dataset
from opik_eval.evaluation.conduct import conduct
from opik_eval.evaluation.options import EvaluateOptions, resolve
from opik_eval.evaluation.preparation import prepare
from opik_eval.experiments.loading import get_experiment
from opik_eval.experiments.result import EvaluationResult
from opik_eval.storage.opening import open_storage

_WITHOUT = (
    "experiment_name",
    "experiment_name_prefix",
    "experiment_config",
    "nb_samples",
    "dataset_item_ids",
    "dataset_filter_string",
    "dataset_sampler",
    "trial_count",
    "seed",
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
    storage = open_storage(resolved.get("storage"))
    experiment = get_experiment(storage, experiment_id)
    run = experiment.run or {}
    source = pinned_dataset(storage, experiment.dataset_name, experiment.dataset_version_id)
    item_ids = run.get("item_ids")
    resolved["trial_count"] = int(cast("int", run.get("trial_count") or 1))
    resolved["resume"] = experiment.id
    resolved["project_name"] = resolved.get("project_name") or experiment.project_name
    resolved["storage"] = storage
    if isinstance(item_ids, list):
        resolved["dataset_item_ids"] = [str(identifier) for identifier in item_ids]
    return conduct(prepare(source, task, scoring_metrics, resolved))
