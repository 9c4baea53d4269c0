"""Judges by a rubric or a checklist of your own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar, Literal, cast

from pydantic import BaseModel, Field, create_model

from opik_eval.errors import MetricError
from opik_eval.judges.base import MaterialJudge, Reason, Verdict
from opik_eval.judges.hearing import Hearing
from opik_eval.judges.numbered import in_order, numbered
from opik_eval.models.base import Model


@dataclass
class RubricJudge(MaterialJudge):
    """Which level of a rubric the output reaches; the value is the level's number.

    The model can answer with no other number than those of the rubric. The judge's ``value_range``
    runs from the lowest to the highest level.

    Args:
        criteria: What is graded.
        levels: Number of each level and what it takes to reach it; at least two.

    Raises:
        MetricError: There are fewer than two levels.

    Example:
        >>> judge = RubricJudge(
        ...     "How well the answer explains its steps.",
        ...     {1: "No steps.", 2: "Some steps are missing.", 3: "Every step is there."},
        ...     model="openai/gpt-5-nano",
        ... )
        >>> judge.value_range
        (1.0, 3.0)
    """

    prompt: ClassVar[str] = "rubric"

    criteria: str
    levels: Mapping[int, str]
    model: str | Model | None = field(default=None, kw_only=True)
    name: str = field(default="rubric_metric", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.levels) < 2:
            raise MetricError(
                f"metric {self.name!r} has {len(self.levels)} levels", remedy="give two or more"
            )
        vars(self)["value_range"] = (float(min(self.levels)), float(max(self.levels)))

    async def consider(self, hearing: Hearing, material: Mapping[str, object]) -> Verdict:
        """Return the level."""
        levels = sorted(self.levels.items())
        values = {"criteria": self.criteria, "levels": levels, **material}
        kind = _choice_of(tuple(number for number, _ in levels))
        return self.verdict(await hearing.ask(self.prompt, kind, values))


class CheckReply(BaseModel):
    """An answer to a question of a checklist."""

    reason: Reason = Field(description="What in the output decides it.")
    answer: Literal["yes", "no", "not applicable"] = Field(description="The answer.")


@dataclass
class ChecklistJudge(MaterialJudge):
    """What share of a checklist the output fulfils, 0 to 1.

    All questions go into one call, with one field of the reply for each. A question that does not
    apply does not count; if none applies there is no score. ``metadata["answers"]`` has the answer
    to each question.

    Args:
        questions: Questions that a good output makes one answer with yes; or a mapping of such
            questions to positive weights.

    Raises:
        MetricError: There are no questions, or a weight is not positive.

    Example:
        >>> ChecklistJudge(["Does it name a price?", "Does it name a date?"]).name
        'checklist_metric'
    """

    prompt: ClassVar[str] = "checklist"

    questions: Sequence[str] | Mapping[str, float]
    model: str | Model | None = field(default=None, kw_only=True)
    name: str = field(default="checklist_metric", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.questions or min(self._weights().values()) <= 0:
            raise MetricError(
                f"metric {self.name!r} needs questions with positive weights, not "
                f"{self.questions!r:.80}"
            )

    async def consider(self, hearing: Hearing, material: Mapping[str, object]) -> Verdict:
        """Return the share of the questions that are answered with yes."""
        weights = self._weights()
        values = {"questions": list(weights), **material}
        reply = await hearing.ask(self.prompt, numbered(CheckReply, len(weights)), values)
        return _share_of_yes(dict(zip(weights, in_order(reply, CheckReply), strict=True)), weights)

    def _weights(self) -> Mapping[str, float]:
        if isinstance(self.questions, Mapping):
            return self.questions
        return dict.fromkeys(self.questions, 1.0)


def _share_of_yes(answers: Mapping[str, CheckReply], weights: Mapping[str, float]) -> Verdict:
    applying = [q for q, reply in answers.items() if reply.answer != "not applicable"]
    metadata = {"answers": {q: reply.answer for q, reply in answers.items()}}
    if not applying:
        return Verdict(value=None, reason="no question applies", metadata=metadata)
    missed = [q for q in applying if answers[q].answer == "no"]
    reached = math.fsum(weights[q] for q in applying if q not in missed)
    return Verdict(
        value=reached / math.fsum(weights[q] for q in applying),
        reason="\n".join(f"no: {q} ({answers[q].reason})" for q in missed)
        or f"yes to all {len(applying)} questions that apply",
        metadata=metadata,
    )


@lru_cache(maxsize=64)
def _choice_of(levels: tuple[int, ...]) -> type[BaseModel]:
    """Return the class of replies whose score is one of the levels."""
    described = Field(description="The number of the level.")
    reason = (Reason, Field(description="What decides it, in one or two sentences."))
    fields = {"reason": reason, "score": (Literal[levels], described)}
    return cast("type[BaseModel]", create_model("RubricReply", **fields))  # type: ignore[call-overload]


__all__ = ["CheckReply", "ChecklistJudge", "RubricJudge"]
