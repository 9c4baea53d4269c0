"""From a caller's arguments to a job: what can be wrong is found here, before any call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from opik_eval.config import settings
from opik_eval.datasets.dataset import as_row
from opik_eval.engine.fingerprint import fingerprint_of_metrics, fingerprint_of_task
from opik_eval.engine.runner import RunLabels
from opik_eval.engine.scorers import prepare_scorers
from opik_eval.engine.scoring import ScoringPlan
from opik_eval.engine.surroundings import changed, surroundings_of
from opik_eval.engine.task import Task, check_task, name_of, output_keys
from opik_eval.errors import ConfigError, DatasetError, NotFoundError
from opik_eval.evaluation.job import Job, earlier_of, late_target
from opik_eval.evaluation.options import ErrorTolerance, EvaluateOptions
from opik_eval.evaluation.selection import Selection, resolve_dataset, select_items
from opik_eval.ids import new_id
from opik_eval.records import Experiment, utc_now
from opik_eval.storage.base import Storage

RUN_SCHEMA = 1


def prepare(
    storage: Storage,
    dataset: object,
    task: Callable[..., object],
    metrics: Sequence[object] | None,
    options: EvaluateOptions,
    *,
    config: Mapping[str, object] | None = None,
    check: Callable[[Mapping[str, object]], None] | None = None,
    is_fatal: Callable[[BaseException], bool] | None = None,
) -> Job:
    """Check everything and return the job; nothing has been called and nothing is spent yet.

    Args:
        storage: Where to.
        dataset: See ``evaluate``.
        task: The task.
        metrics: Metrics.
        options: Resolved options.
        config: What the door itself adds to the experiment's configuration.
        check: Examines the first item, before the experiment is made.
        is_fatal: See ``Job``.
    """
    checked = check_task(task)
    scoring = make_scoring(metrics, options)
    selection = select_items(resolve_dataset(dataset, storage), options)
    first = as_row(next(selection.items()))
    if check is not None:
        check(first)
    if options["error_tolerance"] < ErrorTolerance.ALL_SCORING_ERRORS:
        scoring.check(first, output_keys(checked))
    plan = Plan(
        task=fingerprint_of_task(checked),
        metrics=fingerprint_of_metrics(
            [*(metrics or ()), *(options.get("scoring_functions") or ())]
        ),
        surroundings=surroundings_of(checked),
    )
    found = find_resumed(storage, options, selection)
    earlier = earlier_of(storage, found, plan.metrics) if found else None
    warnings = _changes(found, plan)
    # The last step: from here on the experiment exists, and ``run_job`` says how it ended.
    experiment = write_experiment(storage, selection, checked, plan, options, config or {}, found)
    return Job(
        storage=storage,
        selection=selection,
        experiment=experiment,
        task=checked,
        task_key=plan.task,
        scoring=scoring,
        labels=make_labels(experiment, plan.metrics, options, storage=storage, selection=selection),
        options=options,
        earlier=earlier,
        late=late_target(storage, options, dataset),
        is_fatal=is_fatal,
        warnings=warnings,
    )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run is recognised by.

    Attributes:
        task: Fingerprint of the task.
        metrics: Fingerprint of everything that scores.
        surroundings: Fingerprints of what the task reads from its module, by name.
    """

    task: str
    metrics: str
    surroundings: Mapping[str, str]


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
    experiment: Experiment | None,
    metrics_key: str,
    options: EvaluateOptions,
    *,
    storage: Storage,
    selection: Selection,
) -> RunLabels:
    """Return what the records of a run carry."""
    optimization = options.get("optimization_id")
    source = selection.source.dataset.storage
    return RunLabels(
        experiment_id=experiment.id if experiment else None,
        project_name=(experiment and experiment.project_name) or _project(options, selection),
        metrics_key=metrics_key,
        source="optimization" if optimization else "experiment",
        tags=(optimization,) if optimization else None,
        keep_input=source is not storage and source.location != storage.location,
    )


def write_experiment(
    storage: Storage,
    selection: Selection,
    task: Task,
    plan: Plan,
    options: EvaluateOptions,
    config: Mapping[str, object],
    found: Experiment | None,
) -> Experiment:
    """Store and return the record of a new experiment, or of ``found``, which goes on."""
    version = selection.source.version
    now = utc_now()
    prompts = linked_prompts(options)
    project = options.get("project_name") or (found and found.project_name)
    experiment = Experiment(
        id=found.id if found else new_id(),
        name=(found and found.name) or options.get("experiment_name") or _name(task, options, now),
        dataset_id=selection.source.dataset.id,
        dataset_name=selection.source.dataset.name,
        dataset_version_id=version.id if version else None,
        project_name=project or _project(options, selection),
        type=options["experiment_type"],
        status="running",
        optimization_id=options.get("optimization_id"),
        evaluation_method="dataset",
        config=_config(options, config, prompts),
        run={**((found and found.run) or {}), **_run_description(selection, task, plan, options)},
        tags=tuple(options.get("experiment_tags") or ()) or None,
        prompt_version_ids=tuple(
            str(version) for prompt in prompts if (version := getattr(prompt, "version_id", None))
        )
        or None,
        created_at=(found and found.created_at) or now,
        last_updated_at=now,
    )
    storage.write([experiment])
    return experiment


def linked_prompts(options: EvaluateOptions) -> list[object]:
    """Return the prompts that the options link to the experiment."""
    single = options.get("prompt")
    return [*([single] if single is not None else []), *(options.get("prompts") or ())]


def find_resumed(
    storage: Storage, options: EvaluateOptions, selection: Selection
) -> Experiment | None:
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
    return experiment


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


def _project(options: EvaluateOptions, selection: Selection) -> str:
    of_dataset = selection.source.dataset.record.project_name
    return options.get("project_name") or of_dataset or settings().project_name


def _changes(found: Experiment | None, plan: Plan) -> list[str]:
    """Return a warning where a task that is taken for the same may not do the same any more."""
    run = (found and found.run) or {}
    before = run.get("surroundings")
    if run.get("task") != plan.task or not isinstance(before, Mapping):
        return []
    names = changed(before, plan.surroundings)
    if not names:
        return []
    return [
        f"the task reads {', '.join(names)}, which changed since this experiment was started; "
        "results from before are kept. To run all items anew, leave resume out"
    ]


def _name(task: Task, options: EvaluateOptions, now: datetime) -> str:
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
    selection: Selection, task: Task, plan: Plan, options: EvaluateOptions
) -> dict[str, object]:
    version = selection.source.version
    return {
        "schema": RUN_SCHEMA,
        "task_name": name_of(task),
        "task": plan.task,
        "surroundings": dict(plan.surroundings),
        "metrics": plan.metrics,
        "trial_count": options["trial_count"],
        "items": selection.count,
        "item_ids": cast("object", selection.item_ids),
        "dataset_version": version.number if version else None,
        "seed": options.get("seed"),
    }
