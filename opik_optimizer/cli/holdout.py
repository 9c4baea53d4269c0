"""The returned prompt, the initial one and the references, all on the holdout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opik_eval.experiments.table import Table, interval, number
from opik_eval.models.context import use_models
from opik_eval.statistics import compare_paired, mean_interval
from opik_optimizer.candidate import Candidate
from opik_optimizer.job import prepare
from opik_optimizer.settings import settings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opik_eval.statistics import PairedComparison
    from opik_optimizer.evaluation import Evaluation
    from opik_optimizer.ground import Ground
    from opik_optimizer.optimizer import BaseOptimizer
    from opik_optimizer.prompt import ChatPrompt
    from opik_optimizer.settings import OptimizeOptions

RETURNED = "returned"
INITIAL = "initial"


async def score_on_holdout(
    optimizer: BaseOptimizer,
    ground: Ground,
    given: OptimizeOptions,
    prompts: Mapping[str, ChatPrompt],
) -> dict[str, Evaluation]:
    """Run prompts on the holdout, after a run; what the run has scored there already is free.

    They are no part of the search and its budget, but the limits on model calls hold.

    Args:
        optimizer: The optimizer that ran.
        ground: What it ran on.
        given: The options it ran with.
        prompts: What to run, by name.
    """
    job = prepare(optimizer, ground, settings_of(given, optimizer.options), given)
    try:
        with use_models(budget=ground.models):
            return {
                name: await job.evaluator.evaluate(
                    Candidate.of(prompt),
                    ground.splits.holdout,
                    split="holdout",
                    phase="references",
                    spend=_free,
                )
                for name, prompt in prompts.items()
            }
    finally:
        job.threads.shutdown()


def _free(keys: Sequence[str], trial: str | None) -> None:
    """Charge nothing."""


@dataclass(frozen=True)
class HoldoutReport:
    """How the returned prompt compares with the others.

    Args:
        evaluations: Each prompt on the holdout, by name; one is called ``returned``.
        metric: Name of the objective.
        observed: Names of what was noted beside it.
    """

    evaluations: Mapping[str, Evaluation]
    metric: str
    observed: Sequence[str]

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON types: the scores of each, and the paired test against the returned."""
        rows: dict[str, object] = {}
        for name, evaluation in self.evaluations.items():
            estimate = mean_interval([*evaluation.scores_by_item.values()])
            row: dict[str, object] = {
                "n": estimate.n,
                "failed": evaluation.failed,
                self.metric: estimate.mean,
                "interval_low": estimate.low,
                "interval_high": estimate.high,
                **{each: evaluation.objectives.get(each) for each in self.observed},
            }
            if name != RETURNED:
                test = self._test(evaluation)
                row["returned_is_better_by"] = test.difference
                row["p_value"] = test.p_value
            rows[name] = row
        return rows

    def as_text(self, *, width: int) -> str:
        """Return it as a table."""
        table = Table(
            ("holdout", "n", self.metric, "95 % interval", *self.observed, "returned +", "p"),
            left=frozenset({"holdout"}),
        )
        for name, evaluation in self.evaluations.items():
            estimate = mean_interval([*evaluation.scores_by_item.values()])
            versus = ("", "")
            if name != RETURNED:
                test = self._test(evaluation)
                versus = (f"{test.difference:+.3f}", f"{test.p_value:.2g}")
            table.rows.append(
                (
                    name,
                    str(estimate.n),
                    number(estimate.mean),
                    interval(estimate.low, estimate.high),
                    *(number(evaluation.objectives.get(each)) for each in self.observed),
                    *versus,
                )
            )
        return table.as_text(width=width)

    def _test(self, other: Evaluation) -> PairedComparison:
        returned = self.evaluations[RETURNED].scores_by_item
        before = other.scores_by_item
        return compare_paired([*before.values()], [returned[item] for item in before])


__all__ = ["INITIAL", "RETURNED", "HoldoutReport", "score_on_holdout"]
