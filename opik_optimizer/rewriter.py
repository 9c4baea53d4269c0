"""Asking the reflection model: one call, one checked answer, or a clear statement of failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, cast

from pydantic import BaseModel

from opik_eval.errors import ConfigError, ModelError, ParseError
from opik_eval.models.base import Completion, Message, Model
from opik_optimizer.errors import (
    NoReflectionError,
    ReflectionError,
    SettingsError,
    WeakReflectionError,
)
from opik_optimizer.guards import Rejection

if TYPE_CHECKING:
    from opik_optimizer.settings import OptimizerOptions

Answer = TypeVar("Answer", bound=BaseModel)

MAX_FRUITLESS = 3
"""After how many unusable proposals, with none usable, a model counts as too weak."""

MAX_FAILED_CALLS = 10
"""After how many failed calls, each of them tried again and again, a model counts as absent."""


@dataclass(frozen=True, kw_only=True)
class Reflection:
    """One answer of the reflection model.

    Attributes:
        answer: The answer as an instance of the class that was asked for.
        completion: The reply it was read from, with usage and cost.
    """

    answer: BaseModel
    completion: Completion

    def as_(self, kind: type[Answer]) -> Answer:
        """Return the answer, which is of this class."""
        if not isinstance(self.answer, kind):
            raise ReflectionError(
                f"the answer is a {type(self.answer).__name__}, not a {kind.__name__}",
                reply=self.completion.text,
            )
        return self.answer


@dataclass(frozen=True, kw_only=True)
class Rewriter:
    """The reflection model with its parameters.

    Args:
        model: Name, model, or ``None`` for the default of the settings.
        parameters: Parameters of every call.
    """

    model: str | Model | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, options: OptimizerOptions, *, analysis: bool = False) -> Rewriter:
        """Return the model that writes for an optimizer, or the one that analyses for it.

        They are the same unless the options name a ``reasoning_model`` or parameters for it.
        """
        own = analysis and bool(options.reasoning_model or options.reasoning_model_parameters)
        model = options.reasoning_model or options.model if own else options.model
        parameters = options.reasoning_model_parameters if own else options.model_parameters
        return cls(model=cast("str | Model | None", model), parameters=parameters)

    def resolved(self) -> Model:
        """Return the model.

        Raises:
            SettingsError: None is named, and there is no default; or nobody serves it.
        """
        from opik_eval.models.client import get_model

        try:
            return get_model(self.model)
        except ConfigError as error:
            raise SettingsError(
                f"no reflection model: {error.message}",
                remedy=error.remedy or "pass model=... to the optimizer",
            ) from error

    async def ask(
        self,
        messages: Sequence[Message] | str,
        response_format: type[BaseModel],
        *,
        purpose: str,
        repeat: int = 0,
        **parameters: object,
    ) -> Reflection:
        """Return the model's answer.

        Args:
            messages: The question.
            response_format: Class of the answer.
            purpose: What it is for, in error texts.
            repeat: Which of several equal questions it is.
            **parameters: Parameters of this call, over those of every call.

        Raises:
            ReflectionError: The reply does not fit the class even after a repair turn, or the call
                failed for good. ``reply`` has the text.
            BudgetExceededError: The call would pass a limit; nothing was sent.
        """
        model = self.resolved()
        try:
            completion = await model.generate(
                messages,
                response_format=response_format,
                repeat=repeat,
                **{**self.parameters, **parameters},
            )
        except ParseError as error:
            raise ReflectionError(
                f"{purpose}: {error.message}", reply=error.reply, remedy=error.remedy
            ) from error
        except ModelError as error:
            raise ReflectionError(
                f"{purpose}: the reflection model failed: {error.message}", remedy=error.remedy
            ) from error
        if not isinstance(completion.parsed, response_format):
            raise ReflectionError(
                f"{purpose}: {model.name} gave no {response_format.__name__}", reply=completion.text
            )
        return Reflection(answer=completion.parsed, completion=completion)


@dataclass
class ReflectionWatch:
    """Tells a model that is too weak from one that fails at times.

    It is told of every proposal in the order of commits. If the first few are all unusable, it ends
    the run before more is spent; after one usable proposal it never does. Calls that fail say
    nothing of what the model can do: they count apart, and more of them are allowed.

    Args:
        model_name: Name, for the statement.
        limit: How many unusable proposals in a row from the start are too many; ``None`` = the
            search does without the model then.

    Example:
        >>> watch = ReflectionWatch("tiny", limit=1)
        >>> watch.saw(ReflectionError("the reply is no JSON", reply="Sure!"))
        Traceback (most recent call last):
        opik_optimizer.errors.WeakReflectionError: the reflection model tiny is too weak: ...
    """

    model_name: str
    limit: int | None = MAX_FRUITLESS
    failures: list[str] = field(default_factory=list)
    failed_calls: list[str] = field(default_factory=list)
    has_succeeded: bool = False
    _last_reply: str | None = field(default=None, repr=False)

    def saw(self, outcome: object) -> None:
        """Take note of a proposal: a ``ReflectionError``, a ``Rejection``, or a usable one.

        Raises:
            WeakReflectionError: The first ``limit`` proposals were all unusable.
            NoReflectionError: The first ``MAX_FAILED_CALLS`` calls all failed.
        """
        if self.has_succeeded:
            return
        if isinstance(outcome, Rejection):
            self.failures.append(f"{outcome.guard}: {outcome.reason}")
        elif not isinstance(outcome, ReflectionError):
            self.has_succeeded = True
        elif outcome.reply is None:
            self.failed_calls.append(outcome.message)
        else:
            self._last_reply = outcome.reply or self._last_reply
            self.failures.append(outcome.message)
        if self.limit is not None:
            self._check(self.limit)

    def _check(self, limit: int) -> None:
        if not self.failures and len(self.failed_calls) >= MAX_FAILED_CALLS:
            raise NoReflectionError(
                f"the reflection model {self.model_name} did not answer: its first "
                f"{len(self.failed_calls)} calls failed ({_joined(self.failed_calls)})",
                remedy="check its name, key and connection (model=...), and run again",
            )
        if len(self.failures) >= limit:
            raise WeakReflectionError(
                f"the reflection model {self.model_name} is too weak: none of its first "
                f"{len(self.failures)} proposals could be used ({_joined(self.failures)})",
                reply=self._last_reply,
                remedy="pass a stronger model= to the optimizer, or use FewShotBayesianOptimizer "
                "or ParameterOptimizer, which need none",
            )


def _joined(texts: Sequence[str]) -> str:
    return "; ".join(dict.fromkeys(texts))


__all__ = ["MAX_FAILED_CALLS", "MAX_FRUITLESS", "Reflection", "ReflectionWatch", "Rewriter"]
