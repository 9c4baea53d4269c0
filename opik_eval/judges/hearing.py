"""One score in the making: the calls that lead to it, what they cost and what was asked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

from pydantic import BaseModel

from opik_eval.errors import JudgeError, ModelError, ParseError
from opik_eval.judges.prompt import JudgePrompt, load_prompt
from opik_eval.models.base import Completion, Message, Model

R = TypeVar("R", bound=BaseModel)


class Hearing:
    """Asks a model on behalf of a judge and keeps account of it.

    One hearing belongs to one score; its calls may run concurrently. Whether the score is reached
    or not, ``metadata`` says which prompts in which versions were sent, and what the replies cost.

    Args:
        judge: The judge's name, for errors.
        model: Whom to ask.
        sampling: Parameters of every call; those that are ``None`` are left out.
    """

    def __init__(self, judge: str, model: Model, sampling: Mapping[str, object]) -> None:
        self.judge = judge
        self.model = model
        self._sampling = sampling
        self._prompts: dict[str, str] = {}
        self._completions: list[Completion] = []

    async def ask(
        self,
        prompt: str | JudgePrompt,
        reply: type[R],
        values: Mapping[str, object],
        *,
        repeat: int = 0,
        **params: object,
    ) -> R:
        """Return the model's answer to a rendered prompt, as an instance of ``reply``.

        Args:
            prompt: Name of a file in ``prompts/``, or a prompt.
            reply: What the answer must fit.
            values: What the placeholders of the prompt stand for.
            repeat: Which of several equal requests this is.
            **params: Parameters beside the judge's own, or over them; ``None`` = leave it out.

        Raises:
            JudgeError: The model failed. Its ``metadata`` holds the account.
            ParseError: The answer does not fit.
            BudgetExceededError: The call would pass a limit of the budget.
        """
        _, parsed = await self.ask_fully(prompt, reply, values, repeat=repeat, **params)
        return parsed

    async def ask_fully(
        self,
        prompt: str | JudgePrompt,
        reply: type[R],
        values: Mapping[str, object],
        *,
        repeat: int = 0,
        **params: object,
    ) -> tuple[Completion, R]:
        """Do the same and return the completion too, for its log-probabilities."""
        completion = await self._generate(prompt, reply, values, repeat, params)
        if isinstance(completion.parsed, reply):
            return completion, completion.parsed
        raise ParseError(
            f"judge {self.judge!r}: the reply of {completion.model} was not parsed as "
            f"{reply.__name__}",
            reply=completion.text,
            remedy="the model object must honour response_format",
            metadata=self.metadata(),
        )

    async def ask_text(self, prompt: str | JudgePrompt, values: Mapping[str, object]) -> str:
        """Return the model's answer as it wrote it."""
        return (await self._generate(prompt, None, values, 0, {})).text

    def of_model(self, model: Model) -> Hearing:
        """Return a hearing that asks another model on the same account."""
        other = Hearing(self.judge, model, self._sampling)
        other._prompts, other._completions = self._prompts, self._completions
        return other

    def metadata(self) -> dict[str, object]:
        """Return prompts with their versions, model, calls, usage and cost so far."""
        return {"prompts": dict(self._prompts), **accounting(self._completions)}

    async def _generate(
        self,
        prompt: str | JudgePrompt,
        reply: type[BaseModel] | None,
        values: Mapping[str, object],
        repeat: int,
        params: Mapping[str, object],
    ) -> Completion:
        if isinstance(prompt, str):
            prompt = load_prompt(prompt)
        self._prompts[prompt.name] = prompt.version
        messages: Sequence[Message] = prompt.messages(values)
        wanted = {**self._sampling, **params}
        given = {name: value for name, value in wanted.items() if value is not None}
        try:
            completion = await self.model.generate(
                messages, response_format=reply, repeat=repeat, **given
            )
        except ParseError as error:
            raise ParseError(
                f"judge {self.judge!r}: {error.message}",
                reply=error.reply,
                remedy=error.remedy,
                metadata=self.metadata(),
            ) from error
        except ModelError as error:
            raise JudgeError(
                f"judge {self.judge!r} could not ask {self.model.name}: {error.message}",
                remedy=error.remedy,
                metadata=self.metadata(),
            ) from error
        self._completions.append(completion)
        return completion


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
    cached = sum(completion.cached for completion in completions)
    facts: dict[str, object] = {
        "model": completions[-1].model if completions else None,
        "model_calls": len(completions),
        "cached_calls": cached or None,
        "usage": counted or None,
        "cost_usd": _total([completion.cost_usd for completion in completions]),
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def _total(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return math.fsum(known) if known and len(known) == len(numbers) else None


__all__ = ["Hearing", "accounting"]
