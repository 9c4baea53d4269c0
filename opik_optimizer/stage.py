"""A stage of a chain: a session of its own on the chain's data, history, incumbent and budget."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from typing_extensions import override

from opik_eval.errors import BudgetExceededError
from opik_eval.serialization import content_hash
from opik_optimizer.budget import stop_reason_of
from opik_optimizer.errors import WeakReflectionError
from opik_optimizer.events import StageFinished, StageStarted
from opik_optimizer.pipeline import StopSwitch
from opik_optimizer.rewriter import Rewriter
from opik_optimizer.session import Session

if TYPE_CHECKING:
    from opik_optimizer.evaluation import Evaluation
    from opik_optimizer.history import Trial
    from opik_optimizer.optimizer import BaseOptimizer

PLATEAU = "plateau"
"""Why a stage ends that found nothing better for as many trials as its patience allows."""


@dataclass(frozen=True, kw_only=True)
class StageReport:
    """What a stage came to, on the validation sample.

    Attributes:
        optimizer: Name of the optimizer's class.
        stop_reason: What ended it.
        initial_score: The incumbent's score before it.
        score: After it.
        is_kept: It found a better prompt, which later stages begin with.
        trials: What it was charged.
        metric_calls: What it was charged.
        details: What the optimizer adds.
    """

    optimizer: str
    stop_reason: str
    initial_score: float
    score: float
    is_kept: bool
    trials: int
    metric_calls: int
    details: dict[str, object]


class StageSession(Session):
    """What the optimizer of a stage gets. Its baseline is the chain's incumbent.

    Incumbent, known candidates, history and budget are those of the chain; switch, seed, reflection
    model and details are its own.

    Args:
        parent: The chain's session.
        optimizer: The optimizer of the stage.
        index: Number of the stage.
        patience: Trials without a new incumbent after which it ends; ``None`` = any number.
    """

    def __init__(
        self, parent: Session, optimizer: BaseOptimizer, *, index: int, patience: int | None
    ) -> None:
        options, workshop = optimizer.options, parent._workshop
        super().__init__(
            replace(
                workshop,
                watch=optimizer.watch(),
                reflector=replace(
                    workshop.reflector,
                    rewriter=Rewriter.of(options),
                    analyst=Rewriter.of(options, analysis=True),
                ),
            ),
            settings=replace(
                parent.settings,
                seed=_seed(parent.settings.seed, options.seed, index),
                skip_perfect_score=options.skip_perfect_score,
                perfect_score=options.perfect_score,
                proposals_in_flight=options.proposals_in_flight,
                prompt_overrides=options.prompt_overrides,
            ),
            splits=parent._splits,
            objective=parent._objective,
            baseline=parent.best,
            account=parent._account,
            switch=StopSwitch(),
        )
        self._optimizer, self._index = optimizer, index
        self._board = parent._board
        self.details_of = parent.details_of
        self._patience = patience
        self._last_best = parent.best.candidate.id
        self._idle = 0

    async def run(self, share: float) -> StageReport:
        """Let the optimizer search with a share of what is left of the budget.

        Args:
            share: Above 0, at most 1.
        """
        account, events, before = self._account, self._workshop.events, self.baseline
        name, run = type(self._optimizer).__name__, self._workshop.optimization_id
        trials, metric_calls, known = account.trials, account.metric_calls, {*self.details_of}
        events.emit(StageStarted(optimization_id=run, index=self._index, optimizer=name))
        with account.narrowed(share):
            try:
                await self._optimizer.search(self)
            except WeakReflectionError as error:
                self.stop(error.stop_reason)
            except BudgetExceededError as error:
                self.stop(stop_reason_of(error) or error.limit)
        self._inherit(known)
        report = StageReport(
            optimizer=name,
            stop_reason=self.stop_reason or "completed",
            initial_score=before.score,
            score=self.best.score,
            is_kept=self.best.candidate.id != before.candidate.id,
            trials=account.trials - trials,
            metric_calls=account.metric_calls - metric_calls,
            details=self.details,
        )
        events.emit(
            StageFinished(
                optimization_id=run,
                index=self._index,
                optimizer=name,
                reason=report.stop_reason,
                score=report.score,
                kept=report.is_kept,
            )
        )
        return report

    @override
    def record_trial(self, evaluation: Evaluation, *, accepted: bool, reason: str) -> Trial:
        """Put a candidate's evaluation and the decision on it into the chain's history."""
        trial = super().record_trial(evaluation, accepted=accepted, reason=reason)
        best = self._board.best.candidate.id
        self._idle = 0 if best != self._last_best else self._idle + 1
        self._last_best = best
        if self._patience is not None and self._idle >= self._patience:
            self.stop(PLATEAU)
        return trial

    def _inherit(self, known: set[str]) -> None:
        """Add what is said of the stage's first prompt to what is said of those made from it."""
        inherited = self.details_of.get(self.baseline.candidate.id, {})
        for candidate in self.details_of.keys() - known:
            self.details_of[candidate] = {**inherited, **self.details_of[candidate]}


def _seed(*parts: int) -> int:
    return int(content_hash(list(parts))[:12], 16)


__all__ = ["PLATEAU", "StageReport", "StageSession"]
