"""The parameters of GEPA, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from opik_optimizer.algorithms.gepa.minibatch import BatchSampler
from opik_optimizer.algorithms.gepa.pool import FrontierType, ParentChoice
from opik_optimizer.errors import SettingsError

Acceptance = Literal["strict_improvement", "improvement_or_equal"]
ComponentSelector = Literal["round_robin", "all"]


@dataclass(frozen=True, kw_only=True)
class GepaOptions:
    """The algorithm's own parameters; see ``GepaOptimizer``."""

    candidate_selection_strategy: ParentChoice = "adaptive"
    greedy_share: float = 0.7
    frontier_type: FrontierType = "instance"
    reflection_minibatch_size: int = 8
    siblings: int = 3
    batch_sampler: BatchSampler = "fresh_failures"
    module_selector: ComponentSelector = "all"
    acceptance_criterion: Acceptance = "strict_improvement"
    use_merge: bool = True
    max_merge_invocations: int = 5
    no_improvement_iterations: int | None = None

    def __post_init__(self) -> None:
        choices = {
            "candidate_selection_strategy": get_args(ParentChoice),
            "frontier_type": get_args(FrontierType),
            "batch_sampler": get_args(BatchSampler),
            "module_selector": get_args(ComponentSelector),
            "acceptance_criterion": get_args(Acceptance),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise SettingsError(
                    f"{name}={getattr(self, name)!r} is unknown",
                    remedy=f"use one of {', '.join(known)}",
                )
        if not 0 <= self.greedy_share <= 1:
            raise SettingsError(f"greedy_share={self.greedy_share!r} must lie in [0, 1]")
        least = {
            "reflection_minibatch_size": 1,
            "siblings": 1,
            "max_merge_invocations": 0,
            "no_improvement_iterations": 1,
        }
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise SettingsError(f"{name}={value!r} must be at least {bound}")
