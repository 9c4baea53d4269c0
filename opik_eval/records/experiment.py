"""Experiments and their items."""

from __future__ import annotations

from opik_eval.records.base import Record, UtcDatetime
from opik_eval.records.score import ItemScore
from opik_eval.records.trace import ErrorInfo


class Experiment(Record):
    """One evaluation of one task on one dataset.

    Attributes:
        config: The user's ``experiment_config``, untouched.
        run: What the engine needs to resume: plan, seed, versions, statistics of the run.
        type: ``regular``, ``trial``, ``mini-batch``.
        status: ``running``, ``completed``, ``stopped`` (by a limit or the user), ``failed``.
        experiment_scores: Scores of the whole experiment by name.
    """

    id: str
    name: str | None = None
    dataset_id: str | None = None
    dataset_name: str | None = None
    dataset_version_id: str | None = None
    project_name: str | None = None
    type: str | None = None
    status: str | None = None
    optimization_id: str | None = None
    evaluation_method: str | None = None
    config: dict[str, object] | None = None
    run: dict[str, object] | None = None
    tags: tuple[str, ...] | None = None
    prompt_version_ids: tuple[str, ...] | None = None
    experiment_scores: dict[str, float] | None = None
    created_at: UtcDatetime | None = None
    last_updated_at: UtcDatetime | None = None


class ExperimentItem(Record):
    """One finished (item, trial) of an experiment.

    Attributes:
        trial_id: 0 .. trial_count-1.
        resume_key: Content key of (item content, task, trial, metrics); equal key = same work.
        error_info: The task's exception, if it raised; then there are no scores.
        cost_usd: Cost of the model calls made inside the task; ``None`` = unknown.
        unpriced_calls: Model calls of the task whose price is unknown.
    """

    id: str
    experiment_id: str
    dataset_item_id: str
    trace_id: str | None = None
    trial_id: int = 0
    resume_key: str | None = None
    project_name: str | None = None
    input: dict[str, object] | None = None
    output: object = None
    error_info: ErrorInfo | None = None
    scores: tuple[ItemScore, ...] | None = None
    task_seconds: float | None = None
    scoring_seconds: float | None = None
    usage: dict[str, int] | None = None
    cost_usd: float | None = None
    unpriced_calls: int | None = None
    created_at: UtcDatetime | None = None
    last_updated_at: UtcDatetime | None = None
