"""``FewShotBayesianOptimizer``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from typing_extensions import override

from opik_optimizer.algorithms.few_shot_bayesian.options import FewShotOptions
from opik_optimizer.algorithms.few_shot_bayesian.search import FewShotSearch
from opik_optimizer.optimizer import BaseOptimizer, OptimizerKeywords
from opik_optimizer.templates import TemplateLibrary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opik_eval.models.base import Model
    from opik_optimizer.session import Session


class FewShotKeywords(OptimizerKeywords, total=False):
    """Keywords of ``FewShotBayesianOptimizer``."""

    min_examples: int
    max_examples: int
    enable_columnar_selection: bool
    enable_diversity: bool
    enable_multivariate_tpe: bool
    enable_optuna_pruning: bool
    form: str
    answers: str
    answer_column: str | None
    answer_template: str | Sequence[str]
    bootstrap_items: int | None
    pool_size: int
    max_characters: int
    prompt_name: str | None


class FewShotBayesianOptimizer(BaseOptimizer):
    """Finds demonstrations: how many, which, in which order, and how they are shown.

    Optuna's TPE searches over properties of the set (size, balance of classes, diversity, how
    typical and how hard its items are, order, form, whose answers); chance and the credit of items
    in earlier trials choose among what fits. Needs no reflection model. Demonstrations come from
    train items that nothing is scored on.

    Args:
        model: Not used; every optimizer has it.
        min_examples: Fewest demonstrations, 2.
        max_examples: Most, 8.
        enable_columnar_selection: Search over the balance of classes, where labels are classes.
        enable_diversity: Search over how different the demonstrations are.
        enable_multivariate_tpe: Model the properties together rather than one by one.
        enable_optuna_pruning: Race candidates, and give up early on those that are worse.
        form: ``messages`` (turns of user and assistant; needs ``optimize_prompts="all"``), ``text``
            (in the system message, or else before the user's), or ``auto``: search over both, as
            far as the roles that may change allow them.
        answers: ``labels`` = expected answers of the data, ``own`` = what the initial prompt
            answered where that was right, ``auto`` = search over both.
        answer_column: Column of expected answers; by default the one whose name says so, else the
            only column that the prompt does not show.
        answer_template: How expected answers are worded, such as ``"Label: {answer}"``; other
            columns may be used too. Several wordings are searched over.
        bootstrap_items: Train items that the initial prompt is run on first, for difficulty and own
            answers; by default as many as a tenth of the budget pays for; 0 = none.
        pool_size: Most items to choose from; of more, a random part.
        max_characters: Longer items are not shown.
        prompt_name: Which prompt of a bundle gets them; the last one by default.
        **options: See ``OptimizerOptions``.

    Raises:
        SettingsError: A value makes no sense.

    Source:
        Bergstra et al. 2011 (TPE); Akiba et al. 2019 (Optuna); Opsahl-Ong et al. 2024, "Optimizing
        Instructions and Demonstrations for Multi-Stage Language Model Programs", arXiv 2406.11695.

    Example:
        >>> FewShotBayesianOptimizer(max_examples=4).parameters.max_examples
        4
    """

    def __init__(
        self, model: str | Model | None = None, **options: Unpack[FewShotKeywords]
    ) -> None:
        self.parameters, common = self.own_options(FewShotOptions, options)
        super().__init__(model, **common)

    @override
    async def search(self, session: Session) -> None:
        templates = TemplateLibrary.of_package(
            "opik_optimizer.algorithms.few_shot_bayesian", self.options.prompt_overrides
        )
        await FewShotSearch(session, self.parameters, templates).run()
