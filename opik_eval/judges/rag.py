"""Judges of answers that rest on retrieved context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import BaseModel, Field

from opik_eval.errors import MetricError
from opik_eval.judges.base import Judge, JudgeWithExamples, Reason, Verdict
from opik_eval.judges.together import together
from opik_eval.metrics.base import ScoreResult
from opik_eval.metrics.retrieval import average_precision


@dataclass
class Hallucination(JudgeWithExamples):
    """How much of the output is made up: 0 nothing, 1 all of it. Lower is better.

    With ``context``, made up is what the context does not support; without it, what contradicts
    what is commonly known.

    Example:
        >>> Hallucination(model="openai/gpt-5-nano").name
        'hallucination_metric'
    """

    prompt: ClassVar[str] = "hallucination"
    higher_is_better: ClassVar[bool | None] = False

    name: str = field(default="hallucination_metric", kw_only=True)

    async def ascore(
        self, input: object, output: object, context: object = None, **_ignored: object
    ) -> ScoreResult:
        """Judge ``output``."""
        return await self.ask(input=input, output=output, context=context)


@dataclass
class AnswerRelevance(JudgeWithExamples):
    """How directly and completely the output answers the input, 0 to 1.

    Whether the answer is true is not asked.

    Args:
        few_shot_examples: Graded examples for scores with context.
        few_shot_examples_no_context: Graded examples for scores without.
        require_context: Refuse to score without context; if not, the input alone decides.

    Example:
        >>> AnswerRelevance(model="openai/gpt-5-nano", require_context=False).name
        'answer_relevance_metric'
    """

    prompt: ClassVar[str] = "answer_relevance"

    few_shot_examples_no_context: Sequence[Mapping[str, object]] | None = field(
        default=None, kw_only=True
    )
    require_context: bool = field(default=True, kw_only=True)
    name: str = field(default="answer_relevance_metric", kw_only=True)

    async def ascore(
        self, input: object, output: object, context: object = None, **_ignored: object
    ) -> ScoreResult:
        """Judge ``output``.

        Raises:
            MetricError: There is no context, and ``require_context`` is on.
        """
        if context:
            return await self.ask(input=input, output=output, context=context)
        if self.require_context:
            raise MetricError(
                f"metric {self.name!r} needs 'context', but it is {context!r}",
                remedy="supply the context, or make it AnswerRelevance(require_context=False)",
            )
        examples = self.few_shot_examples_no_context
        return await self.ask(input=input, output=output, context=None, examples=examples)


@dataclass
class ContextPrecision(JudgeWithExamples):
    """How much of the context serves the expected output, 0 to 1: one grade for all of it.

    ``RankedContextPrecision`` judges chunk by chunk and takes their order into account.

    Example:
        >>> ContextPrecision(model="openai/gpt-5-nano").name
        'context_precision_metric'
    """

    prompt: ClassVar[str] = "context_precision"

    name: str = field(default="context_precision_metric", kw_only=True)

    async def ascore(
        self,
        input: object,
        output: object,
        expected_output: object,
        context: object,
        **_ignored: object,
    ) -> ScoreResult:
        """Judge ``context``."""
        return await self.ask(
            input=input, output=output, expected_output=expected_output, context=context
        )


@dataclass
class ContextRecall(ContextPrecision):
    """How much of the expected output the context supplies, 0 to 1: one grade for all of it.

    Example:
        >>> ContextRecall(model="openai/gpt-5-nano").name
        'context_recall_metric'
    """

    prompt: ClassVar[str] = "context_recall"

    name: str = field(default="context_recall_metric", kw_only=True)


class ChunkReply(BaseModel):
    """Whether one chunk of the context is of use."""

    reason: Reason = Field(description="What in the chunk is of use, or why nothing is.")
    is_useful: bool = Field(description="Whether the chunk helps to reach the expected answer.")


@dataclass
class RankedContextPrecision(Judge):
    """Whether the useful chunks of the context come first, 0 to 1: average precision.

    Each chunk is judged by itself, all at once. The score is the mean, over the useful chunks, of
    the share of useful ones up to that place; it is 0 where no chunk is useful.
    ``metadata["useful"]`` has the verdicts in the order of the chunks.

    Example:
        >>> RankedContextPrecision(model="openai/gpt-5-nano").name
        'ranked_context_precision_metric'
    """

    prompt: ClassVar[str] = "context_chunk"
    reply: ClassVar[type[BaseModel]] = ChunkReply

    name: str = field(default="ranked_context_precision_metric", kw_only=True)

    async def ascore(
        self,
        input: object,
        expected_output: object,
        context: Sequence[object],
        **_ignored: object,
    ) -> ScoreResult:
        """Judge the chunks of ``context``, which come in the order of retrieval."""
        self.check({"input": input, "expected_output": expected_output, "context": context})
        chunks = chunks_of(context, metric=self.name)
        hearing = self.hearing()
        values = {"input": input, "expected_output": expected_output}
        replies = await together(
            hearing.ask(self.prompt, ChunkReply, {**values, "chunk": chunk}) for chunk in chunks
        )
        useful = [reply.is_useful for reply in replies]
        verdict = Verdict(
            value=average_precision(useful, sum(useful)) if any(useful) else 0.0,
            reason=f"{sum(useful)} of {len(useful)} chunks are useful",
            metadata={"useful": useful, "reasons": [reply.reason for reply in replies]},
        )
        return self.result(hearing, verdict)


def chunks_of(context: object, *, metric: str) -> Sequence[object]:
    """Return a context as its chunks.

    Raises:
        MetricError: It is not a list, or empty.
    """
    if isinstance(context, str) or not isinstance(context, Sequence) or not context:
        raise MetricError(
            f"metric {metric!r} needs 'context' as a list of chunks, not {context!r:.60}",
            remedy="return the retrieved chunks as a list, in the order of retrieval",
        )
    return context


__all__ = [
    "AnswerRelevance",
    "ChunkReply",
    "ContextPrecision",
    "ContextRecall",
    "Hallucination",
    "RankedContextPrecision",
    "chunks_of",
]
