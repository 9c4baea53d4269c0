"""``MetaPromptOptimizer``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from typing_extensions import override

from opik_optimizer.algorithms.meta_prompt.options import MetaPromptOptions
from opik_optimizer.algorithms.meta_prompt.search import MetaPromptSearch
from opik_optimizer.optimizer import BaseOptimizer, OptimizerKeywords
from opik_optimizer.templates import TemplateLibrary

if TYPE_CHECKING:
    from opik_eval.models.base import Model
    from opik_optimizer.session import Session


class MetaPromptKeywords(OptimizerKeywords, total=False):
    """Keywords of ``MetaPromptOptimizer``."""

    prompts_per_round: int
    races_per_round: int
    num_task_examples: int
    history_size: int
    use_hall_of_fame: bool
    hall_of_fame_size: int
    pattern_extraction_interval: int
    synthesis_prompts: int
    no_improvement_rounds: int | None


class MetaPromptOptimizer(BaseOptimizer):
    """Meta-prompting: a model writes several prompts a round, from what was tried and what failed.

    A round shows the reflection model the present best prompt, the scored history in ascending
    order, how the best prompt answers train items (inputs, outputs, expected answers, reasons), and
    what the best prompts have in common. Its prompts are screened on those train items; the best of
    them race the incumbent on the validation sample.

    Args:
        model: Reflection model: a name, a ``Model``, or ``None`` for the default of the settings.
        prompts_per_round: Prompts written at once.
        races_per_round: How many of them may go on to the validation sample.
        num_task_examples: Train items that are shown and screened on; ``n_samples_minibatch`` of a
            run goes before it.
        history_size: Scored prompts that are shown.
        use_hall_of_fame: Learn from the best prompts of the run: patterns and syntheses.
        hall_of_fame_size: How many of them.
        pattern_extraction_interval: Rounds from one extraction of patterns to the next; the first
            takes place as soon as two prompts are scored.
        synthesis_prompts: Prompts a round that join the best ones; 0 = none.
        no_improvement_rounds: Rounds without a new best after which the search ends.
        **options: See ``OptimizerOptions``.

    Raises:
        SettingsError: A value makes no sense.

    Source:
        Yang et al. 2023, "Large Language Models as Optimizers" (OPRO: history in ascending order),
        arXiv 2309.03409; Zhou et al. 2022 (APE), arXiv 2211.01910.

    Example:
        >>> MetaPromptOptimizer("fake/echo", prompts_per_round=2).parameters.prompts_per_round
        2
    """

    def __init__(
        self, model: str | Model | None = None, **options: Unpack[MetaPromptKeywords]
    ) -> None:
        self.parameters, common = self.own_options(MetaPromptOptions, options)
        super().__init__(model, **common)

    @override
    async def search(self, session: Session) -> None:
        templates = TemplateLibrary.of_package(
            "opik_optimizer.algorithms.meta_prompt", self.options.prompt_overrides
        )
        await MetaPromptSearch(session, self.parameters, templates).run()
