"""``evaluate_on_dict_items``: the engine on plain dicts, without dataset and experiment."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Unpack

from opik_eval.datasets.dataset import as_row, from_items
from opik_eval.engine.progress import Listener
from opik_eval.engine.task import check_task, output_keys
from opik_eval.evaluation.conduct import conduct
from opik_eval.evaluation.job import Job, late_target, storage_for
from opik_eval.evaluation.options import OF_EXPERIMENT, ErrorTolerance, EvaluateOptions, resolve
from opik_eval.evaluation.preparation import make_labels, make_scoring
from opik_eval.evaluation.selection import select_items
from opik_eval.experiments.result import EvaluationResult, EvaluationResultOnDictItems
from opik_eval.storage.base import Storage
from opik_eval.storage.opening import open_storage

logger = logging.getLogger("opik_eval.evaluation")

_WITHOUT = (*OF_EXPERIMENT, "experiment_scoring_functions", "resume")


def evaluate_on_dict_items(
    items: Sequence[Mapping[str, object]],
    task: Callable[..., object],
    scoring_metrics: Sequence[object] | None = None,
    **options: Unpack[EvaluateOptions],
) -> EvaluationResultOnDictItems:
    """Evaluate a task on dicts; only the traces are stored.

    Args:
        items: The items; any field names.
        task: See ``evaluate``.
        scoring_metrics: Metrics; without any the task still runs.
        **options: See ``EvaluateOptions``, without those of an experiment; ``scoring_threads`` is
            another name of ``task_threads``. ``verbose`` is 0 by default.

    Example:
        >>> from opik_eval.metrics import Equals
        >>> result = evaluate_on_dict_items(
        ...     [{"word": "a", "reference": "A"}],
        ...     lambda item: {"output": item["word"].upper()},
        ...     [Equals(case_sensitive=True)],
        ...     storage="memory:",
        ... )
        >>> result.aggregate_evaluation_scores()["equals_metric"].mean
        1.0
    """
    given: EvaluateOptions = {"verbose": 0, **options}
    resolved = resolve(
        given,
        function="evaluate_on_dict_items",
        without=_WITHOUT,
        aliases={"scoring_threads": "task_threads"},
    )
    with storage_for(resolved) as storage:
        result = run_on_items(storage, items, task, scoring_metrics, resolved)
    return EvaluationResultOnDictItems(result.test_results, result.higher_is_better)


def run_on_items(
    storage: Storage,
    items: Sequence[Mapping[str, object]],
    task: Callable[..., object],
    scoring_metrics: Sequence[object] | None,
    options: EvaluateOptions,
    *,
    listeners: Sequence[Listener] = (),
) -> EvaluationResult:
    """Run a task on dicts, and log what the user should know of the run.

    Args:
        storage: Where the traces go.
        items: The items.
        task: See ``evaluate``.
        scoring_metrics: Metrics.
        options: Resolved options.
        listeners: Hear of results once their traces are stored.
    """
    checked = check_task(task)
    scoring = make_scoring(scoring_metrics, options)
    source = from_items(items, storage=open_storage("memory:"))
    selection = select_items(source, options)
    if options["error_tolerance"] < ErrorTolerance.ALL_SCORING_ERRORS:
        scoring.check(as_row(next(selection.items())), output_keys(checked))
    result = conduct(
        Job(
            storage=storage,
            selection=selection,
            experiment=None,
            task=checked,
            scoring=scoring,
            labels=make_labels(None, "", options, storage=storage, selection=selection),
            options=options,
            late=late_target(storage, options),
            listeners=listeners,
        )
    )
    for warning in [result.stop_reason, *result.warnings]:
        if warning is not None:  # the caller's result has no place for it
            logger.warning("%s", warning)
    return result
