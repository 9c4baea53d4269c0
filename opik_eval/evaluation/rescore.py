"""``evaluate_experiment``: score the stored outputs of an experiment with other metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack, cast

from opik_eval.datasets.dataset import pinned_dataset
from opik_eval.engine.scoring import ScoringPlan
from opik_eval.engine.units import WorkUnit
from opik_eval.errors import ConfigError, NotFoundError
from opik_eval.evaluation.conduct import conduct
from opik_eval.evaluation.job import Job, storage_for, stored_items
from opik_eval.evaluation.options import (
    OF_TASK,
    ErrorTolerance,
    EvaluateOptions,
    RescoreOptions,
    resolve,
)
from opik_eval.evaluation.preparation import make_labels, make_scoring
from opik_eval.evaluation.selection import Selection
from opik_eval.experiments.loading import get_experiment
from opik_eval.experiments.result import EvaluationResult
from opik_eval.records import DatasetItem, Experiment, ExperimentItem
from opik_eval.storage.base import Storage


def evaluate_experiment(
    experiment_name: str,
    scoring_metrics: Sequence[object],
    *,
    experiment_id: str | None = None,
    **options: Unpack[RescoreOptions],
) -> EvaluationResult:
    """Score the stored outputs of an experiment again; no task runs.

    New scores stand beside the old ones; a score of the same name is replaced. Items are those of
    the dataset version that the experiment was run on, whatever has become of the dataset since.

    Args:
        experiment_name: Name of the experiment; must be the only one of that name.
        scoring_metrics: Metrics.
        experiment_id: Id of the experiment; then the name is not looked at.
        **options: See ``EvaluateOptions``, without those that choose items;
            ``scoring_threads`` is another name of ``task_threads``.

    Raises:
        NotFoundError: There is no such experiment, or it has no outputs.
        ConfigError: Several experiments have that name, or there is no metric.
    """
    resolved = resolve(
        cast("EvaluateOptions", options),
        function="evaluate_experiment",
        without=OF_TASK,
        aliases={"scoring_threads": "task_threads"},
    )
    scoring = make_scoring(scoring_metrics, resolved)
    if not scoring.scorers:
        raise ConfigError("scoring_metrics is empty", remedy="pass at least one metric")
    with storage_for(resolved) as storage:
        experiment = get_experiment(storage, experiment_id or experiment_name)
        return conduct(_job(storage, experiment, scoring, resolved))


def _job(
    storage: Storage, experiment: Experiment, scoring: ScoringPlan, options: EvaluateOptions
) -> Job:
    source = pinned_dataset(storage, experiment.dataset_name, experiment.dataset_version_id)
    contents = {item.id: item for item in source.records()}
    units, warnings = _units(stored_items(storage, experiment.id), contents)
    if not units:
        raise NotFoundError(
            f"experiment {experiment.name!r} has no outputs to score",
            remedy="run it first, or resume it if all of its tasks failed",
        )
    if options["error_tolerance"] < ErrorTolerance.ALL_SCORING_ERRORS:
        _check(scoring, units[0])
    trials = 1 + max(unit.trial for unit in units)
    options["trial_count"] = trials
    selection = Selection(source, source.records, len(units))
    return Job(
        storage=storage,
        selection=selection,
        experiment=experiment,
        task=None,
        scoring=scoring,
        labels=make_labels(experiment, "", options, storage=storage, selection=selection),
        options=options,
        units=units,
        warnings=warnings,
    )


def _units(
    items: Sequence[ExperimentItem], contents: dict[str, DatasetItem]
) -> tuple[list[WorkUnit], list[str]]:
    units: list[WorkUnit] = []
    gone = 0
    order = {identifier: place for place, identifier in enumerate(contents)}
    ranked = sorted(items, key=lambda i: (order.get(i.dataset_item_id, -1), i.trial_id))
    for item in ranked:
        content = contents.get(item.dataset_item_id)
        if content is None:
            gone += 1
        elif item.output is not None and item.error_info is None:
            units.append(_unit(len(units), content, item))
    warnings = [f"{gone} items are no longer in the dataset and were left out"] if gone else []
    return units, warnings


def _unit(index: int, content: DatasetItem, item: ExperimentItem) -> WorkUnit:
    return WorkUnit(
        index=index,
        item={"id": content.id, **content.data},
        dataset_item=content,
        trial=item.trial_id,
        key=item.resume_key or "",
        stored=item,
    )


def _check(scoring: ScoringPlan, unit: WorkUnit) -> None:
    output = unit.stored.output if unit.stored else None
    scoring.check(unit.item, list(output) if isinstance(output, dict) else [])
