"""``EvolutionaryOptimizer``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Unpack

from pydantic import BaseModel
from typing_extensions import override

from opik_optimizer.algorithms.evolutionary.options import EvolutionaryOptions
from opik_optimizer.algorithms.evolutionary.search import EvolutionarySearch
from opik_optimizer.columns import expected_of
from opik_optimizer.errors import ReflectionError, SettingsError
from opik_optimizer.optimizer import BaseOptimizer, OptimizerKeywords
from opik_optimizer.rewriter import Rewriter
from opik_optimizer.templates import TemplateLibrary

if TYPE_CHECKING:
    from opik_eval.models.base import Model
    from opik_optimizer.session import Session

_STYLE_EXAMPLES = 5


class Style(BaseModel):
    """What the reflection model says of expected answers."""

    description: str


class EvolutionaryKeywords(OptimizerKeywords, total=False):
    """Keywords of ``EvolutionaryOptimizer``."""

    population_size: int | None
    num_generations: int | None
    mutation_rate: float
    crossover_rate: float
    tournament_size: int
    elitism_size: int
    brood_size: int | None
    screening_size: int
    adaptive_mutation: bool
    enable_moo: bool
    enable_llm_mutation: bool
    enable_llm_crossover: bool
    enable_semantic_crossover: bool
    output_style_guidance: str | None
    infer_output_style: bool
    no_improvement_generations: int | None


class EvolutionaryOptimizer(BaseOptimizer):
    """Evolution: a population of prompts, crossover where two differ, mutations, selection.

    A proposal draws parents by tournament and makes offspring of them: the reflection model repairs
    what the parent got wrong, two members are merged where they differ, or sentences are dropped,
    moved, borrowed or added without any model. Offspring are screened on a few train items; what
    passes races its parent on the validation sample. Parents and offspring then compete for the
    places of the population, by score and length (NSGA-II) or by score alone. Operators that bring
    better offspring are used more. Without a usable reflection model, the others do the work.

    Args:
        model: Reflection model: a name, a ``Model``, or ``None`` for the default of the settings,
            or for none at all if there is no default.
        population_size: Members that survive, and proposals of a generation; ``None`` = about the
            square root of the number of candidates that the budget allows, 3 to 30.
        num_generations: Generations; ``None`` = until the budget is spent.
        mutation_rate: Initial share of mutations, against ``crossover_rate``.
        crossover_rate: Initial share of crossovers.
        tournament_size: Members that meet for one place as a parent.
        elitism_size: Members with the best scores that always survive.
        brood_size: Siblings that are screened before the best of them, or what those that passed
            have in common, races; ``None`` = 2, or 1 where few trials are allowed.
        screening_size: Train items that an offspring is screened on, and failures shown to the
            reflection model at once; ``n_samples_minibatch`` of a run goes before it.
        adaptive_mutation: Let the shares of the operators follow their success.
        enable_moo: Two objectives: a high score and few tokens. The returned prompt is the one with
            the best score all the same; ``details["pareto_front"]`` and ``details["knee"]`` have
            the others.
        enable_llm_mutation: Let the reflection model rewrite prompts.
        enable_llm_crossover: Let it join two prompts whose changes touch each other.
        enable_semantic_crossover: Let it join all pairs, in its own words.
        output_style_guidance: What answers should look like; told to the reflection model.
        infer_output_style: Let it find that out from expected answers, if no guidance is given.
        no_improvement_generations: Generations without a new best after which the search ends.
        **options: See ``OptimizerOptions``.

    Raises:
        SettingsError: A value makes no sense.

    Source:
        Guo et al. 2023, "Connecting Large Language Models with Evolutionary Algorithms Yields
        Powerful Prompt Optimizers" (EvoPrompt: edit where two prompts differ), arXiv 2309.08532;
        Deb et al. 2002 (NSGA-II); Tackett 1994 (brood selection).

    Example:
        >>> EvolutionaryOptimizer("fake/echo", population_size=6).parameters.population_size
        6
    """

    needs_reflection: ClassVar[bool] = False

    def __init__(
        self, model: str | Model | None = None, **options: Unpack[EvolutionaryKeywords]
    ) -> None:
        self.parameters, common = self.own_options(EvolutionaryOptions, options)
        super().__init__(model, **common)

    @override
    async def search(self, session: Session) -> None:
        templates = TemplateLibrary.of_package(
            "opik_optimizer.algorithms.evolutionary", self.options.prompt_overrides
        )
        has_model = self._has_model()
        style = self.parameters.output_style_guidance
        if has_model and style is None and self.parameters.infer_output_style:
            style = await _inferred_style(session, templates)
        search = EvolutionarySearch(
            session, self.parameters, templates, style=style, has_model=has_model
        )
        await search.run()

    def _has_model(self) -> bool:
        """Tell whether a reflection model is wanted and there; one that is named must be there."""
        own, model = self.parameters, self.options.model
        if not (own.enable_llm_mutation or own.enable_llm_crossover):
            return False
        try:
            Rewriter(model=model).resolved()  # type: ignore[arg-type]  # checked by it
        except SettingsError:
            if model is not None:
                raise
            return False
        return True


async def _inferred_style(session: Session, templates: TemplateLibrary) -> str | None:
    """Ask what form expected answers have; ``None`` if there are none or the reply is of no use."""
    shown = {name for p in session.seed_candidate.prompts.values() for name in p.placeholders()}
    items = [session.item(item_id) for item_id in session.train_ids[:_STYLE_EXAMPLES]]
    answers = [str(a) for item in items if (a := expected_of(item, shown)) is not None]
    if not answers:
        return None
    messages = templates.messages("style", task=session.task_context, answers=answers)
    try:
        return (await session.ask(messages, Style, purpose="style")).description
    except ReflectionError:
        return None
