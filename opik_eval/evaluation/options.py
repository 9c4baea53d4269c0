"""The options of all evaluation functions, spelled once."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Literal, TypedDict, cast

from opik_eval.engine.executors import check_executor
from opik_eval.engine.scoring import KeyMapping
from opik_eval.errors import ConfigError
from opik_eval.models.budget import Budget
from opik_eval.models.context import model_context

if TYPE_CHECKING:
    from opik_eval.datasets.sampling import Sampler
    from opik_eval.experiments.result import TestResult
    from opik_eval.metrics.base import ScoreResult
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
        verbose: 0 = silent, 1 = progress and results, 2 = with a second table of statistics.
        nb_samples: Evaluate that many items: the first ones, or chosen by ``seed`` if it is given.
        dataset_item_ids: Evaluate these items.
        dataset_filter_string: Evaluate the items that match, such as ``data.intent = "refund"``.
        dataset_sampler: Object whose ``sample(items)`` chooses what to evaluate.
        trial_count: Runs per item.
        task_threads: Tasks in flight, at most (``scoring_threads`` where no task runs); 16, or the
            number of processors where ``executor`` names processes.
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
    max_errors: int | None
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


OF_EXPERIMENT = (
    "experiment_name",
    "experiment_name_prefix",
    "experiment_config",
    "experiment_tags",
    "experiment_type",
    "blueprint_id",
    "prompt",
    "prompts",
)
"""Options that describe an experiment, and mean nothing where none is made."""

OF_TASK = tuple(sorted(set(EvaluateOptions.__annotations__) - set(RescoreOptions.__annotations__)))
"""Options that mean nothing where no task runs."""

_LISTS = (
    "scoring_functions",
    "experiment_scoring_functions",
    "experiment_tags",
    "prompts",
    "dataset_item_ids",
)
_TYPES = ("regular", "trial", "mini-batch")


def resolve(
    given: EvaluateOptions,
    *,
    function: str,
    without: Sequence[str] = (),
    aliases: Mapping[str, str] | None = None,
) -> EvaluateOptions:
    """Return complete, checked options.

    Args:
        given: What the caller passed; ``None`` stands for the default.
        function: Name of the function, for messages.
        without: Options that this function does not have.
        aliases: Other names this function has for options, such as ``scoring_threads``.

    Raises:
        TypeError: An option is unknown; the text suggests what may have been meant.
        ConfigError: A value makes no sense.
    """
    named = _named(given, function, without, aliases or {})
    options = cast("EvaluateOptions", {**DEFAULTS, **named})
    if options.get("executor") is not None and "task_threads" not in named:
        options["task_threads"] = os.cpu_count() or 1
    _check_numbers(options)
    _check_choice(options)
    _check_kinds(options)
    context = model_context()
    check_executor(
        options.get("executor"),
        has_budget=options.get("budget") is not None or bool(context.budgets),
        has_cache=options["cache"] != "off" or context.cache is not None,
    )
    return options


def _named(
    given: Mapping[str, object], function: str, without: Sequence[str], aliases: Mapping[str, str]
) -> dict[str, object]:
    names = (*RescoreOptions.__annotations__, *EvaluateOptions.__annotations__)
    known = [name for name in dict.fromkeys(names) if name not in without]
    named: dict[str, object] = {}
    for given_name, value in given.items():
        name = aliases.get(given_name, given_name)
        if name not in known or name == "scoring_threads":
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise TypeError(f"{function}() got an unexpected keyword argument {given_name!r}{hint}")
        if name in named:
            raise TypeError(f"{function}() got both {name!r} and another name of it")
        if value is None:
            continue
        named[name] = _as_list(name, value) if name in _LISTS else value
    return named


def _as_list(name: str, value: object) -> list[object]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise ConfigError(f"{name} is a {type(value).__name__}, not a list", remedy="pass a list")
    return list(value)


def _check_numbers(options: EvaluateOptions) -> None:
    rules: Sequence[tuple[str, object, int]] = (
        ("verbose", options["verbose"], 0),
        ("trial_count", options["trial_count"], 1),
        ("task_threads", options["task_threads"], 1),
        ("nb_samples", options.get("nb_samples"), 1),
        ("max_errors", options.get("max_errors"), 0),
    )
    for name, value, least in rules:
        is_flag = isinstance(value, bool) and name != "verbose"
        if value is not None and (is_flag or not isinstance(value, int) or value < least):
            raise ConfigError(
                f"{name}={value!r} is not a whole number of at least {least}",
                remedy=f"leave {name} out for the default, or pass {least} or more",
            )
    timeout = options.get("timeout_seconds")
    if timeout is not None and not (isinstance(timeout, int | float) and timeout > 0):
        raise ConfigError(
            f"timeout_seconds={timeout!r} is not positive", remedy="pass a time in seconds"
        )


def _check_choice(options: EvaluateOptions) -> None:
    if options.get("dataset_item_ids") == []:
        raise ConfigError(
            "dataset_item_ids is empty, so there is nothing to evaluate",
            remedy="leave it out to evaluate the whole dataset, or pass ids",
        )
    chosen = [name for name in ("dataset_item_ids", "dataset_sampler") if options.get(name)]
    if len(chosen) > 1:
        raise ConfigError(
            f"{' and '.join(chosen)} both choose items", remedy="pass only one of them"
        )
    choices: Sequence[tuple[str, object, Sequence[object]]] = (
        ("cache", options["cache"], ("off", "read_write", "replay")),
        ("experiment_type", options["experiment_type"], _TYPES),
        ("error_tolerance", options["error_tolerance"], tuple(ErrorTolerance)),
    )
    for name, value, allowed in choices:
        if isinstance(value, bool) or value not in allowed:
            raise ConfigError(
                f"{name}={value!r} is unknown", remedy=f"use one of {[*map(_shown, allowed)]}"
            )


def _check_kinds(options: EvaluateOptions) -> None:
    kinds: Sequence[tuple[str, object, tuple[type, ...], str]] = (
        ("budget", options.get("budget"), (Budget,), "Budget(max_requests=100)"),
        ("experiment_config", options.get("experiment_config"), (Mapping,), "a dict"),
        ("scoring_key_mapping", options.get("scoring_key_mapping"), (Mapping,), "a dict"),
        ("experiment_name", options.get("experiment_name"), (str,), "a text"),
        ("resume", options.get("resume"), (bool, str), "True, or an id or name"),
    )
    for name, value, allowed, wanted in kinds:
        if value is not None and not isinstance(value, allowed):
            raise ConfigError(f"{name} is a {type(value).__name__}", remedy=f"pass {wanted}")


def _shown(choice: object) -> object:
    return choice.name if isinstance(choice, ErrorTolerance) else choice
