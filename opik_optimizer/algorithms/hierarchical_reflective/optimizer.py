"""``HierarchicalReflectiveOptimizer``, also known as ``HRPO``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from typing_extensions import override

from opik_optimizer.algorithms.hierarchical_reflective.options import HierarchicalOptions
from opik_optimizer.algorithms.hierarchical_reflective.search import HierarchicalSearch
from opik_optimizer.optimizer import BaseOptimizer, OptimizerKeywords
from opik_optimizer.templates import TemplateLibrary

if TYPE_CHECKING:
    from opik_eval.models.base import Model
    from opik_optimizer.session import Session


class HierarchicalKeywords(OptimizerKeywords, total=False):
    """Keywords of ``HierarchicalReflectiveOptimizer``."""

    batch_size: int
    analysed_items: int
    modes_per_round: int
    max_retries: int
    mode_items: int
    guarded_items: int
    convergence_rounds: int


class HierarchicalReflectiveOptimizer(BaseOptimizer):
    """Hierarchical reflection: find the causes of failures, then mend them one by one.

    A round runs the best prompt on train items, has batches of its failures analysed at once (with
    inputs, outputs, expected answers and reasons), joins what was found into failure modes that
    name their items, and edits the prompt for one mode after the other. An edit is kept if it helps
    on the mode's items more than it costs on items that passed. The prompt with all kept edits then
    races the best one on the validation sample. Edits that did not help are remembered.

    Args:
        model: Reflection model: a name, a ``Model``, or ``None`` for the default of the settings.
        batch_size: Failures per analysis.
        analysed_items: Train items a round runs, 48, at most a quarter of the metric calls that are
            left at the start; ``n_samples_minibatch`` of a run goes before it.
        modes_per_round: Failure modes that are worked on, those with most items first.
        max_retries: Further attempts for a mode whose edit did not help.
        mode_items: Items of a mode that an edit is checked on.
        guarded_items: Items that passed and must not be lost.
        convergence_rounds: Rounds without a new best after which the search ends.
        **options: See ``OptimizerOptions``.

    Raises:
        SettingsError: A value makes no sense.

    Source:
        The method of Opik's optimizer of this name; root-cause analysis in batches as in
        arXiv 2604.04247 (map, then reduce).

    Example:
        >>> HierarchicalReflectiveOptimizer("fake/echo").parameters.batch_size
        8
    """

    def __init__(
        self, model: str | Model | None = None, **options: Unpack[HierarchicalKeywords]
    ) -> None:
        self.parameters, common = self.own_options(HierarchicalOptions, options)
        super().__init__(model, **common)

    @override
    async def search(self, session: Session) -> None:
        templates = TemplateLibrary.of_package(
            "opik_optimizer.algorithms.hierarchical_reflective", self.options.prompt_overrides
        )
        await HierarchicalSearch(session, self.parameters, templates).run()


HRPO = HierarchicalReflectiveOptimizer
