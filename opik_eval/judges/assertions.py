"""Statements in plain language that an output must fulfil."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import BaseModel, Field

from opik_eval.errors import JudgeError, MetricError
from opik_eval.judges.base import Judge, Reason
from opik_eval.judges.numbered import in_order, numbered
from opik_eval.metrics.arguments import require_choice
from opik_eval.metrics.base import ScoreResult, failed
from opik_eval.models.base import Model

ASSERTION_CATEGORY = "suite_assertion"
"""``category_name`` of the scores of assertions."""


class AssertionReply(BaseModel):
    """Whether an assertion holds."""

    reason: Reason = Field(description="What in the output decides it.")
    score: bool = Field(description="Whether the assertion holds.")
    confidence: float = Field(ge=0.0, le=1.0, description="How sure that is, from 0.0 to 1.0.")


@dataclass
class LLMJudge(Judge):
    """Whether each of several assertions holds for the output, 0 or 1 each.

    All assertions of an item go into one call, with one field of the reply for each. There is one
    score for each, named like the assertion; ``metadata["confidence"]`` says how sure the model is.
    If the call fails, every assertion has a failed score. What the call cost is with the first.

    Args:
        assertions: Statements such as ``"The answer names a price."``; repetitions are dropped.
        scoring_tool_strategy: Opik's option to let the judge look things up with tools; only
            ``never`` is supported here: all there is to judge is in the prompt.

    Raises:
        MetricError: There is no such strategy.

    Example:
        >>> LLMJudge(["The answer is polite."], model="openai/gpt-5-nano").name
        'llm_judge'
    """

    prompt: ClassVar[str] = "assertions"

    assertions: Sequence[str] = field(default=(), kw_only=False)
    model: str | Model | None = field(default=None, kw_only=True)
    reasoning_effort: str | None = field(default="low", kw_only=True)
    scoring_tool_strategy: str = field(default="never", kw_only=True)
    name: str = field(default="llm_judge", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        strategy = self.scoring_tool_strategy
        require_choice(strategy, "scoring_tool_strategy", ("never",), metric=self.name)

    async def ascore(
        self,
        output: object,
        input: object = None,
        assertions: Sequence[str] | None = None,
        **_ignored: object,
    ) -> list[ScoreResult]:
        """Check the judge's assertions, and those of the item if it has any.

        Raises:
            MetricError: There are no assertions at all.
            BudgetExceededError: The call would pass a limit of the budget.
        """
        self.check({"output": output})
        wanted = list(dict.fromkeys([*self.assertions, *(assertions or ())]))
        if not wanted:
            raise MetricError(
                f"metric {self.name!r} has no assertions",
                remedy="give LLMJudge(assertions=[...]), or a list as 'assertions' with the item",
            )
        hearing = self.hearing()
        values = {"assertions": wanted, "input": input, "output": output}
        try:
            reply = await hearing.ask(self.prompt, numbered(AssertionReply, len(wanted)), values)
        except JudgeError as error:
            return [_labelled(failed(assertion, error)) for assertion in wanted]
        answers = in_order(reply, AssertionReply)
        return [
            _passed(assertion, answer, hearing.metadata() if index == 0 else {"model_calls": 0})
            for index, (assertion, answer) in enumerate(zip(wanted, answers, strict=True))
        ]


def _passed(name: str, reply: AssertionReply, account: Mapping[str, object]) -> ScoreResult:
    metadata = {"confidence": reply.confidence, **account}
    return _labelled(ScoreResult(name, float(reply.score), reason=reply.reason, metadata=metadata))


def _labelled(score: ScoreResult) -> ScoreResult:
    score.category_name = ASSERTION_CATEGORY
    return score


__all__ = ["ASSERTION_CATEGORY", "AssertionReply", "LLMJudge"]
