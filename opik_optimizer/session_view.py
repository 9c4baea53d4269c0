"""What an algorithm may look at: data, baseline, incumbent, settings, what is left."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property

from opik_eval.serialization import content_hash
from opik_optimizer.budget import Account, Remaining
from opik_optimizer.candidate import Candidate
from opik_optimizer.columns import columns_of, expected_of, inputs_of
from opik_optimizer.errors import OptimizerError
from opik_optimizer.evaluation import Evaluation, Feedback, shortened
from opik_optimizer.objective import Objective
from opik_optimizer.pipeline import StopSwitch, current_proposal
from opik_optimizer.settings import Settings
from opik_optimizer.splits import Splits

_EXAMPLES = 3
_EXAMPLE_CHARACTERS = 200


@dataclass(kw_only=True)
class Board:
    """The state of a search, which only commits change.

    Attributes:
        best: The incumbent: a complete evaluation on the validation sample.
        complete: All complete evaluations on it by candidate id, the baseline's first.
        known: All candidates that passed the guards, in the order of their commits.
    """

    best: Evaluation
    complete: dict[str, Evaluation] = field(default_factory=dict)
    known: list[Candidate] = field(default_factory=list)


class SessionView:
    """The reading half of a ``Session``.

    Args:
        settings: The run's settings.
        splits: Its data.
        objective: What is maximised.
        baseline: The initial prompt on the whole validation sample.
        account: Trials and metric calls.
        switch: Why the search is over.

    Attributes:
        details: What the algorithm adds to the result; JSON types.
        details_of: What it adds if a candidate is returned, by the candidate's id.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        splits: Splits,
        objective: Objective,
        baseline: Evaluation,
        account: Account,
        switch: StopSwitch,
    ) -> None:
        self.settings = settings
        self.baseline = baseline
        self.details: dict[str, object] = {}
        self.details_of: dict[str, dict[str, object]] = {}
        self._splits = splits
        self._objective = objective
        self._account = account
        self._switch = switch
        self._board = Board(
            best=baseline,
            complete={baseline.candidate.id: baseline},
            known=[baseline.candidate],
        )

    @property
    def seed_candidate(self) -> Candidate:
        """The initial prompt."""
        return self.baseline.candidate

    @property
    def best(self) -> Evaluation:
        """The incumbent, complete on the validation sample.

        Inside a proposal it is the incumbent of the moment the proposal was issued.
        """
        proposal = current_proposal()
        return self._board.best if proposal is None else proposal.best

    @property
    def complete(self) -> tuple[Evaluation, ...]:
        """All complete evaluations on the validation sample that are committed, in their order."""
        return tuple(self._board.complete.values())

    @property
    def train_ids(self) -> tuple[str, ...]:
        """Items to learn from: feedback, demonstrations."""
        return self._splits.train

    @property
    def validation_ids(self) -> tuple[str, ...]:
        """Items to choose on: the same for all candidates."""
        return self._splits.validation

    @property
    def stop_reason(self) -> str | None:
        """Why the search is over; ``None`` while it may go on."""
        return self._switch.reason

    @property
    def remaining(self) -> Remaining:
        """What may still be spent; inside a proposal, what is left of its lease."""
        proposal = current_proposal()
        return self._account.remaining if proposal is None else proposal.lease.remaining

    @property
    def best_possible(self) -> float:
        """Upper end of the objective's range; infinity where there is none."""
        return self._objective.value_range[1]

    @cached_property
    def task_context(self) -> str:
        """What the task is, for prompts of a reflection model: metric, columns, examples.

        Columns of expected answers are named, but of the values only those of inputs are shown.
        """
        items = [self._splits.items[item_id] for item_id in self.train_ids[:_EXAMPLES]]
        shown = self._shown_columns(columns_of(items))
        inputs = {name for item in items for name in inputs_of(item, shown)}
        lines = [f"Metric: {self._objective.describe()}", "Columns of the data:"]
        for name in columns_of(items):
            values = [shortened(i[name], _EXAMPLE_CHARACTERS) for i in items if name in i]
            seen = ", for example: " + " | ".join(values) if name in inputs else " (hidden answer)"
            used = " (a placeholder of the prompt)" if name in shown else ""
            lines.append(f"- {name}{used}{seen}")
        return "\n".join(lines)

    def is_complete(self, evaluation: Evaluation) -> bool:
        """Tell whether an evaluation covers the whole validation sample."""
        ids = evaluation.scores_by_item
        return evaluation.split == "validation" and all(i in ids for i in self.validation_ids)

    def item(self, item_id: str) -> dict[str, object]:
        """Return the fields of an item of the train or validation split.

        Raises:
            OptimizerError: There is none of that id, or it belongs to the holdout.
        """
        if item_id in self._splits.items and item_id not in self._hidden:
            return dict(self._splits.items[item_id])
        raise OptimizerError(
            f"item {item_id!r} is not in the train or validation split",
            remedy="use train_ids or validation_ids",
        )

    def rng(self, label: str, *parts: object) -> random.Random:
        """Return a generator that depends on the seed, the label and the parts alone.

        Example:
            ``session.rng("mutation", k).choice(operators)`` draws the same for proposal ``k`` in
            every run of that seed.
        """
        return random.Random(content_hash([self.settings.seed, label, *map(str, parts)]))

    def feedback(
        self, evaluation: Evaluation, item_ids: Collection[str] | None = None
    ) -> list[Feedback]:
        """Return what a reflection model should be told of an evaluation's items.

        Args:
            evaluation: On the train or validation split.
            item_ids: Which of its items; all if absent.
        """
        wanted = None if item_ids is None else frozenset(item_ids)
        found = []
        for result in evaluation.results:
            if wanted is not None and result.item_id not in wanted:
                continue
            item = self.item(result.item_id)
            shown = self._shown_columns(tuple(item))
            found.append(
                Feedback(
                    item_id=result.item_id,
                    inputs=inputs_of(item, shown),
                    output=result.output,
                    expected=expected_of(item, shown),
                    score=result.score,
                    reason=result.error or result.reason,
                )
            )
        return found

    @cached_property
    def _hidden(self) -> frozenset[str]:
        return frozenset(self._splits.holdout) - {*self.train_ids, *self.validation_ids}

    def _shown_columns(self, columns: Collection[str]) -> frozenset[str]:
        return frozenset(
            name
            for prompt in self.seed_candidate.prompts.values()
            for name in prompt.placeholders(columns)
        )
