"""``evaluate`` and ``aevaluate``: run a task on a dataset and score what comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Unpack, cast

from opik_eval.errors import NotFoundError
from opik_eval.evaluation.conduct import aconduct, conduct
from opik_eval.evaluation.job import storage_for
from opik_eval.evaluation.options import EvaluateOptions, resolve
from opik_eval.evaluation.preparation import prepare
from opik_eval.experiments.result import EvaluationResult


def evaluate(
    dataset: object,
    task: Callable[..., object],
    scoring_metrics: Sequence[object] | None = None,
    **options: Unpack[EvaluateOptions],
) -> EvaluationResult:
    """Evaluate a task on a dataset.

    Each item goes to the task as a dict of the user's fields and the item's ``id``; the dict that
    the task returns is laid over the item, and every metric takes from both the arguments it names.
    A task that raises costs its item and nothing more. Every result is on disk before it is
    counted; after a crash or Ctrl-C, ``resume`` goes on where the run ended.

    Args:
        dataset: A dataset or part of one, the name of a stored one, a list of dicts, a path
            (JSONL, JSON, CSV, Parquet), a data frame, a Hugging Face dataset or ``hf:NAME:SPLIT``.
        task: A function or coroutine function: item in, mapping out.
        scoring_metrics: Metrics; see ``opik_eval.metrics``.
        **options: See ``EvaluateOptions``.

    Returns:
        Results in dataset order, with statistics.

    Raises:
        ConfigError: An option makes no sense.
        DatasetError: There is nothing to evaluate.
        MissingArgumentError: A metric lacks an argument.
        UnavailableError: The store failed.

    Example:
        >>> from opik_eval import evaluate
        >>> from opik_eval.metrics import Equals
        >>> result = evaluate(
        ...     dataset=[{"question": "2 + 2", "reference": "4"}],
        ...     task=lambda item: {"output": str(sum(map(int, item["question"].split("+"))))},
        ...     scoring_metrics=[Equals()],
        ...     storage="memory:",
        ...     verbose=0,
        ... )
        >>> result.test_results[0].score_results[0].value
        1.0
    """
    resolved = resolve(options, function="evaluate")
    with storage_for(resolved, dataset) as storage:
        return conduct(prepare(storage, dataset, task, scoring_metrics, resolved))


async def aevaluate(
    dataset: object,
    task: Callable[..., object],
    scoring_metrics: Sequence[object] | None = None,
    **options: Unpack[EvaluateOptions],
) -> EvaluationResult:
    """Do what ``evaluate`` does on the running event loop, where asynchronous tasks share clients.

    Args:
        dataset: See ``evaluate``.
        task: See ``evaluate``.
        scoring_metrics: See ``evaluate``.
        **options: See ``EvaluateOptions``.
    """
    resolved = resolve(options, function="aevaluate")
    with storage_for(resolved, dataset) as storage:
        return await aconduct(prepare(storage, dataset, task, scoring_metrics, resolved))


def evaluate_optimization_trial(
    optimization_id: str,
    dataset: object,
    task: Callable[..., object],
    scoring_metrics: Sequence[object] | None = None,
    **options: object,
) -> EvaluationResult:
    """Evaluate a task as a trial of a stored optimization; see ``evaluate``.

    Args:
        optimization_id: The optimization, as ``Opik.create_optimization`` returned it.
        dataset: See ``evaluate``.
        task: See ``evaluate``.
        scoring_metrics: See ``evaluate``.
        **options: See ``EvaluateOptions``; ``experiment_type`` is ``trial`` if absent.

    Raises:
        NotFoundError: The store has no such optimization.
    """
    given = {"experiment_type": "trial", **options, "optimization_id": optimization_id}
    resolved = resolve(cast("EvaluateOptions", given), function="evaluate_optimization_trial")
    with storage_for(resolved, dataset) as storage:
        if storage.find_optimization(optimization_id) is None:
            raise NotFoundError(
                f"there is no optimization {optimization_id!r} in {storage.location}",
                remedy="start one with Opik(...).create_optimization(...)",
            )
        return conduct(prepare(storage, dataset, task, scoring_metrics, resolved))
