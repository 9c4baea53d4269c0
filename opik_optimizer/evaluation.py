"""What is known of a candidate once it has been run: results per item, their mean, feedback."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from statistics import fmean, stdev
from typing import Literal, cast

from opik_eval.ids import derived_id
from opik_eval.models.base import Usage
from opik_eval.serialization import dumps, to_jsonable
from opik_optimizer.candidate import Candidate
from opik_optimizer.errors import OptimizerError

Split = Literal["train", "validation", "holdout"]
"""Which part of the data: for feedback, for selection, untouched until the end."""


@dataclass(frozen=True, kw_only=True)
class ItemResult:
    """One candidate on one item, once.

    Attributes:
        item_id: Content id of the item.
        repeat: Which of several equal runs it is, from 0.
        score: Objective, the higher the better; ``None`` if there is none.
        reason: Why, in the metric's words.
        output: What the agent answered, as JSON types.
        scores: Sub-scores by name, as the metrics gave them.
        error: What failed, agent or metric, if anything did.
        usage: Tokens of all model calls behind it.
        cost_usd: What they cost when they were made; ``None`` = unknown.
        seconds: Time they took.
        model_calls: How many there were, without tool calls.
        tool_calls: How many tools were called.
        cached: It was taken from the ledger.
    """

    item_id: str
    repeat: int = 0
    score: float | None = None
    reason: str | None = None
    output: object = None
    scores: Mapping[str, float | None] = field(default_factory=dict)
    error: str | None = None
    usage: Usage = field(default_factory=Usage)
    cost_usd: float | None = 0.0
    seconds: float = 0.0
    model_calls: int = 0
    tool_calls: int = 0
    cached: bool = False

    @property
    def is_scored(self) -> bool:
        """True if there is a finite score."""
        return self.score is not None and math.isfinite(self.score)

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON types."""
        score = self.score if self.is_scored else None  # JSON has no NaN
        return cast("dict[str, object]", to_jsonable({**asdict(self), "score": score}))

    @classmethod
    def from_dict(cls, document: Mapping[str, object]) -> ItemResult:
        """Return what ``to_dict`` was made from."""
        usage = Usage(**cast("Mapping[str, int]", document.get("usage") or {}))
        return cls(**{**cast("Mapping[str, str]", document), "usage": usage})  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One candidate on some items of one split: the only thing that says how good it is.

    Attributes:
        candidate: What was run.
        split: Which data it was run on.
        results: One for each item and repeat; at least one.
        failure_score: What counts for an item without a score.
    """

    candidate: Candidate
    split: Split
    results: tuple[ItemResult, ...]
    failure_score: float = 0.0

    def __post_init__(self) -> None:
        if not self.results:
            raise OptimizerError(
                f"candidate {self.candidate.id} was evaluated on no item of the {self.split} split",
                remedy="evaluate it on at least one",
            )

    @cached_property
    def id(self) -> str:
        """Id that belongs to the content: same candidate, split and items, same id."""
        parts = (f"{result.item_id}#{result.repeat}" for result in self.results)
        return derived_id("evaluation", self.candidate.id, self.split, *parts)

    @property
    def item_ids(self) -> tuple[str, ...]:
        """The items, each once, in their order."""
        return tuple(self.scores_by_item)

    @cached_property
    def scores_by_item(self) -> Mapping[str, float]:
        """Mean score of each item over its repeats; a failure counts as ``failure_score``."""
        scores: dict[str, list[float]] = {}
        for result in self.results:
            value = result.score if result.is_scored else None
            scores.setdefault(result.item_id, []).append(
                self.failure_score if value is None else value
            )
        return {item_id: fmean(values) for item_id, values in scores.items()}

    @cached_property
    def score(self) -> float:
        """Mean over the items."""
        return fmean(self.scores_by_item.values())

    @cached_property
    def standard_error(self) -> float | None:
        """Standard error of ``score`` over items; ``None`` with fewer than two."""
        values = [*self.scores_by_item.values()]
        return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None

    @property
    def failed(self) -> int:
        """How many results have no score."""
        return sum(not result.is_scored for result in self.results)

    @cached_property
    def objectives(self) -> Mapping[str, float]:
        """Mean of each sub-score over the results that have it."""
        values: dict[str, list[float]] = {}
        for result in self.results:
            for name, value in result.scores.items():
                if value is not None and math.isfinite(value):
                    values.setdefault(name, []).append(value)
        return {name: fmean(found) for name, found in values.items()}

    @property
    def cost_usd(self) -> float | None:
        """What the results cost when they were made; ``None`` if one cost is unknown."""
        costs = [result.cost_usd for result in self.results if result.cost_usd is not None]
        return math.fsum(costs) if len(costs) == len(self.results) else None

    @property
    def seconds(self) -> float:
        """Mean time an item took."""
        return fmean(result.seconds for result in self.results)

    def result(self, item_id: str) -> ItemResult:
        """Return the first result of an item.

        Raises:
            OptimizerError: It was not evaluated on that item.
        """
        for result in self.results:
            if result.item_id == item_id:
                return result
        raise OptimizerError(f"candidate {self.candidate.id} was not evaluated on item {item_id!r}")

    def on(self, item_ids: Collection[str]) -> Evaluation:
        """Return the part of it on some of its items, in the order it has.

        Raises:
            OptimizerError: It has none of them.
        """
        wanted = frozenset(item_ids)
        return replace(self, results=tuple(r for r in self.results if r.item_id in wanted))

    def with_results(self, results: Sequence[ItemResult]) -> Evaluation:
        """Return it with further results; those of the same item and repeat are not added again."""
        known = {(result.item_id, result.repeat) for result in self.results}
        new = [result for result in results if (result.item_id, result.repeat) not in known]
        return replace(self, results=(*self.results, *new))

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON types."""
        return {
            "id": self.id,
            "candidate": self.candidate.to_dict(),
            "split": self.split,
            "score": self.score,
            "failure_score": self.failure_score,
            "results": [result.to_dict() for result in self.results],
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, object]) -> Evaluation:
        """Return what ``to_dict`` was made from."""
        rows = cast("Sequence[Mapping[str, object]]", document["results"])
        return cls(
            candidate=Candidate.from_dict(cast("Mapping[str, object]", document["candidate"])),
            split=cast("Split", document["split"]),
            results=tuple(map(ItemResult.from_dict, rows)),
            failure_score=cast("float", document["failure_score"]),
        )


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """What a reflection model is told about one item.

    Attributes:
        item_id: Content id of the item.
        inputs: All columns of the item but the expected answer.
        output: What the agent answered.
        expected: The expected answer, if the item has one.
        score: Objective; ``None`` if it failed.
        reason: Why, in the metric's words, or what failed.
    """

    item_id: str
    inputs: Mapping[str, object]
    output: object = None
    expected: object = None
    score: float | None = None
    reason: str | None = None

    def to_text(self, *, max_characters: int = 2000) -> str:
        """Return it as text for a prompt.

        Args:
            max_characters: Longer values are cut there; the text says how much is missing.

        Example:
            >>> print(
            ...     Feedback(
            ...         item_id="1",
            ...         inputs={"question": "2+2"},
            ...         output="5",
            ...         expected="4",
            ...         score=0.0,
            ...         reason="wrong sum",
            ...     ).to_text()
            ... )
            question: 2+2
            output: 5
            expected: 4
            score: 0
            reason: wrong sum
        """
        score = "failed" if self.score is None else f"{self.score:.4g}"
        rows = [*self.inputs.items(), ("output", self.output)]
        rows += [("expected", self.expected)] if self.expected is not None else []
        rows += [("score", score)] + ([("reason", self.reason)] if self.reason else [])
        return "\n".join(f"{name}: {shortened(value, max_characters)}" for name, value in rows)


def shortened(value: object, max_characters: int) -> str:
    """Return a value as text, cut with a note of how much is missing."""
    text = value if isinstance(value, str) else dumps(value).decode()
    if len(text) <= max_characters:
        return text
    return f"{text[:max_characters]} [... {len(text) - max_characters} more characters]"


__all__ = ["Evaluation", "Feedback", "ItemResult", "Split", "shortened"]
