"""The one call path of all judges: render, ask, check, score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Annotated, ClassVar

from pydantic import BaseModel, Field

from opik_eval.errors import JudgeError
from opik_eval.judges.hearing import Hearing
from opik_eval.judges.prompt import JudgePrompt
from opik_eval.metrics.arguments import require_value
from opik_eval.metrics.base import DataclassMetric, ScoreResult
from opik_eval.models.base import Model

Reason = Annotated[str, Field(json_schema_extra={"maxLength": 600})]
"""A text of a few sentences in a reply.

The limit is in the schema alone: it ends the endless loops that small models fall into where a
grammar constrains them, and a longer text of a better model is accepted all the same.
"""


class ScoreReply(BaseModel):
    """What most judges answer: the reason first, so that the score follows from it."""

    reason: Reason = Field(description="Why this score, in one or two sentences.")
    score: float = Field(ge=0.0, le=1.0, description="The score, from 0.0 to 1.0.")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a judge makes of a reply.

    Attributes:
        value: The score, inside the judge's ``value_range``; ``None`` = no score.
        metadata: What else the reply says, JSON-serialisable.
    """

    value: float | None
    reason: str | None = None
    category_name: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(kw_only=True)
class Judge(DataclassMetric):
    """Base of metrics whose score is a language model's verdict.

    A judge declares three things: ``prompt``, the template; ``reply``, the schema of the answer;
    and ``verdict``, the rule from answer to score, which is needed only if the answer has no
    ``score``. Its ``ascore`` names the arguments it takes and hands them to ``ask``. A judge that
    needs several calls opens a ``hearing``, asks there as often as it likes, and returns
    ``result``.

    The constructor stores; the model is looked up when the first score is asked for. A judge can be
    used from many threads and event loops at once, and can be pickled if its model can.

    Every score carries in ``metadata``: the prompts with the hashes of their texts, the model, the
    number of calls, the tokens and the cost. A reply that does not fit is a failed score with the
    raw reply in ``metadata["reply"]``, never a 0.

    Args:
        model: Name of a model, a ``Model``, or ``None`` for the configured default.
        temperature: Sampling temperature; ``None`` = the provider's default.
        seed: Sampling seed, where the provider has one.
        reasoning_effort: How hard a reasoning model should think, such as ``low``.

    Attributes:
        prompt: Name of a file in ``prompts/`` beside this module, or a ``JudgePrompt``.
        reply: Pydantic class that the answer must fit.

    Example:
        >>> @dataclass
        ... class Politeness(Judge):
        ...     '''How polite the output is, 0 to 1.'''
        ...
        ...     prompt: ClassVar[JudgePrompt] = JudgePrompt("politeness", "Rate it: {{ output }}")
        ...
        ...     async def ascore(self, output: str, **ignored: object) -> ScoreResult:
        ...         return await self.ask(output=output)
        >>> Politeness("openai/gpt-5-nano").name
        'Politeness'
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    prompt: ClassVar[str | JudgePrompt]
    reply: ClassVar[type[BaseModel]] = ScoreReply

    model: str | Model | None = field(default=None, kw_only=False)
    temperature: float | None = None
    seed: int | None = None
    reasoning_effort: str | None = None

    def verdict(self, reply: BaseModel) -> Verdict:
        """Return what a reply means: its ``score``, for the ``reason`` it gives.

        Args:
            reply: An instance of ``self.reply``.
        """
        score = getattr(reply, "score", None)
        if not isinstance(score, int | float):
            raise JudgeError(
                f"judge {self.name!r} has replies of its own kind but no rule for them",
                remedy=f"define verdict(self, reply) in {type(self).__name__}, or name a field of "
                "the reply 'score'",
            )
        return Verdict(value=float(score), reason=getattr(reply, "reason", None))

    async def ask(self, **values: object) -> ScoreResult:
        """Ask the model about ``values`` and return the score of its answer.

        Args:
            **values: What the placeholders of the prompt stand for. Those that ``ascore`` requires
                must not be ``None``.

        Raises:
            MetricError: A required value is ``None``.
            JudgeError: The model failed, or the verdict is outside ``value_range``.
            ParseError: The answer does not fit ``reply``.
            BudgetExceededError: The call would pass a limit of the budget.
        """
        self.check(values)
        hearing = self.hearing()
        reply = await hearing.ask(self.prompt, self.reply, values)
        return self.result(hearing, self.verdict(reply))

    def check(self, values: Mapping[str, object]) -> None:
        """Check that none of the values that ``ascore`` requires is ``None``.

        Raises:
            MetricError: One is.
        """
        for argument in self.score_arguments().required:
            if argument in values:
                require_value(values[argument], argument, metric=self.name)

    def hearing(self) -> Hearing:
        """Return a hearing for one score.

        Raises:
            ConfigError: No model is given and none is configured.
        """
        sampling = {
            "temperature": self.temperature,
            "seed": self.seed,
            "reasoning_effort": self.reasoning_effort,
        }
        return Hearing(self.name, model_of(self.model), sampling)

    def result(self, hearing: Hearing, verdict: Verdict) -> ScoreResult:
        """Return the score of a verdict, with what it cost.

        Args:
            hearing: Where it was found.
            verdict: What the judge found.

        Raises:
            JudgeError: The value is outside ``value_range``.
        """
        lowest, highest = self.value_range
        if verdict.value is not None and not lowest <= verdict.value <= highest:
            raise JudgeError(
                f"judge {self.name!r} gave {verdict.value}, outside {lowest:g} to {highest:g}",
                remedy="bound the score in the reply schema, or correct verdict()",
                metadata=hearing.metadata(),
            )
        return ScoreResult(
            self.name,
            verdict.value,
            reason=verdict.reason,
            category_name=verdict.category_name,
            metadata={**verdict.metadata, **hearing.metadata()},
        )


@dataclass(kw_only=True)
class JudgeWithExamples(Judge):
    """Base of judges that can be shown graded examples.

    Args:
        few_shot_examples: Graded examples, each a mapping such as ``{"input": ..., "output": ...,
            "score": 0.5, "reason": ...}``. The keys are shown as they are.
    """

    few_shot_examples: Sequence[Mapping[str, object]] | None = None

    async def ask(self, **values: object) -> ScoreResult:
        """Ask as ``Judge.ask`` does, with the examples as ``examples``."""
        return await super().ask(**{"examples": self.few_shot_examples, **values})


@dataclass(kw_only=True)
class MaterialJudge(Judge):
    """Base of judges whose question is the user's own, and which show the model all there is.

    A subclass implements ``consider``.
    """

    async def ascore(
        self,
        output: object,
        input: object = None,
        context: object = None,
        expected_output: object = None,
        **_ignored: object,
    ) -> ScoreResult:
        """Judge ``output``; the other arguments are shown to the model where they are given.

        Raises:
            MetricError: ``output`` is ``None``.
            JudgeError: The model failed or did not answer as asked.
        """
        self.check({"output": output})
        material = {
            "input": input,
            "context": context,
            "expected_output": expected_output,
            "output": output,
        }
        hearing = self.hearing()
        return self.result(hearing, await self.consider(hearing, material))

    async def consider(self, hearing: Hearing, material: Mapping[str, object]) -> Verdict:
        """Return the verdict on some material.

        Args:
            hearing: Where to ask.
            material: ``output``, ``input``, ``context`` and ``expected_output``; ``None`` = not
                given.
        """
        raise NotImplementedError


def model_of(model: str | Model | None) -> Model:
    """Return the model that a judge names.

    Raises:
        ConfigError: No model is given and none is configured.
    """
    if model is None or isinstance(model, str):
        from opik_eval.models.client import get_model

        return get_model(model)
    return model


async def model_supports(model: Model, feature: str) -> bool:
    """Tell whether a model says that it offers a feature, such as ``logprobs``.

    A model that cannot be asked offers none: ``supports`` is no part of the protocol.
    """
    supports = getattr(model, "supports", None)
    if not callable(supports):
        return False
    answer = supports(feature)
    return bool(await answer if isawaitable(answer) else answer)


__all__ = [
    "Judge",
    "JudgeWithExamples",
    "MaterialJudge",
    "Reason",
    "ScoreReply",
    "Verdict",
    "model_of",
    "model_supports",
]
