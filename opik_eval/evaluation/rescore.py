"""``evaluate_experiment``: score the stored outputs of an experiment with other metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Unpack, cast

from opik_eval.datasets.dataset import pinned_dataset
from opik_eval.engine.scoring import ScoringPlan
from opik_eval.engine.units import WorkUnit
from opik_eval.errors import ConfigError, NotFoundError
from opik_eval.evaluation.conduct import Job, conduct, stored_items
from opik_eval.evaluation.options import (
    ErrorTolerance,
    EvaluateOptions,
    RescoreOptions,
    resolve,
)
from opik_eval.evaluation.preparation import make_labels, make_scoring
from opik_eval.evaluation.selection import Selection
from opik_eval.experiments.loading import get_experiment
from opik_eval.experiments.result import EvaluationResult
from opik_eval.records import DatasetItem, ExperimentItem
from opik_eval.storage.opening import open_storage

_WITHOUT = (
    "experiment_name_prefix",
    "nb_samples",
    "dataset_item_ids",
    "dataset_filter_string",
    "dataset_sampler",
    "trial_count",
    "resume",
    "executor",
    "timeout_seconds",
)


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
        without=_WITHOUT,
        aliases={"scoring_threads": "task_threads"},
    )
    storage = open_storage(resolved.get("storage"))
    experiment = get_experiment(storage, experiment_id or experiment_name)
    scoring = make_scoring(scoring_metrics, resolved)
    if not scoring.scorers:
        raise ConfigError("scoring_metrics is empty", remedy="pass at least one metric")
    source = pinned_dataset(storage, experiment.dataset_name, experiment.dataset_version_id)
    contents = {item.id: item for item in source.records()}
    units, warnings = _units(stored_items(storage, experiment.id), contents)
    if not units:
        raise NotFoundError(
            f"experiment {experiment.name!r} has no outputs to score",
            remedy="run it first, or resume it if all of its tasks failed",
        )
    if resolved["error_tolerance"] < ErrorTolerance.ALL_SCORING_ERRORS:
        _check(scoring, units[0])
    resolved["project_name"] = resolved.get("project_name") or experiment.project_name
    return conduct(
        Job(
            storage=storage,
            selection=Selection(source, lambda: _items(units), len(units)),
            experiment=experiment,
            task=None,
            scoring=scoring,
            metrics_key="",
            labels=make_labels(experiment, "", resolved),
            options=resolved,
            units=units,
            warnings=warnings,
        )
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


def _items(units: Sequence[WorkUnit]) -> Iterator[DatasetItem]:
    return (unit.dataset_item for unit in units)


def _check(scoring: ScoringPlan, unit: WorkUnit) -> None:
    output = unit.stored.output if unit.stored else None
    scoring.check(unit.item, list(output) if isinstance(output, dict) else [])
