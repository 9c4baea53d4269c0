"""Several judges, one score."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

from opik_eval.errors import BudgetExceededError, JudgeError, MetricError
from opik_eval.metrics.arguments import require_choice
from opik_eval.metrics.base import (
    Arguments,
    BaseMetric,
    DataclassMetric,
    ScoreResult,
    failed,
    normalise,
)

Aggregation = Literal["mean", "median", "majority"]


@dataclass(frozen=True)
class _Vote:
    judge: str
    value: float
    weight: float


@dataclass
class LLMJuriesJudge(DataclassMetric):
    """What several judges find together, within their common range.

    The members score at the same time. One that fails, or gives no value, is left out and counted:
    ``metadata["failed"]`` names it with the reason. Only if all fail does the jury fail.
    ``metadata["judge_scores"]`` has each member's value, ``metadata["largest_difference"]`` says
    how far apart they are. Members of one name are told apart by a number.

    Args:
        judges: The members, which must agree in range and direction.
        weights: One positive number for each member; all equal if absent.
        aggregation: ``mean``; ``median`` (with weights: half of the weight on either side); or
            ``majority``: each member votes for the upper or the lower half of the range, the jury
            gives the end that has more weight, and the middle on a tie.

    Raises:
        MetricError: The members do not go together.

    Source: Verga et al. 2024, "Replacing Judges with Juries".

    Example:
        >>> from opik_eval.judges import Hallucination
        >>> jury = LLMJuriesJudge(
        ...     [
        ...         Hallucination(model="openai/gpt-5-nano", name="a"),
        ...         Hallucination(model="mistral/mistral-small", name="b"),
        ...     ],
        ...     aggregation="median",
        ... )
        >>> jury.higher_is_better
        False
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    judges: Sequence[BaseMetric]
    weights: Sequence[float] | None = field(default=None, kw_only=True)
    aggregation: Aggregation = field(default="mean", kw_only=True)
    name: str = field(default="llm_juries_judge", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice(self.aggregation, "aggregation", get_args(Aggregation), metric=self.name)
        self.judges = list(self.judges)
        self._check_members()
        # The members', not the class's.
        vars(self)["higher_is_better"] = self.judges[0].higher_is_better
        vars(self)["value_range"] = self.judges[0].value_range

    def score_arguments(self) -> Arguments:
        """Return the arguments that any member takes."""
        members = [judge.score_arguments() for judge in self.judges]
        required = dict.fromkeys(name for member in members for name in member.required)
        optional = dict.fromkeys(name for member in members for name in member.optional)
        return Arguments(
            required=tuple(required),
            optional=tuple(name for name in optional if name not in required),
            takes_all=any(member.takes_all for member in members),
        )

    async def ascore(self, **arguments: object) -> ScoreResult:
        """Let all members score.

        Raises:
            JudgeError: All of them failed.
            BudgetExceededError: A call would pass a limit of the budget.
        """
        results = await asyncio.gather(*(self._hear(judge, arguments) for judge in self.judges))
        weights = self.weights or [1.0] * len(self.judges)
        labelled = list(zip(self._labels(), results, weights, strict=True))
        votes = [
            _Vote(label, score.value, weight)
            for label, score, weight in labelled
            if score.value is not None and score.is_scored
        ]
        metadata: dict[str, object] = {
            "judge_scores": {vote.judge: vote.value for vote in votes},
            "failed": {label: score.reason for label, score, _ in labelled if not score.is_scored},
            "judges": {label: score.metadata for label, score, _ in labelled if score.metadata},
            **_total_account(results),
        }
        if not votes:
            raise JudgeError(
                f"jury {self.name!r}: all {len(results)} members failed: {results[0].reason}",
                metadata=metadata,
            )
        values = [vote.value for vote in votes]
        return ScoreResult(
            self.name,
            self._aggregate(votes),
            reason=f"{self.aggregation} of {len(votes)} judges"
            + (f", {len(results) - len(votes)} failed" if len(votes) < len(results) else ""),
            metadata={**metadata, "largest_difference": max(values) - min(values)},
        )

    async def _hear(self, judge: BaseMetric, arguments: Mapping[str, object]) -> ScoreResult:
        try:
            positional, named = judge.score_arguments().select(arguments)
            scores = normalise(await judge.ascore(*positional, **named), name=judge.name)
        except BudgetExceededError:
            raise  # the run must see it to stop
        except Exception as error:  # noqa: BLE001 - a member may be the user's code; it is left out
            return failed(judge.name, error)
        if len(scores) != 1:
            reason = MetricError(f"{judge.name!r} gave {len(scores)} scores, but has one vote")
            return failed(judge.name, reason)
        return scores[0]

    def _aggregate(self, votes: Sequence[_Vote]) -> float:
        total = math.fsum(vote.weight for vote in votes)
        if self.aggregation == "mean":
            return math.fsum(vote.value * vote.weight for vote in votes) / total
        if self.aggregation == "median":
            return _weighted_median(votes, total)
        lowest, highest = self.value_range
        middle = (lowest + highest) / 2
        upper = math.fsum(vote.weight for vote in votes if vote.value >= middle)
        if math.isclose(upper, total - upper):
            return middle
        return highest if upper > total - upper else lowest

    def _labels(self) -> list[str]:
        names = [judge.name for judge in self.judges]
        return [
            name if names.count(name) == 1 else f"{name} {number}"
            for number, name in enumerate(names, start=1)
        ]

    def _check_members(self) -> None:
        if not self.judges:
            raise MetricError(f"jury {self.name!r} has no members", remedy="give it judges")
        kinds = {(judge.value_range, judge.higher_is_better) for judge in self.judges}
        if len(kinds) > 1 or not all(map(math.isfinite, self.judges[0].value_range)):
            raise MetricError(
                f"the members of jury {self.name!r} differ in range or direction, or have no "
                "range: "
                + ", ".join(f"{j.name} {j.value_range} {j.higher_is_better}" for j in self.judges),
                remedy="their scores cannot be averaged; use one jury for each kind",
            )
        weights = self.weights
        if weights is not None and (len(weights) != len(self.judges) or min(weights) <= 0):
            raise MetricError(
                f"jury {self.name!r} has {len(self.judges)} members, but its weights are "
                f"{list(weights)}",
                remedy="give one positive weight for each member",
            )


def _weighted_median(votes: Sequence[_Vote], total: float) -> float:
    """Return the value with half of the weight on either side; the mean of two if both have."""
    ordered = sorted(votes, key=lambda vote: vote.value)
    reached = 0.0
    for vote, following in zip(ordered, [*ordered[1:], ordered[-1]], strict=True):
        reached += vote.weight
        if math.isclose(reached, total / 2):
            return (vote.value + following.value) / 2
        if reached > total / 2:
            return vote.value
    return ordered[-1].value


def _total_account(results: Sequence[ScoreResult]) -> dict[str, object]:
    """Return calls, tokens and cost of all members; what one does not know is left out."""
    accounts = [score.metadata for score in results if score.metadata]
    usages = [usage for account in accounts if isinstance(usage := account.get("usage"), dict)]
    totals = {
        "model_calls": _total([account.get("model_calls") for account in accounts]),
        "cost_usd": _total([account.get("cost_usd") for account in accounts]),
        "usage": {
            name: total
            for name in ("prompt_tokens", "completion_tokens", "total_tokens")
            if (total := _total([usage.get(name) for usage in usages])) is not None
        },
    }
    return {name: total for name, total in totals.items() if total}


def _total(numbers: Sequence[object]) -> float | None:
    known = [number for number in numbers if isinstance(number, int | float)]
    return sum(known) if known and len(known) == len(numbers) else None


__all__ = ["LLMJuriesJudge"]
