"""``GepaOptimizer``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from typing_extensions import override

from opik_optimizer.algorithms.gepa.options import Acceptance, ComponentSelector, GepaOptions
from opik_optimizer.algorithms.gepa.search import GepaSearch
from opik_optimizer.optimizer import BaseOptimizer, OptimizerKeywords
from opik_optimizer.templates import TemplateLibrary

if TYPE_CHECKING:
    from opik_eval.models.base import Model
    from opik_optimizer.algorithms.gepa.minibatch import BatchSampler
    from opik_optimizer.algorithms.gepa.pool import FrontierType, ParentChoice
    from opik_optimizer.session import Session


class GepaKeywords(OptimizerKeywords, total=False):
    """Keywords of ``GepaOptimizer``."""

    candidate_selection_strategy: ParentChoice
    greedy_share: float
    frontier_type: FrontierType
    reflection_minibatch_size: int
    siblings: int
    batch_sampler: BatchSampler
    module_selector: ComponentSelector
    acceptance_criterion: Acceptance
    use_merge: bool
    max_merge_invocations: int
    no_improvement_iterations: int | None


class GepaOptimizer(BaseOptimizer):
    """GEPA: rewrite a prompt from what went wrong, and keep whoever is best at something.

    A proposal takes a parent from the pool and failures of it that were not shown before. It asks
    the reflection model for one new prompt per group of failures, and tests each on its group and
    on items that the parent gets right. What the children that passed have in common races the
    parent on the validation sample; survivors join the pool.

    Args:
        model: Reflection model: a name, a ``Model``, or ``None`` for the default of the settings.
        candidate_selection_strategy: Which member is the next parent: ``adaptive`` (the best mean
            with probability ``greedy_share``, else Pareto), ``pareto``, ``current_best``,
            ``epsilon_greedy``, ``top_k_pareto``.
        greedy_share: Of ``adaptive``, 0 to 1.
        frontier_type: What a member can be best at: ``instance``, ``objective``, ``hybrid``,
            ``cartesian``.
        reflection_minibatch_size: Failures shown at once, 8; ``n_samples_minibatch`` of a run goes
            before it. The paper has 3, but a child that passes its gate costs a whole validation,
            so what one reflection learns should be worth one.
        siblings: Groups of that many failures, and so children, per proposal, 3. They are tested at
            once and joined sentence by sentence before one validation is paid for. Where few
            trials are left (fewer than 8 proposals would take), it is 1.
        batch_sampler: ``fresh_failures``, or ``epoch_shuffled`` (any items, as gepa does).
        module_selector: ``all`` = rewrite every text from the same failures, one question each;
            ``round_robin`` = one text at a time, as gepa does.
        acceptance_criterion: What the gate asks: ``strict_improvement``, ``improvement_or_equal``.
        use_merge: Join two members of the pool that changed different things.
        max_merge_invocations: How often, at most.
        no_improvement_iterations: Proposals without a new best after which the search ends;
            ``None`` = go on until the budget is spent.
        **options: See ``OptimizerOptions``.

    Raises:
        SettingsError: A value makes no sense.

    Source:
        Agrawal et al. 2025, "GEPA: Reflective Prompt Evolution Can Outperform Reinforcement
        Learning", arXiv 2507.19457; options as in gepa 0.1.4.

    Example:
        >>> GepaOptimizer("fake/echo", seed=1).options.seed
        1
    """

    def __init__(self, model: str | Model | None = None, **options: Unpack[GepaKeywords]) -> None:
        self.parameters, common = self.own_options(GepaOptions, options)
        super().__init__(model, **common)

    @override
    async def search(self, session: Session) -> None:
        templates = TemplateLibrary.of_package(
            "opik_optimizer.algorithms.gepa", self.options.prompt_overrides
        )
        await GepaSearch(session, self.parameters, templates).run()
