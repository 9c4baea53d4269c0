"""From a caller's arguments to a job: what can be wrong is found here, before any call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from opik_eval.config import settings
from opik_eval.datasets.dataset import as_row
from opik_eval.engine.resume import Earlier
from opik_eval.engine.runner import RunLabels
from opik_eval.engine.scoring import ScoringPlan, prepare_scorers
from opik_eval.engine.task import Task, check_task, name_of, output_keys
from opik_eval.errors import ConfigError, DatasetError, NotFoundError
from opik_eval.evaluation.conduct import Job, earlier_of, make_scoring_key, make_task_key
from opik_eval.evaluation.options import ErrorTolerance, EvaluateOptions
from opik_eval.evaluation.selection import Selection, resolve_dataset, select_items
from opik_eval.ids import new_id
from opik_eval.records import Experiment, utc_now
from opik_eval.storage.base import Storage
from opik_eval.storage.opening import open_storage

RUN_SCHEMA = 1


@dataclass(frozen=True)
class Found:
    """An experiment to go on with."""

    experiment: Experiment
    earlier: Earlier


def prepare(
    dataset: object,
    task: Callable[..., object],
    metrics: Sequence[object] | None,
    options: EvaluateOptions,
    *,
    config: Mapping[str, object] | None = None,
    check: Callable[[Mapping[str, object]], None] | None = None,
) -> Job:
    """Check everything and return the job; nothing has been called and nothing is spent yet.

    Args:
        dataset: See ``evaluate``.
        task: The task.
        metrics: Metrics.
        options: Resolved options.
        config: What the door itself adds to the experiment's configuration.
        check: Examines the first item, before the experiment is made.
    """
    checked = check_task(task)
    scoring = make_scoring(metrics, options)
    storage = open_storage(options.get("storage"))
    source = resolve_dataset(dataset, storage)
    if options.get("storage") is None and dataset is source:
        storage = source.dataset.storage  # a dataset is evaluated in the store it came from
    selection = select_items(source, options)
    first = as_row(next(selection.items()))
    if check is not None:
        check(first)
    if options["error_tolerance"] < ErrorTolerance.ALL_SCORING_ERRORS:
        scoring.check(first, output_keys(checked))
    metrics_key = make_scoring_key(metrics or (), options.get("scoring_functions") or ())
    found = find_resumed(storage, options, selection, metrics_key)
    experiment = (
        found.experiment
        if found
        else create_experiment(storage, selection, checked, metrics_key, options, config or {})
    )
    return Job(
        storage=storage,
        selection=selection,
        experiment=experiment,
        task=checked,
        task_key=make_task_key(checked),
        scoring=scoring,
        metrics_key=metrics_key,
        labels=make_labels(experiment, metrics_key, options),
        options=options,
        earlier=found.earlier if found else None,
    )


def make_scoring(metrics: Sequence[object] | None, options: EvaluateOptions) -> ScoringPlan:
    """Read the metrics' signatures."""
    if metrics is not None and not isinstance(metrics, list | tuple):
        raise ConfigError(
            f"scoring_metrics is a {type(metrics).__name__}, not a list",
            remedy="write scoring_metrics=[metric]",
        )
    scorers = prepare_scorers(metrics or (), options.get("scoring_functions") or ())
    return ScoringPlan(scorers, options.get("scoring_key_mapping") or {})


def make_labels(
    experiment: Experiment | None, metrics_key: str, options: EvaluateOptions
) -> RunLabels:
    """Return what the records of a run carry."""
    optimization = options.get("optimization_id")
    return RunLabels(
        experiment_id=experiment.id if experiment else None,
        project_name=options.get("project_name") or settings().project_name,
        metrics_key=metrics_key,
        source="optimization" if optimization else "experiment",
        tags=(optimization,) if optimization else None,
    )


def create_experiment(
    storage: Storage,
    selection: Selection,
    task: Task,
    metrics_key: str,
    options: EvaluateOptions,
    config: Mapping[str, object],
) -> Experiment:
    """Store and return the record of a new experiment."""
    version = selection.source.version
    now = utc_now()
    prompts = linked_prompts(options)
    experiment = Experiment(
        id=new_id(),
        name=options.get("experiment_name") or _make_name(task, options, now),
        dataset_id=selection.source.dataset.id,
        dataset_name=selection.source.dataset.name,
        dataset_version_id=version.id if version else None,
        project_name=options.get("project_name") or settings().project_name,
        type=options["experiment_type"],
        status="running",
        optimization_id=options.get("optimization_id"),
        evaluation_method="dataset",
        config=_config(options, config, prompts),
        run=_run_description(selection, task, metrics_key, options),
        tags=tuple(options.get("experiment_tags") or ()) or None,
        prompt_version_ids=tuple(
            str(version) for prompt in prompts if (version := getattr(prompt, "version_id", None))
        )
        or None,
        created_at=now,
        last_updated_at=now,
    )
    storage.write([experiment])
    return experiment


def linked_prompts(options: EvaluateOptions) -> list[object]:
    """Return the prompts that the options link to the experiment."""
    single = options.get("prompt")
    return [*([single] if single is not None else []), *(options.get("prompts") or ())]


def find_resumed(
    storage: Storage, options: EvaluateOptions, selection: Selection, metrics_key: str
) -> Found | None:
    """Return the experiment that ``resume`` names, if there is one to go on with.

    Raises:
        NotFoundError: It names one that does not exist.
        DatasetError: It is of another dataset.
        ConfigError: ``resume=True`` without ``experiment_name``.
    """
    resume = options.get("resume")
    if not resume:
        return None
    experiment = _find_experiment(storage, resume, options.get("experiment_name"))
    if experiment is None:
        return None
    dataset = selection.source.dataset
    if experiment.dataset_id != dataset.id:
        raise DatasetError(
            f"experiment {experiment.name!r} is of dataset {experiment.dataset_name!r}, "
            f"not of {dataset.name!r}",
            remedy="resume with the dataset it was started on, or leave resume out",
        )
    return Found(experiment, earlier_of(storage, experiment, metrics_key))


def _find_experiment(storage: Storage, resume: bool | str, name: str | None) -> Experiment | None:
    if resume is True:
        if name is None:
            raise ConfigError(
                "resume=True needs experiment_name, to know which experiment is meant",
                remedy="pass experiment_name, or resume='<experiment id>'",
            )
        return next(storage.list_experiments(name=name, newest_first=True), None)
    wanted = str(resume)
    found = storage.find_experiment(wanted) or next(
        storage.list_experiments(name=wanted, newest_first=True), None
    )
    if found is None:
        raise NotFoundError(
            f"there is no experiment {wanted!r} in {storage.location} to resume",
            remedy="list experiments with 'opik-eval list'",
        )
    return found


def _make_name(task: Task, options: EvaluateOptions, now: datetime) -> str:
    prefix = options.get("experiment_name_prefix") or name_of(task).strip("<>_") or "evaluation"
    return f"{prefix}-{now:%Y%m%d-%H%M%S}-{new_id()[-4:]}"


def _config(
    options: EvaluateOptions, added: Mapping[str, object], prompts: Sequence[object]
) -> dict[str, object] | None:
    config = {**(options.get("experiment_config") or {})}
    for key, value in added.items():
        config.setdefault(key, value)
    if prompts:
        texts = {
            str(getattr(prompt, "name", index)): getattr(prompt, "prompt", str(prompt))
            for index, prompt in enumerate(prompts)
        }
        config.setdefault("prompts", texts)
    if options.get("blueprint_id"):
        config.setdefault("agent_configuration", {"_blueprint_id": options["blueprint_id"]})
    return config or None


def _run_description(
    selection: Selection, task: Task, metrics_key: str, options: EvaluateOptions
) -> dict[str, object]:
    version = selection.source.version
    return {
        "schema": RUN_SCHEMA,
        "task_name": name_of(task),
        "task": make_task_key(task),
        "metrics": metrics_key,
        "trial_count": options["trial_count"],
        "items": selection.count,
        "item_ids": cast("object", selection.item_ids),
        "dataset_version": version.number if version else None,
        "seed": options.get("seed"),
    }
