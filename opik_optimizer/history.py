"""The history of a run: rounds of trials, with lineage and the reason of every decision."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Decision = Literal["accepted", "rejected", "dropped", "refused", "failed"]
"""``rejected`` = evaluated and not kept; ``dropped`` = lost a race early; ``refused`` = a guard
stopped it before evaluation; ``failed`` = no candidate came of the proposal."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Trial(_Entry):
    """One candidate and what became of it.

    Attributes:
        index: Number in the run, from 0, in the order of commitment.
        candidate_id: Content hash; ``None`` where no candidate came of a proposal.
        prompts: The candidate as JSON, by the prompt's name.
        parents: Ids of the candidates it was made from.
        operator: How it was made, such as ``reflection`` or ``crossover``.
        decision: What became of it.
        reason: Why.
        score: Mean over ``item_scores``, failures at the failure score.
        standard_error: Of that mean.
        split: Which items it was scored on.
        item_scores: Score by item id; ``None`` = the task or the metric failed.
        objectives: Means of the single objectives, where there are several.
        metric_calls: Metric calls charged for it.
        evaluation_id: The evaluation behind ``score``.
        experiment_id: The experiment of type ``trial`` in the store.
    """

    index: int
    candidate_id: str | None = None
    prompts: dict[str, dict[str, object]] = Field(default_factory=dict)
    parents: tuple[str, ...] = ()
    operator: str = ""
    note: str | None = None
    decision: Decision
    reason: str
    score: float | None = None
    standard_error: float | None = None
    split: str | None = None
    item_scores: dict[str, float | None] = Field(default_factory=dict)
    objectives: dict[str, float] = Field(default_factory=dict)
    failed: int = 0
    prompt_tokens: int | None = None
    metric_calls: int = 0
    cost_usd: float | None = None
    evaluation_id: str | None = None
    experiment_id: str | None = None


class Round(_Entry):
    """Trials that an algorithm counts as one round, generation or phase.

    Attributes:
        best_score: Best complete score in this round.
        best_so_far: Best complete score up to its end.
        details: What the algorithm says of it.
    """

    index: int
    trials: tuple[Trial, ...] = ()
    best_score: float | None = None
    best_so_far: float | None = None
    details: dict[str, object] = Field(default_factory=dict)


class History:
    """Collects trials into rounds while a run goes on.

    Example:
        >>> history = History()
        >>> _ = history.add(Trial(index=0, decision="accepted", reason="better", score=0.5))
        >>> history.close_round(best_so_far=0.5).best_score
        0.5
    """

    def __init__(self) -> None:
        self._rounds: list[Round] = []
        self._open: list[Trial] = []
        self._count = 0

    @property
    def next_index(self) -> int:
        """Number of the next trial."""
        return self._count

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials so far."""
        return (*(trial for entry in self._rounds for trial in entry.trials), *self._open)

    def add(self, trial: Trial) -> Trial:
        """Append a trial to the open round."""
        self._open.append(trial)
        self._count += 1
        return trial

    def close_round(
        self, *, best_so_far: float | None = None, details: dict[str, object] | None = None
    ) -> Round:
        """Close the open round and return it."""
        scores = [
            trial.score
            for trial in self._open
            if trial.score is not None and trial.decision in ("accepted", "rejected")
        ]
        entry = Round(
            index=len(self._rounds),
            trials=tuple(self._open),
            best_score=max(scores, default=None),
            best_so_far=best_so_far,
            details=details or {},
        )
        self._rounds.append(entry)
        self._open = []
        return entry

    def rounds(self) -> tuple[Round, ...]:
        """Return all rounds; trials of a round that was not closed form the last one."""
        if not self._open:
            return tuple(self._rounds)
        return (*self._rounds, Round(index=len(self._rounds), trials=tuple(self._open)))
