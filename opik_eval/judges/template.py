"""A judge from a template: five lines of your own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar, Literal, cast

from pydantic import BaseModel, Field, create_model

from opik_eval.errors import MetricError
from opik_eval.judges.base import Judge, Reason, ScoreReply, Verdict
from opik_eval.judges.prompt import JudgePrompt
from opik_eval.metrics.arguments import require_value
from opik_eval.metrics.base import Arguments, ScoreResult
from opik_eval.models.base import Model
from opik_eval.prompts.template import placeholders


@dataclass
class TemplateJudge(Judge):
    r"""What a template of your own makes a model answer.

    The placeholders of the template (jinja2: ``{{ output }}``) are the arguments of the score; a
    line ``<!-- system -->`` or ``<!-- user -->`` begins a message. What the model answers is one of
    three:

    - by default a score from 0 to 1, with its reason;
    - with ``labels``, one of these words, whose number is the value and which is itself the
      ``category_name``;
    - with ``answer``, an instance of that pydantic class; ``rule`` makes the value of it, or the
      whole ``Verdict``, unless it has a field ``score``.

    Args:
        template: The text.
        answer: Class of the answer.
        rule: From an instance of it to the score. A lambda cannot be pickled; name a function if
            the judge has to travel to other processes.
        labels: Words and their numbers; ``None`` stands for no score.
        optional: Placeholders that may be missing; they are then ``None``.
        value_range: Lowest and highest value; widened where labels lie outside.
        higher_is_better: Direction; ``None`` where neither end is better.

    Raises:
        MetricError: The template has no placeholders, or there are both labels and a class.

    Example:
        >>> tone = TemplateJudge(
        ...     "What is the tone of this reply to a customer?\n{{ output }}",
        ...     labels={"friendly": 1, "neutral": 0.5, "rude": 0},
        ...     name="tone",
        ...     model="openai/gpt-5-nano",
        ... )
        >>> tone.score_arguments().required
        ('output',)
    """

    reply: ClassVar[type[BaseModel]] = ScoreReply

    template: str
    answer: type[BaseModel] | None = field(default=None, kw_only=True)
    rule: Callable[..., float | Verdict | None] | None = field(default=None, kw_only=True)
    labels: Mapping[str, float | None] | None = field(default=None, kw_only=True)
    optional: tuple[str, ...] = field(default=(), kw_only=True)
    # An instance has a range and a direction of its own, where other judges have their class's.
    value_range: tuple[float, float] = field(default=(0.0, 1.0), kw_only=True)  # type: ignore[misc]
    higher_is_better: bool | None = field(default=True, kw_only=True)  # type: ignore[misc]
    model: str | Model | None = field(default=None, kw_only=True)
    name: str = field(default="template_metric", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.optional = tuple(self.optional)
        if self.labels and self.answer:
            raise MetricError(f"metric {self.name!r} has both labels and an answer class")
        if not _names(self.template):
            raise MetricError(
                f"the template of metric {self.name!r} has no placeholders",
                remedy="show the model what to judge, for example {{ output }}",
            )
        numbers = [number for number in (self.labels or {}).values() if number is not None]
        if numbers:
            lowest, highest = self.value_range
            self.value_range = (min(lowest, *numbers), max(highest, *numbers))

    def score_arguments(self) -> Arguments:
        """Return the placeholders of the template."""
        names = _names(self.template)
        return Arguments(
            required=tuple(name for name in names if name not in self.optional),
            optional=tuple(name for name in names if name in self.optional),
        )

    def verdict(self, reply: BaseModel) -> Verdict:
        """Return what the reply means, by labels, rule or the field ``score``."""
        if self.labels is not None:
            label = str(getattr(reply, "label", ""))
            reason = getattr(reply, "reason", None)
            return Verdict(value=self.labels[label], reason=reason, category_name=label)
        if self.rule is None:
            return super().verdict(reply)
        found = self.rule(reply)
        if isinstance(found, Verdict):
            return found
        value = None if found is None else float(found)
        return Verdict(
            value=value,
            reason=getattr(reply, "reason", None),
            metadata={"answer": reply.model_dump(mode="json")},
        )

    async def ascore(self, **values: object) -> ScoreResult:
        """Render the template and score the answer."""
        arguments = self.score_arguments()
        for argument in arguments.required:
            require_value(values.get(argument), argument, metric=self.name)
        shown = {name: values.get(name) for name in (*arguments.required, *arguments.optional)}
        hearing = self.hearing()
        kind = self.answer or self.reply
        if self.labels:
            kind = _label_reply(tuple(self.labels))
        reply = await hearing.ask(JudgePrompt(self.name, self.template), kind, shown)
        return self.result(hearing, self.verdict(reply))


@lru_cache(maxsize=64)
def _names(template: str) -> tuple[str, ...]:
    return tuple(placeholders(template, "jinja2"))


@lru_cache(maxsize=64)
def _label_reply(labels: tuple[str, ...]) -> type[BaseModel]:
    reason = (Reason, Field(description="What decides it, in one or two sentences."))
    fields = {"reason": reason, "label": (Literal[labels], Field(description="The answer."))}
    return cast("type[BaseModel]", create_model("LabelReply", **fields))  # type: ignore[call-overload]


__all__ = ["TemplateJudge"]
