"""From an optimize file to prompt, metric and optimizer."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import opik_optimizer
from opik_eval.cli.execution import load_dataset, load_metric, located
from opik_eval.errors import ConfigError
from opik_optimizer.budget import Budget
from opik_optimizer.objective import MetricObjective, ObservedObjective
from opik_optimizer.optimizer import BaseOptimizer
from opik_optimizer.prompt import ChatPrompt

if TYPE_CHECKING:
    from opik_eval.models.base import Model
    from opik_eval.storage.base import Storage
    from opik_optimizer.cli.optimize_file import Entry, OptimizeFile, ReferencePart
    from opik_optimizer.optimizer import OptimizerKeywords
    from opik_optimizer.settings import OptimizeOptions


@dataclass(frozen=True)
class Assembly:
    """What an optimize file stands for.

    Args:
        file: The file.
        storage: Where everything is kept.
        is_quiet: Show no progress.
    """

    file: OptimizeFile
    storage: Storage
    is_quiet: bool

    def prompt(self, reference: ReferencePart | None = None) -> ChatPrompt:
        """Return the initial prompt, or one to compare with.

        Raises:
            ConfigError: It is malformed.
        """
        messages = self.file.prompt if reference is None else reference.prompt or self.file.prompt
        extra = {} if reference is None else reference.model_parameters
        with located(self.file.origin, "prompt"):
            return ChatPrompt(
                name=self.file.name,
                user=messages if isinstance(messages, str) else None,
                messages=None if isinstance(messages, str) else messages,
                model=self._model(),
                model_parameters={**self.file.model_parameters, **extra},
            )

    def dataset(self) -> object:
        """Return what optimizers learn from."""
        return load_dataset(self.file.dataset, self.storage, self.file.origin, "dataset")

    def objective(self) -> ObservedObjective:
        """Return what is maximised, with what is noted beside it.

        Raises:
            ConfigError: There is no such metric.
        """
        mapping, origin = self.file.key_mapping, self.file.origin
        metric = MetricObjective(load_metric(self.file.metric, origin, "metric"), mapping)
        observed = [
            MetricObjective(load_metric(entry, origin, "observe", index), mapping)
            for index, entry in enumerate(self.file.observe)
        ]
        with located(origin, "observe"):
            return ObservedObjective(metric, observed)

    def optimizer(self) -> BaseOptimizer:
        """Return the optimizer, a chain if there are several.

        Raises:
            ConfigError: There is no such optimizer, or it does not take these arguments.
        """
        common: OptimizerKeywords = {
            "name": self.file.name,
            "seed": self.file.seed,
            "n_threads": self.file.n_threads,
            "verbose": 0 if self.is_quiet else 1,
        }
        stages = [
            _optimizer(entry, common, self.file, index)
            for index, entry in enumerate(self.file.optimizers)
        ]
        if len(stages) == 1:
            return stages[0]
        with located(self.file.origin, "shares"):
            return opik_optimizer.Chain(
                stages, shares=self.file.shares, patience=self.file.patience, **common
            )

    def options(self) -> OptimizeOptions:
        """Return the options of ``optimize_prompt``."""
        file = self.file
        options = cast("OptimizeOptions", file.options.model_dump(exclude_none=True))
        if file.validation_dataset is not None:
            options["validation_dataset"] = load_dataset(
                file.validation_dataset, self.storage, file.origin, "validation_dataset"
            )
        if isinstance(file.holdout, str):
            options["holdout"] = load_dataset(file.holdout, self.storage, file.origin, "holdout")
        elif file.holdout is not None:
            options["holdout"] = file.holdout
        if file.budget is not None:
            options["budget"] = Budget(**file.budget.model_dump())
        options["storage"] = self.storage
        options["experiment_config"] = {
            "optimize_file": file.model_dump(mode="json", exclude_defaults=True)
        }
        return options

    def _model(self) -> str | Model | None:
        if self.file.api_base is None:
            return self.file.model
        from opik_eval.models.client import get_model

        with located(self.file.origin, "model"):
            return get_model(self.file.model, api_base=self.file.api_base)


def _optimizer(
    entry: Entry, common: OptimizerKeywords, file: OptimizeFile, index: int
) -> BaseOptimizer:
    place = ("optimizers", index)
    named: Mapping[str, Mapping[str, object] | None]
    named = {entry: None} if isinstance(entry, str) else entry
    if len(named) != 1:
        raise ConfigError(
            f"{file.origin.at(*place)}: names {len(named)} optimizers in one entry",
            remedy="write one list entry for each optimizer",
        )
    ((name, arguments),) = named.items()
    with located(file.origin, *place):
        try:
            keywords = cast("OptimizerKeywords", {**common, **(arguments or {})})
            return _class_of(name)(**keywords)
        except TypeError as error:
            raise ConfigError(str(error), remedy="see docs/algorithms/ for its arguments") from (
                error
            )


def _class_of(name: str) -> type[BaseOptimizer]:
    """Return the optimizer of a name, or of ``package.module:Class``."""
    module, _, attribute = name.partition(":")
    known = [each for each in opik_optimizer.__all__ if each.endswith("Optimizer")] + ["HRPO"]
    if not attribute and name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
        raise ConfigError(f"there is no optimizer {name!r}; {hint}")
    try:
        found = getattr(importlib.import_module(module), attribute) if attribute else None
        found = found or getattr(opik_optimizer, name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"cannot load {name!r}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, BaseOptimizer)):
        raise ConfigError(f"{name!r} is no optimizer")
    return found


__all__ = ["Assembly"]
