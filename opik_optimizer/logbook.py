"""Writes the history of a search, and tells the listeners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from opik_optimizer.budget import Account
from opik_optimizer.candidate import Candidate
from opik_optimizer.evaluation import Evaluation
from opik_optimizer.events import (
    BudgetUpdated,
    CandidateDropped,
    CandidateProposed,
    CandidateRejected,
    EventStream,
    RoundFinished,
    RoundStarted,
    TrialRecorded,
)
from opik_optimizer.guards import Rejection
from opik_optimizer.history import Decision, History, Round, Trial
from opik_optimizer.recording import experiment_id_of


@dataclass
class Logbook:
    """The history of one search, and the events that go with it. Called in the order of commits.

    Attributes:
        account: What is charged; each trial carries what was charged since the one before.
    """

    optimization_id: str
    history: History
    events: EventStream
    account: Account

    def __post_init__(self) -> None:
        self._round_is_open = False
        self._booked = self.account.metric_calls

    def trial(self, evaluation: Evaluation, decision: Decision, reason: str) -> Trial:
        """Record the decision on an evaluated candidate."""
        results = evaluation.results
        entry = self._add(
            {
                **_lineage(evaluation.candidate),
                "score": evaluation.score,
                "standard_error": evaluation.standard_error,
                "split": evaluation.split,
                "item_scores": {r.item_id: r.score if r.is_scored else None for r in results},
                "objectives": dict(evaluation.objectives),
                "failed": evaluation.failed,
                "cost_usd": evaluation.cost_usd,
                "evaluation_id": evaluation.id,
                "experiment_id": experiment_id_of(self.optimization_id, evaluation.id),
            },
            decision,
            reason,
        )
        self.events.emit(
            TrialRecorded(optimization_id=self.optimization_id, trial=entry, evaluation=evaluation)
        )
        return entry

    def failure(self, operator: str, reason: str) -> Trial:
        """Record a proposal that came to no candidate."""
        return self._add({"operator": operator}, "failed", reason)

    def dropped(self, evaluation: Evaluation, blocks: int, p_value: float) -> None:
        """Tell of a candidate that lost its race early."""
        self.events.emit(
            CandidateDropped(
                optimization_id=self.optimization_id,
                evaluation=evaluation,
                blocks=blocks,
                p_better=p_value,
            )
        )

    def proposed(self, candidate: Candidate) -> None:
        """Tell of a candidate that passed the guards."""
        self.events.emit(
            CandidateProposed(optimization_id=self.optimization_id, candidate=candidate)
        )

    def refused(self, rejection: Rejection) -> None:
        """Record a candidate that a guard refused."""
        candidate = rejection.candidate
        self._add(_lineage(candidate), "refused", f"{rejection.guard}: {rejection.reason}")
        self.events.emit(
            CandidateRejected(
                optimization_id=self.optimization_id,
                operator=candidate.operator,
                guard=rejection.guard,
                reason=rejection.reason,
            )
        )

    def close_round(self, best_so_far: float, details: dict[str, object]) -> Round:
        """Close the open round."""
        entry = self.history.close_round(best_so_far=best_so_far, details=details)
        self._round_is_open = False
        self.events.emit(RoundFinished(optimization_id=self.optimization_id, round=entry))
        return entry

    def _add(self, facts: Mapping[str, object], decision: Decision, reason: str) -> Trial:
        if not self._round_is_open:
            self._round_is_open = True
            index = len(self.history.rounds())
            self.events.emit(RoundStarted(optimization_id=self.optimization_id, index=index))
        charged, self._booked = self.account.metric_calls - self._booked, self.account.metric_calls
        trial = Trial.model_validate(
            {
                **facts,
                "index": self.history.next_index,
                "decision": decision,
                "reason": reason,
                "metric_calls": charged,
            }
        )
        used = {"trials": self.account.trials, "metric_calls": self.account.metric_calls}
        self.events.emit(
            BudgetUpdated(
                optimization_id=self.optimization_id,
                used={name: float(count) for name, count in used.items()},
            )
        )
        return self.history.add(trial)


def _lineage(candidate: Candidate) -> dict[str, object]:
    return {
        "candidate_id": candidate.id,
        "prompts": {name: prompt.to_dict() for name, prompt in candidate.prompts.items()},
        "parents": candidate.parents,
        "operator": candidate.operator,
        "note": candidate.note,
        "prompt_tokens": candidate.tokens,
    }
