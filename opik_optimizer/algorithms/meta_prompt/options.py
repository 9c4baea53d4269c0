"""The parameters of ``MetaPromptOptimizer``."""

from __future__ import annotations

from dataclasses import dataclass

from opik_optimizer.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class MetaPromptOptions:
    """The algorithm's own parameters; see ``MetaPromptOptimizer``."""

    prompts_per_round: int = 2
    races_per_round: int = 1
    num_task_examples: int = 24
    history_size: int = 8
    use_hall_of_fame: bool = True
    hall_of_fame_size: int = 10
    pattern_extraction_interval: int = 2
    synthesis_prompts: int = 1
    no_improvement_rounds: int | None = None

    def __post_init__(self) -> None:
        least = {
            "prompts_per_round": 1,
            "races_per_round": 1,
            "num_task_examples": 0,
            "history_size": 0,
            "hall_of_fame_size": 2,
            "pattern_extraction_interval": 1,
            "synthesis_prompts": 0,
        }
        for name, bound in least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < bound:
                raise SettingsError(f"{name}={value!r} must be a whole number of at least {bound}")
