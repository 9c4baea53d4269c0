"""Parameters of ``FewShotBayesianOptimizer``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opik_optimizer.algorithms.few_shot_bayesian.choosing import Form
from opik_optimizer.algorithms.few_shot_bayesian.pool import Source
from opik_optimizer.errors import SettingsError

FORMS: Mapping[str, tuple[Form, ...]] = {
    "auto": ("messages", "text"),
    "messages": ("messages",),
    "text": ("text",),
}
SOURCES: Mapping[str, tuple[Source, ...]] = {
    "auto": ("label", "own"),
    "labels": ("label",),
    "own": ("own",),
}


@dataclass(frozen=True, kw_only=True)
class FewShotOptions:
    """Parameters of ``FewShotBayesianOptimizer``; see there."""

    min_examples: int = 2
    max_examples: int = 8
    enable_columnar_selection: bool = True
    enable_diversity: bool = True
    enable_multivariate_tpe: bool = True
    enable_optuna_pruning: bool = True
    form: str = "auto"
    answers: str = "auto"
    answer_column: str | None = None
    answer_template: str | Sequence[str] = "{answer}"
    bootstrap_items: int | None = None
    pool_size: int = 200
    max_characters: int = 2000
    prompt_name: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.min_examples <= self.max_examples:
            raise SettingsError(
                f"min_examples={self.min_examples!r} and max_examples={self.max_examples!r}",
                remedy="choose 1 <= min_examples <= max_examples",
            )
        for name, known in (("form", FORMS), ("answers", SOURCES)):
            if getattr(self, name) not in known:
                raise SettingsError(
                    f"{name}={getattr(self, name)!r} is unknown", remedy=f"use one of {[*known]}"
                )
        if self.pool_size < 1 or self.max_characters < 1 or (self.bootstrap_items or 0) < 0:
            raise SettingsError("pool_size, max_characters and bootstrap_items must be positive")
        if not self.wordings or not all("{answer}" in text for text in self.wordings):
            raise SettingsError(
                f"answer_template={self.answer_template!r} does not show the answer",
                remedy='write {answer} where it belongs, as in "Label: {answer}"',
            )

    @property
    def wordings(self) -> tuple[str, ...]:
        """The answer templates."""
        given = self.answer_template
        return (given,) if isinstance(given, str) else tuple(given)


__all__ = ["FORMS", "SOURCES", "FewShotOptions"]
