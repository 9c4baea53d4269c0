"""The one call path of all judges: render, ask, check, score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import ClassVar, TypeVar

from pydantic import BaseModel, Field

from opik_eval.errors import JudgeError, ModelError, ParseError
from opik_eval.judges.prompt import JudgePrompt, load_prompt
from opik_eval.metrics.arguments import require_value
from opik_eval.metrics.base import DataclassMetric, ScoreResult
from opik_eval.models.base import Completion, Message, Model

R = TypeVar("R", bound=BaseModel)


class ScoreReply(BaseModel):
    """What most judges answer: the reason first, so that the score follows from it."""

    reason: str = Field(description="Why this score, in one or two sentences.")
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
    and ``verdict``, the rule from answer to score, which is needed only if the answer is not a
    ``ScoreReply``. Its ``ascore`` names the arguments it takes and hands them to ``ask``.

    The constructor stores; the model is looked up when the first score is asked for. A judge can be
    used from many threads and event loops at once, and can be pickled if its model can.

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
        ...     model: str | Model | None = None
        ...
        ...     async def ascore(self, output: str, **ignored: object) -> ScoreResult:
        ...         return await self.ask(output=output)
        >>> Politeness("openai/gpt-5-nano").name
        'Politeness'
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    prompt: ClassVar[str | JudgePrompt]
    reply: ClassVar[type[BaseModel]] = ScoreReply

    model: str | Model | None = None
    temperature: float | None = None
    seed: int | None = None
    reasoning_effort: str | None = None

    def verdict(self, reply: BaseModel) -> Verdict:
        """Return what a reply means.

        Args:
            reply: An instance of ``self.reply``.
        """
        if not isinstance(reply, ScoreReply):
            raise JudgeError(
                f"judge {self.name!r} has replies of its own kind but no rule for them",
                remedy=f"define verdict(self, reply) in {type(self).__name__}",
            )
        return Verdict(value=reply.score, reason=reply.reason)

    async def ask(self, **values: object) -> ScoreResult:
        """Ask the model about ``values`` and return the score of its answer.

        Args:
            **values: What the placeholders of the prompt stand for.

        Raises:
            JudgeError: The model failed, or the verdict is outside ``value_range``.
            ParseError: The answer does not fit ``reply``.
            BudgetExceededError: The call would pass a limit of the budget.
        """
        prompt = self.judge_prompt()
        completion, reply = await self.call(prompt.messages(values), self.reply)
        return self.result(self.verdict(reply), [completion])

    def require(self, **values: object) -> None:
        """Check that arguments of ``ascore`` are not ``None``.

        Raises:
            MetricError: One is.
        """
        for argument, value in values.items():
            require_value(value, argument, metric=self.name)

    def judge_prompt(self) -> JudgePrompt:
        """Return the prompt, loaded once per process."""
        return load_prompt(self.prompt) if isinstance(self.prompt, str) else self.prompt

    def resolved_model(self) -> Model:
        """Return the model to ask.

        Raises:
            ConfigError: No model is given and none is configured.
        """
        if self.model is None or isinstance(self.model, str):
            from opik_eval.models.client import get_model

            return get_model(self.model)
        return self.model

    async def model_supports(self, feature: str) -> bool:
        """Tell whether the model says that it offers a feature, such as ``logprobs``.

        A model that cannot be asked offers none: ``supports`` is no part of the protocol.
        """
        supports = getattr(self.resolved_model(), "supports", None)
        if not callable(supports):
            return False
        answer = supports(feature)
        return bool(await answer if isawaitable(answer) else answer)

    async def call(
        self,
        messages: Sequence[Message],
        reply: type[R],
        *,
        repeat: int = 0,
        **params: object,
    ) -> tuple[Completion, R]:
        """Send messages and return the completion and its parsed reply.

        Args:
            messages: What to send.
            reply: What the answer must fit.
            repeat: Which of several equal requests this is.
            **params: Parameters beside the judge's own, or over them; ``None`` = leave it out.

        Raises:
            JudgeError: The model failed.
            ParseError: The answer does not fit.
            BudgetExceededError: The call would pass a limit of the budget.
        """
        model = self.resolved_model()
        sampling = {
            "temperature": self.temperature,
            "seed": self.seed,
            "reasoning_effort": self.reasoning_effort,
            **params,
        }
        given = {name: value for name, value in sampling.items() if value is not None}
        try:
            completion = await model.generate(
                messages, response_format=reply, repeat=repeat, **given
            )
        except ParseError as error:
            raise ParseError(
                f"judge {self.name!r}: {error.message}", reply=error.reply, remedy=error.remedy
            ) from error
        except ModelError as error:
            raise JudgeError(
                f"judge {self.name!r} could not ask {model.name}: {error.message}",
                remedy=error.remedy,
            ) from error
        return completion, self._parsed(completion, reply)

    def result(self, verdict: Verdict, completions: Sequence[Completion]) -> ScoreResult:
        """Return the score of a verdict, with what it cost.

        Args:
            verdict: What the judge found.
            completions: All replies that led to it.

        Raises:
            JudgeError: The value is outside ``value_range``.
        """
        lowest, highest = self.value_range
        if verdict.value is not None and not lowest <= verdict.value <= highest:
            raise JudgeError(
                f"judge {self.name!r} gave {verdict.value}, outside {lowest:g} to {highest:g}",
                remedy="bound the score in the reply schema, or correct verdict()",
            )
        prompt = self.judge_prompt()
        metadata = {
            **verdict.metadata,
            "prompt": prompt.name,
            "prompt_version": prompt.version,
            **accounting(completions),
        }
        return ScoreResult(
            self.name,
            verdict.value,
            reason=verdict.reason,
            category_name=verdict.category_name,
            metadata=metadata,
        )

    def _parsed(self, completion: Completion, reply: type[R]) -> R:
        if isinstance(completion.parsed, reply):
            return completion.parsed
        raise ParseError(
            f"judge {self.name!r}: the reply of {completion.model} was not parsed as "
            f"{reply.__name__}",
            reply=completion.text,
            remedy="the model object must honour response_format",
        )


def accounting(completions: Sequence[Completion]) -> dict[str, object]:
    """Return model, usage and cost of some calls as score metadata.

    A count or price that one of the calls does not know is unknown for all, and left out.

    Example:
        >>> accounting([Completion(text="", model="m", cost_usd=0.5)])
        {'model': 'm', 'model_calls': 1, 'cost_usd': 0.5}
    """
    usage = {
        name: _total([getattr(completion.usage, name) for completion in completions])
        for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    }
    counted = {name: int(total) for name, total in usage.items() if total is not None}
    facts: dict[str, object] = {
        "model": completions[-1].model if completions else None,
        "model_calls": len(completions),
        "usage": counted or None,
        "cost_usd": _total([completion.cost_usd for completion in completions]),
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def _total(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return math.fsum(known) if known and len(known) == len(numbers) else None


__all__ = ["Judge", "ScoreReply", "Verdict", "accounting"]
