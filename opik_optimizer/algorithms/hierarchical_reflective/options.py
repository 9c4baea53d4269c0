"""The parameters of ``HierarchicalReflectiveOptimizer``."""

from __future__ import annotations

from dataclasses import dataclass

from opik_optimizer.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class HierarchicalOptions:
    """The algorithm's own parameters; see ``HierarchicalReflectiveOptimizer``."""

    batch_size: int = 8
    analysed_items: int = 48
    modes_per_round: int = 5
    max_retries: int = 1
    mode_items: int = 6
    guarded_items: int = 4
    convergence_rounds: int = 5

    def __post_init__(self) -> None:
        least = {
            "batch_size": 1,
            "analysed_items": 1,
            "modes_per_round": 1,
            "max_retries": 0,
            "mode_items": 1,
            "guarded_items": 0,
            "convergence_rounds": 1,
        }
        for name, bound in least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < bound:
                raise SettingsError(f"{name}={value!r} must be a whole number of at least {bound}")
