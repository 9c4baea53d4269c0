"""The options of all evaluation functions, spelled once."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Literal, TypedDict, cast

from opik_eval.engine.executors import check_executor
from opik_eval.engine.scoring import KeyMapping
from opik_eval.errors import ConfigError

if TYPE_CHECKING:
    from opik_eval.datasets.sampling import Sampler
    from opik_eval.experiments.result import TestResult
    from opik_eval.metrics.base import ScoreResult
    from opik_eval.models.budget import Budget
    from opik_eval.storage.base import Storage

ExperimentScoring = Callable[[list["TestResult"]], "ScoreResult | list[ScoreResult]"]
CacheMode = Literal["off", "read_write", "replay"]


class ErrorTolerance(IntEnum):
    """Which scoring errors become failed scores instead of ending the run.

    ``METRIC_ERRORS``: what a metric raises. ``ALL_SCORING_ERRORS``: missing arguments too.
    """

    METRIC_ERRORS = 10
    ALL_SCORING_ERRORS = 20


class RescoreOptions(TypedDict, total=False):
    """Keywords that scoring stored outputs shares with evaluating; see ``EvaluateOptions``."""

    scoring_functions: Sequence[Callable[..., object]] | None
    project_name: str | None
    experiment_scoring_functions: Sequence[ExperimentScoring] | None
    verbose: int
    task_threads: int
    scoring_key_mapping: KeyMapping | None
    error_tolerance: ErrorTolerance | int
    storage: Storage | str | None
    max_errors: int | None
    budget: Budget | None
    cache: CacheMode
    scoring_threads: int


class EvaluateOptions(RescoreOptions, total=False):
    """Keywords of the evaluation functions; the names that Opik has are Opik's.

    Attributes:
        scoring_functions: Functions ``f(dataset_item, task_outputs[, task_span])``.
        experiment_name: Name of the experiment; made from prefix, task and time if absent.
        experiment_name_prefix: Start of a made name.
        project_name: Project of every trace and span of the run.
        experiment_config: Anything worth remembering of this run; stored untouched.
        experiment_tags: Tags of the experiment.
        experiment_scoring_functions: Functions of all results that give scores of the experiment.
        prompt: One prompt to link to the experiment.
        prompts: Prompts to link to the experiment.
        verbose: 0 = silent, 1 = progress and results, 2 = with a table of statistics.
        nb_samples: Evaluate that many items: the first ones, or chosen by ``seed`` if it is given.
        dataset_item_ids: Evaluate these items.
        dataset_filter_string: Evaluate the items that match, such as ``data.intent = "refund"``.
        dataset_sampler: Object whose ``sample(items)`` chooses what to evaluate.
        trial_count: Runs per item.
        task_threads: Tasks in flight, at most (``scoring_threads`` where no task runs).
        scoring_key_mapping: Metric argument -> key of item or output, or a function of both.
        error_tolerance: See ``ErrorTolerance``.
        storage: A storage or a target such as ``file:runs.db``; default: what the settings say.
        resume: ``True`` = go on with the last experiment of this ``experiment_name``; or an
            experiment's id or name.
        max_errors: Task errors after which the run stops; ``None`` = never.
        timeout_seconds: Limit for the task of one item.
        budget: Hard limit on model calls made inside tasks and judges.
        cache: Reuse of model replies: ``off``, ``read_write`` or ``replay`` (fail on a miss).
        seed: Seed of whatever is random; stored with the experiment.
        executor: ``None`` = threads and coroutines; ``loky``, ``dask`` or ``ray`` = processes.
        optimization_id: Optimization that this experiment is a trial of.
        experiment_type: ``regular``, ``trial`` or ``mini-batch``.
        blueprint_id: Agent configuration to remember in ``experiment_config``.
    """

    experiment_name: str | None
    experiment_name_prefix: str | None
    experiment_config: Mapping[str, object] | None
    experiment_tags: Sequence[str] | None
    prompt: object
    prompts: Sequence[object] | None
    nb_samples: int | None
    dataset_item_ids: Sequence[str] | None
    dataset_filter_string: str | None
    dataset_sampler: Sampler | None
    trial_count: int
    resume: bool | str | None
    timeout_seconds: float | None
    seed: int | None
    executor: str | None
    optimization_id: str | None
    experiment_type: str
    blueprint_id: str | None


DEFAULTS: EvaluateOptions = {
    "verbose": 1,
    "trial_count": 1,
    "task_threads": 16,
    "error_tolerance": ErrorTolerance.METRIC_ERRORS,
    "cache": "off",
    "experiment_type": "regular",
}


def resolve(
    given: EvaluateOptions,
    *,
    function: str,
    without: Sequence[str] = (),
    aliases: Mapping[str, str] | None = None,
) -> EvaluateOptions:
    """Return complete, checked options.

    Args:
        given: What the caller passed.
        function: Name of the function, for messages.
        without: Options that this function does not have.
        aliases: Other names this function has for options, such as ``scoring_threads``.

    Raises:
        TypeError: An option is unknown; the text suggests what may have been meant.
        ConfigError: A value makes no sense.
    """
    renames = aliases or {}
    named = {renames.get(name, name): value for name, value in given.items()}
    known = [name for name in _names() if name not in without]
    for name in named:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}{hint}")
    options = cast("EvaluateOptions", {**DEFAULTS, **named})
    _check_numbers(options)
    _check_choice(options)
    check_executor(
        options.get("executor"),
        has_budget=options.get("budget") is not None,
        has_cache=options["cache"] != "off",
    )
    return options


def _names() -> list[str]:
    names = (*RescoreOptions.__annotations__, *EvaluateOptions.__annotations__)
    return [name for name in dict.fromkeys(names) if name != "scoring_threads"]


def _check_numbers(options: EvaluateOptions) -> None:
    rules: Sequence[tuple[str, object, float]] = (
        ("trial_count", options["trial_count"], 1),
        ("task_threads", options["task_threads"], 1),
        ("nb_samples", options.get("nb_samples"), 1),
        ("max_errors", options.get("max_errors"), 0),
    )
    for name, value, least in rules:
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigError(
                f"{name}={value!r} is not a whole number of at least {least:g}",
                remedy=f"leave {name} out for the default, or pass {least:g} or more",
            )
    timeout = options.get("timeout_seconds")
    if timeout is not None and not timeout > 0:
        raise ConfigError(
            f"timeout_seconds={timeout!r} is not positive", remedy="pass a time in seconds"
        )


def _check_choice(options: EvaluateOptions) -> None:
    ids = options.get("dataset_item_ids")
    if ids is not None and not list(ids):
        raise ConfigError(
            "dataset_item_ids is empty, so there is nothing to evaluate",
            remedy="leave it out to evaluate the whole dataset, or pass ids",
        )
    chosen = [name for name in ("dataset_item_ids", "dataset_sampler") if options.get(name)]
    if len(chosen) > 1:
        raise ConfigError(
            f"{' and '.join(chosen)} both choose items", remedy="pass only one of them"
        )
    if options["cache"] not in ("off", "read_write", "replay"):
        raise ConfigError(
            f"cache={options['cache']!r} is unknown",
            remedy="use 'off', 'read_write' or 'replay'",
        )
    if not isinstance(options["error_tolerance"], int):
        raise ConfigError(
            f"error_tolerance={options['error_tolerance']!r} is unknown",
            remedy="use a member of ErrorTolerance",
        )
