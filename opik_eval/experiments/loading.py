"""From the store back to a result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

from opik_eval.errors import ConfigError, NotFoundError
from opik_eval.experiments.case import TestCase, TestResult
from opik_eval.experiments.result import EvaluationResult
from opik_eval.metrics.base import ScoreResult
from opik_eval.records import DatasetItem, Experiment, ExperimentItem, FeedbackScore
from opik_eval.storage.base import Storage


def get_experiment(storage: Storage, id_or_name: str) -> Experiment:
    """Return the one experiment of that id or name.

    Raises:
        NotFoundError: There is none.
        ConfigError: Several have that name.
    """
    found = storage.find_experiment(id_or_name)
    if found is not None:
        return found
    named = list(storage.list_experiments(name=id_or_name, newest_first=True))
    if not named:
        raise NotFoundError(
            f"there is no experiment with the id or name {id_or_name!r} in {storage.location}",
            remedy="'opik-eval list' shows the experiments of a store",
        )
    if len(named) > 1:
        shown = ", ".join(record.id for record in named[:5])
        raise ConfigError(
            f"{len(named)} experiments in {storage.location} are called {id_or_name!r}",
            remedy=f"pass an id; newest first: {shown}",
        )
    return named[0]


def load_result(storage: Storage, experiment_id_or_name: str) -> EvaluationResult:
    """Return the result of a stored experiment.

    Items come in the order of the dataset version that was evaluated, trials side by side. Scores
    that people or other programs added to the traces appear beside those of the metrics; where
    several authors gave one score, as their mean. Directions, timing and warnings are those that
    the run left in ``Experiment.run``.

    Args:
        storage: Any store.
        experiment_id_or_name: An id, or a name that only one experiment has.

    Raises:
        NotFoundError: There is no such experiment.
        ConfigError: Several experiments have that name.
    """
    experiment = get_experiment(storage, experiment_id_or_name)
    items = list(storage.list_experiment_items(experiment.id))
    contents = _dataset_items(storage, experiment, {item.dataset_item_id for item in items})
    places = {identifier: place for place, identifier in enumerate(contents)}
    # Items that left the dataset come last, by id.
    last = len(places)
    items.sort(key=lambda i: (places.get(i.dataset_item_id, last), i.dataset_item_id, i.id))
    items = _with_distinct_trials(items)
    added = _added_scores(storage, items)
    results = [
        _test_result(item, contents.get(item.dataset_item_id), added.get(item.trace_id or "", []))
        for item in (completed_by_trace(storage, item) for item in items)
    ]
    run = experiment.run or {}
    scores = experiment.experiment_scores or {}
    return EvaluationResult(
        experiment_id=experiment.id,
        dataset_id=experiment.dataset_id,
        experiment_name=experiment.name,
        test_results=results,
        trial_count=max((result.trial_id + 1 for result in results), default=1),
        experiment_scores=[ScoreResult(name, value) for name, value in scores.items()],
        status=experiment.status or "completed",
        stop_reason=_text(run.get("stop_reason")),
        total_seconds=_number(run.get("total_seconds")),
        storage_location=storage.location,
        warnings=_texts(run.get("warnings")),
        higher_is_better=_directions(run.get("higher_is_better")),
    )


def _dataset_items(
    storage: Storage, experiment: Experiment, wanted: set[str]
) -> dict[str, DatasetItem]:
    """Return the wanted items in dataset order; none where the dataset is gone."""
    dataset_id = experiment.dataset_id
    if dataset_id is None:
        return {}
    versions = storage.list_dataset_versions(dataset_id)
    number = next((v.number for v in versions if v.id == experiment.dataset_version_id), None)
    try:
        items = storage.list_dataset_items(dataset_id, version=number)
        return {item.id: item for item in items if item.id in wanted}
    except NotFoundError:
        return {}


def _with_distinct_trials(items: Sequence[ExperimentItem]) -> list[ExperimentItem]:
    """Order trials, so that no two of an item have one number.

    Of several runs of one trial by the engine (items with ``resume_key``) the newest counts. Items
    of other writers, which may not number trials, are numbered by age.
    """
    groups: dict[str, list[ExperimentItem]] = {}
    newest = {(item.dataset_item_id, item.trial_id): item.id for item in items if item.resume_key}
    for item in items:
        if item.resume_key is None or newest[item.dataset_item_id, item.trial_id] == item.id:
            groups.setdefault(item.dataset_item_id, []).append(item)
    ordered: list[ExperimentItem] = []
    for trials in groups.values():
        trials.sort(key=lambda item: (item.trial_id, item.id))
        if len({item.trial_id for item in trials}) == len(trials):
            ordered += trials
        else:
            ordered += (item.model_copy(update={"trial_id": n}) for n, item in enumerate(trials))
    return ordered


def _added_scores(
    storage: Storage, items: Sequence[ExperimentItem]
) -> dict[str, list[ScoreResult]]:
    """Return, by trace, the feedback scores that no metric of the item gave."""
    known = {
        item.trace_id: {score.name for score in item.scores or ()}
        for item in items
        if item.trace_id is not None
    }
    if not known:
        return {}
    given: dict[tuple[str, str], list[FeedbackScore]] = {}
    for score in storage.list_feedback_scores("trace", list(known)):
        if score.name not in known[score.entity_id]:
            given.setdefault((score.entity_id, score.name), []).append(score)
    added: dict[str, list[ScoreResult]] = {}
    for (trace_id, name), scores in given.items():
        value = math.fsum(score.value for score in scores) / len(scores)
        last = scores[-1]
        added.setdefault(trace_id, []).append(
            ScoreResult(name, value, last.reason, last.category_name)
        )
    return added


def completed_by_trace(storage: Storage, item: ExperimentItem) -> ExperimentItem:
    """Return an item that only links to a trace with the trace's input, output and error."""
    if item.trace_id is None or item.output is not None or item.error_info is not None:
        return item
    trace = storage.find_trace(item.trace_id)
    if trace is None:
        return item
    update: dict[str, object] = {"output": trace.output, "error_info": trace.error_info}
    if item.input is None and isinstance(trace.input, dict):
        update["input"] = trace.input
    return item.model_copy(update=update)


def _test_result(
    item: ExperimentItem, dataset_item: DatasetItem | None, added: Sequence[ScoreResult]
) -> TestResult:
    if dataset_item is None:
        content: Mapping[str, object] = item.input or {}
    else:
        content = {"id": dataset_item.id, **dataset_item.data}
    return TestResult(
        test_case=TestCase(
            trace_id=item.trace_id,
            dataset_item_id=item.dataset_item_id,
            task_output=_mapping(item.output),
            dataset_item_content=content,
            dataset_item=dataset_item,
        ),
        score_results=[ScoreResult(**dict(score)) for score in item.scores or ()] + [*added],
        trial_id=item.trial_id,
        task_execution_time=item.task_seconds,
        scoring_time=item.scoring_seconds,
        error=item.error_info,
        usage=item.usage,
        cost_usd=item.cost_usd,
        unpriced_calls=item.unpriced_calls or 0,
    )


def _mapping(output: object) -> Mapping[str, object] | None:
    if output is None or isinstance(output, Mapping):
        return output
    return {"output": output}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: object) -> list[str]:
    return [str(part) for part in value] if isinstance(value, list | tuple) else []


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _directions(value: object) -> dict[str, bool | None]:
    return cast("dict[str, bool | None]", dict(value)) if isinstance(value, Mapping) else {}
