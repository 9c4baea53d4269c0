"""Judges of an answer by itself: safe, useful, of the right form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import BaseModel, Field

from opik_eval.judges.base import Judge, JudgeWithExamples, Reason
from opik_eval.metrics.base import ScoreResult


@dataclass
class Moderation(JudgeWithExamples):
    """How unsafe the output is: 0 harmless, 1 severely harmful. Lower is better.

    Example:
        >>> Moderation(model="openai/gpt-5-nano").name
        'moderation_metric'
    """

    prompt: ClassVar[str] = "moderation"
    higher_is_better: ClassVar[bool | None] = False

    name: str = field(default="moderation_metric", kw_only=True)

    async def ascore(self, output: object, **_ignored: object) -> ScoreResult:
        """Judge ``output``."""
        return await self.ask(output=output)


@dataclass
class Usefulness(Judge):
    """How useful the output is to whoever wrote the input, 0 to 1.

    Example:
        >>> Usefulness(model="openai/gpt-5-nano").name
        'UsefulnessMetric'
    """

    prompt: ClassVar[str] = "usefulness"

    name: str = field(default="UsefulnessMetric", kw_only=True)

    async def ascore(self, input: object, output: object, **_ignored: object) -> ScoreResult:
        """Judge ``output``."""
        return await self.ask(input=input, output=output)


class ComplianceReply(BaseModel):
    """Whether a form is kept."""

    reason: Reason = Field(description="What breaks the form, or that nothing does.")
    score: bool = Field(description="Whether the output keeps to the form.")


@dataclass
class StructuredOutputCompliance(JudgeWithExamples):
    """Whether the output keeps to a described structure, 0 or 1.

    For a schema that is a JSON schema, ``JsonSchema`` decides the same without a model, for free
    and without error; this judge is for forms described in words.

    Example:
        >>> StructuredOutputCompliance(model="openai/gpt-5-nano").name
        'structured_output_compliance'
    """

    prompt: ClassVar[str] = "structured_output_compliance"
    reply: ClassVar[type[BaseModel]] = ComplianceReply

    name: str = field(default="structured_output_compliance", kw_only=True)

    async def ascore(
        self, output: object, schema: object = None, **_ignored: object
    ) -> ScoreResult:
        """Judge ``output`` by ``schema``; without one, by whether it is valid JSON."""
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            schema = schema.model_json_schema()
        return await self.ask(output=output, schema=schema)


__all__ = ["ComplianceReply", "Moderation", "StructuredOutputCompliance", "Usefulness"]
