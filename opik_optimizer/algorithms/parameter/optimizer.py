"""``ParameterOptimizer``."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Unpack

from typing_extensions import override

from opik_optimizer.algorithms.parameter.search import ParameterOptions, ParameterSearch
from opik_optimizer.optimizer import BaseOptimizer, OptimizerKeywords

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opik_eval.models.base import Model
    from opik_optimizer.algorithms.parameter.search import Measure
    from opik_optimizer.result import OptimizationResult
    from opik_optimizer.session import Session
    from opik_optimizer.settings import OptimizeOptions
    from opik_optimizer.space import ParameterSearchSpace

    Space = ParameterSearchSpace | Mapping[str, object] | Sequence[object]


class ParameterKeywords(OptimizerKeywords, total=False):
    """Keywords of ``ParameterOptimizer``."""

    search_space: Space | None
    default_n_trials: int
    local_search_ratio: float
    local_search_scale: float
    minimize: Sequence[Measure]


class ParameterOptimizer(BaseOptimizer):
    """Finds parameters of the model calls, or the model; the texts of the prompt stay.

    The current values come first. Then Optuna's TPE searches the whole space, and at last a narrow
    part around the best. What the prompt says beside the searched parameters is kept.

    Args:
        model: Not used; every optimizer has it.
        search_space: A ``ParameterSearchSpace``, or what one is made of; ``temperature`` and
            ``top_p`` by default.
        default_n_trials: Trials of ``optimize_parameter`` where no limit is given.
        local_search_ratio: Share of the trials around the best, 0 to 1.
        local_search_scale: Width of the ranges there, as a share of the whole ones, above 0.
        minimize: What to keep low beside the score: ``cost_usd``, ``seconds``, ``tokens``, each the
            mean per item. The result's details then have the ``front`` of what is not beaten in
            all of them; what is returned is still the best score. With ``seconds`` a search
            depends on the clock, and two runs differ.
        **options: See ``OptimizerOptions``.

    Raises:
        SettingsError: A value makes no sense.

    Source:
        Bergstra et al. 2011 (TPE); Akiba et al. 2019 (Optuna).

    Example:
        >>> optimizer = ParameterOptimizer(
        ...     search_space={"temperature": {"type": "float", "min": 0, "max": 1.5}}
        ... )
        >>> optimizer.parameters.space.describe()
        {'temperature': 'float from 0 to 1.5'}
    """

    def __init__(
        self, model: str | Model | None = None, **options: Unpack[ParameterKeywords]
    ) -> None:
        self.parameters, common = self.own_options(ParameterOptions, options)
        super().__init__(model, **common)

    def optimize_parameter(
        self,
        prompt: object,
        dataset: object,
        metric: object,
        parameter_space: Space | None = None,
        **options: Unpack[OptimizeOptions],
    ) -> OptimizationResult:
        """Do what ``optimize_prompt`` does; Opik's name for it.

        Args:
            prompt: See ``optimize_prompt``.
            dataset: See ``optimize_prompt``.
            metric: See ``optimize_prompt``.
            parameter_space: Takes the place of the constructor's ``search_space``.
            **options: See ``OptimizeOptions``.
        """
        chosen = self
        if parameter_space is not None:
            chosen = copy.copy(self)
            chosen.parameters = replace(self.parameters, search_space=parameter_space)
        if "max_trials" not in options and options.get("budget") is None:
            options["max_trials"] = self.parameters.default_n_trials
        return chosen.optimize_prompt(prompt, dataset, metric, **options)

    @override
    async def search(self, session: Session) -> None:
        await ParameterSearch(session, self.parameters).run()
