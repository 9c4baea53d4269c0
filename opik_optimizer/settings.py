"""The one signature of ``optimize_prompt``, spelled once, and the checked settings it becomes."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypedDict, cast

from opik_optimizer.budget import Budget
from opik_optimizer.errors import SettingsError

if TYPE_CHECKING:
    from opik_eval.storage.base import Storage

ROLES = ("system", "user", "assistant")
DEFAULT_MAX_TRIALS = 10


class OptimizeOptions(TypedDict, total=False):
    """Keywords of ``optimize_prompt``; the names that Opik has are Opik's.

    Attributes:
        agent: What runs the prompts: an ``OptimizableAgent``, a function, or nothing for a plain
            call of the prompt's model.
        validation_dataset: Items to choose on; a part of ``dataset`` if absent.
        holdout: Items that are kept for the very end: a data set, or a share of ``dataset``; 0 or
            ``False`` = none.
        n_samples: How many items to choose on: a number, a share, ``"10%"`` or ``"all"``.
        n_samples_minibatch: How many items an algorithm looks at in one step.
        n_samples_strategy: How they are drawn; ``"random_sorted"`` alone.
        max_trials: Candidates that may be evaluated; 10, or no limit if ``budget`` is given.
        budget: Hard limits of all kinds.
        optimize_prompts: Roles whose messages may change: ``"system"``, ``"all"``, a list.
        optimize_tools: Tools whose descriptions may change: ``True`` or ``{name: bool}``.
        allow_tool_use: Let the agent call the prompt's tools.
        project_name: Project of all that is stored.
        experiment_config: Anything worth remembering of this run; stored untouched.
        optimization_id: Id of the run in the store; made from its content if absent.
        storage: A storage or a target such as ``file:runs.db``; default: what the settings say.
        callbacks: Functions of one ``Event``, or objects with ``on_event``.
        resume: Go on with what an earlier run of the same search left in the store; ``False`` =
            make everything anew.
        seed: Seed; that of the optimizer if absent.
        probe: Measure noise and headroom before spending, with about 100 metric calls: ``True``, or
            ``"stop"`` to end the run if there is nothing to gain.
        racing: Drop candidates early that are shown to be worse.
        failure_score: What counts for an item whose task or metric failed.
        guards: What proposals must keep to; see ``GuardSettings``. Roles and tools come from
            ``optimize_prompts`` and ``optimize_tools`` all the same.
        alpha: Level of the evidence that a prompt must bring to replace the initial one, in (0, 1];
            1 = the higher mean is enough.
        finalists: How many candidates meet on the holdout.
    """

    agent: object
    validation_dataset: object
    holdout: object
    n_samples: int | float | str | None
    n_samples_minibatch: int | None
    n_samples_strategy: str
    max_trials: int | None
    budget: Budget | None
    optimize_prompts: bool | str | Sequence[str]
    optimize_tools: bool | Mapping[str, bool] | None
    allow_tool_use: bool
    project_name: str | None
    experiment_config: Mapping[str, object] | None
    optimization_id: str | None
    storage: Storage | str | None
    callbacks: Sequence[object]
    resume: bool
    seed: int | None
    probe: bool | Literal["stop"]
    racing: bool
    failure_score: float | None
    guards: object
    alpha: float
    finalists: int


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions:
    """What every optimizer's constructor takes, beside what is the algorithm's own.

    Attributes:
        model: Reflection model, a name or a ``Model``; ``None`` = the default of the settings.
        model_parameters: Parameters of its calls.
        reasoning_model: Another model for what analyses and does not write prompts: the failure
            modes of HRPO, the patterns of MetaPrompt; ``model`` if absent.
        reasoning_model_parameters: Parameters of its calls.
        verbose: 0 = silent, 1 = progress and result, 2 = more.
        seed: Seed of all that is random.
        name: Name of the runs in the store.
        skip_perfect_score: End the run once ``perfect_score`` is reached.
        perfect_score: What counts as perfect.
        prompt_overrides: Texts to use in the place of the algorithm's own, by their names.
        n_threads: Items that are run at once, at most.
        proposals_in_flight: Proposals worked on at once; other numbers give other histories.
            ``None`` = up to 8, as long as the budget lasts for 8 generations of them.
    """

    model: object = None
    model_parameters: Mapping[str, object] = field(default_factory=dict)
    reasoning_model: object = None
    reasoning_model_parameters: Mapping[str, object] = field(default_factory=dict)
    verbose: int = field(default=1, compare=False)  # what is not compared is no part of a run's key
    seed: int = 42
    name: str | None = field(default=None, compare=False)
    skip_perfect_score: bool = True
    perfect_score: float = 0.95
    prompt_overrides: Mapping[str, str] = field(default_factory=dict)
    n_threads: int = field(default=12, compare=False)
    proposals_in_flight: int | None = None

    def __post_init__(self) -> None:
        _check_whole("n_threads", self.n_threads, 1)
        if self.proposals_in_flight is not None:
            _check_whole("proposals_in_flight", self.proposals_in_flight, 1)
        _check_whole("verbose", int(self.verbose), 0)
        _check_whole("seed", self.seed, None)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The checked settings of one run, as an algorithm sees them; see the two classes above.

    Attributes:
        roles: Roles whose messages may change.
        tools: Tools whose descriptions may change; ``True`` = all, ``False`` = none.
        budget: Limits, ``max_trials`` included.
    """

    budget: Budget
    roles: tuple[str, ...] = ("system",)
    tools: bool | tuple[str, ...] = False
    n_samples_minibatch: int | None = None
    allow_tool_use: bool = True
    seed: int = 42
    racing: bool = True
    alpha: float = 0.05
    finalists: int = 3
    skip_perfect_score: bool = True
    perfect_score: float = 0.95
    n_threads: int = 12
    proposals_in_flight: int | None = None
    prompt_overrides: Mapping[str, str] = field(default_factory=dict)


def check_names(given: Mapping[str, object], *, function: str) -> OptimizeOptions:
    """Return the options if all their names are known.

    Raises:
        TypeError: One is not; the text says which one may have been meant.
    """
    known = [*OptimizeOptions.__annotations__]
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, [*known, "prompt", "dataset", "metric"], n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}{hint}")
    return cast("OptimizeOptions", dict(given))


def settings_of(given: OptimizeOptions, optimizer: OptimizerOptions) -> Settings:
    """Return the checked settings of a run.

    Raises:
        SettingsError: A value makes no sense.
    """
    strategy = given.get("n_samples_strategy", "random_sorted")
    if strategy != "random_sorted":
        raise SettingsError(
            f"n_samples_strategy={strategy!r} is unknown", remedy="'random_sorted' is the only one"
        )
    alpha = given.get("alpha", 0.05)
    if not 0 < alpha <= 1:
        raise SettingsError(f"alpha={alpha!r} must be above 0 and at most 1")
    minibatch = given.get("n_samples_minibatch")
    if minibatch is not None:
        _check_whole("n_samples_minibatch", minibatch, 1)
    finalists = given.get("finalists", 3)
    _check_whole("finalists", finalists, 1)
    seed = given.get("seed")
    return Settings(
        budget=_budget(given),
        roles=roles_of(given.get("optimize_prompts", "system")),
        tools=_tools(given.get("optimize_tools")),
        n_samples_minibatch=minibatch,
        allow_tool_use=given.get("allow_tool_use", True),
        seed=optimizer.seed if seed is None else seed,
        racing=given.get("racing", True),
        alpha=alpha,
        finalists=finalists,
        skip_perfect_score=optimizer.skip_perfect_score,
        perfect_score=optimizer.perfect_score,
        n_threads=optimizer.n_threads,
        proposals_in_flight=optimizer.proposals_in_flight,
        prompt_overrides=optimizer.prompt_overrides,
    )


def roles_of(optimize_prompts: bool | str | Sequence[str]) -> tuple[str, ...]:
    """Return the roles that ``optimize_prompts`` names.

    Example:
        >>> roles_of("all"), roles_of("system"), roles_of(["user", "system"])
        (('system', 'user', 'assistant'), ('system',), ('system', 'user'))
    """
    if optimize_prompts is True or optimize_prompts == "all":
        return ROLES
    if optimize_prompts is False:
        return ()
    named = [optimize_prompts] if isinstance(optimize_prompts, str) else list(optimize_prompts)
    if unknown := [role for role in named if role not in ROLES]:
        raise SettingsError(
            f"optimize_prompts names {unknown}", remedy=f"use some of {list(ROLES)}, or 'all'"
        )
    return tuple(role for role in ROLES if role in named)


def _tools(optimize_tools: bool | Mapping[str, bool] | None) -> bool | tuple[str, ...]:
    if isinstance(optimize_tools, Mapping):
        return tuple(name for name, may_change in optimize_tools.items() if may_change)
    return bool(optimize_tools)


def _budget(given: OptimizeOptions) -> Budget:
    budget = given.get("budget")
    if budget is not None and not isinstance(budget, Budget):
        raise SettingsError(
            f"budget is a {type(budget).__name__}",
            remedy="pass opik_optimizer.Budget(metric_calls=600), for example",
        )
    default = DEFAULT_MAX_TRIALS if budget is None else budget.trials
    trials = given.get("max_trials", default)
    if trials is not None:
        _check_whole("max_trials", trials, 0)
    limits = budget or Budget()
    known = [t for t in (trials, limits.trials) if t is not None]
    return Budget(
        trials=min(known, default=None),
        metric_calls=limits.metric_calls,
        model_calls=limits.model_calls,
        tokens=limits.tokens,
        cost_usd=limits.cost_usd,
        seconds=limits.seconds,
    )


def _check_whole(name: str, value: object, least: int | None) -> None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or (least is not None and cast("int", value) < least):
        at_least = "" if least is None else f" of at least {least}"
        raise SettingsError(f"{name}={value!r} is not a whole number{at_least}")


__all__ = [
    "DEFAULT_MAX_TRIALS",
    "ROLES",
    "OptimizeOptions",
    "OptimizerOptions",
    "Settings",
    "check_names",
    "roles_of",
    "settings_of",
]
