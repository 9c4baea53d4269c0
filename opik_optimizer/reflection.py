"""Questions to the reflection model: answered by the ledger, or asked once and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from pydantic import BaseModel

from opik_eval.models.base import Message
from opik_eval.models.budget import Budget as ModelBudget
from opik_eval.models.context import use_models
from opik_optimizer.errors import ReflectionError
from opik_optimizer.evaluator import UsageBook, charge_again
from opik_optimizer.events import EventStream, ReflectionFailed, ReflectionFinished
from opik_optimizer.ledger import Codec, Found, Ledger, ledger_key
from opik_optimizer.rewriter import Rewriter

Reply = TypeVar("Reply", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class StoredReply:
    """A reply as the ledger keeps it.

    Attributes:
        content: The reply as JSON types; ``None`` if there was no usable one.
        error: Why there was none.
        text: What the model wrote, if it did.
    """

    content: object = None
    error: str | None = None
    text: str | None = None
    model_calls: int = 0
    tokens: int = 0
    cost_usd: float | None = 0.0

    @classmethod
    def from_dict(cls, document: Mapping[str, object]) -> StoredReply:
        """Return what was stored."""
        return cls(**cast("Mapping[str, str]", document))  # type: ignore[arg-type]


REPLY_CODEC: Codec[StoredReply] = Codec(
    encode=lambda reply: dict(vars(reply)),
    decode=StoredReply.from_dict,
    is_shared=lambda reply: reply.error is None,
)
"""How replies are kept. Those that were of no use stay the run's own."""


@dataclass
class Reflector:
    """Asks the reflection model. For one run.

    Attributes:
        rewriter: The model that writes prompts, and how it is asked.
        analyst: The one that analyses; the same unless the user named another.
    """

    rewriter: Rewriter
    analyst: Rewriter
    ledger: Ledger[StoredReply]
    events: EventStream
    optimization_id: str
    usage: UsageBook

    def __post_init__(self) -> None:
        self._counted: set[str] = set()

    async def ask(
        self,
        messages: Sequence[Message],
        response_format: type[Reply],
        *,
        purpose: str,
        repeat: int = 0,
        analysis: bool = False,
    ) -> Reply:
        """Return the model's reply.

        Args:
            messages: What to ask.
            response_format: What the reply must be.
            purpose: What it is for, for events.
            repeat: Which of several equal questions it is; each has a reply of its own.
            analysis: Ask the model that analyses.

        Raises:
            ReflectionError: There is no usable reply.
            BudgetExceededError: The call does not fit the budget.
        """
        rewriter = self.analyst if analysis else self.rewriter
        key = ledger_key(
            "reflection",
            rewriter.resolved().name,
            rewriter.parameters,
            list(messages),
            response_format.model_json_schema(),
            repeat,
        )
        found = await self.ledger.get(
            key, lambda: _call(rewriter, messages, response_format, purpose, repeat)
        )
        await self.ledger.flush()
        self._book(key, found, purpose)
        reply = found.value
        if reply.error is None:
            return response_format.model_validate(reply.content)
        self.events.emit(
            ReflectionFailed(
                optimization_id=self.optimization_id, purpose=purpose, reason=reply.error
            )
        )
        raise ReflectionError(
            reply.error, reply=reply.text, remedy="use a stronger reflection model (model=...)"
        )

    def _book(self, key: str, found: Found[StoredReply], purpose: str) -> None:
        reply = found.value
        self.events.emit(
            ReflectionFinished(
                optimization_id=self.optimization_id,
                purpose=purpose,
                tokens=reply.tokens,
                cost_usd=reply.cost_usd,
                replayed=found.origin != "new",
            )
        )
        if found.origin == "foreign" or key in self._counted:
            return
        self._counted.add(key)
        self.usage.of("reflection").add(reply.model_calls, reply.tokens, reply.cost_usd)
        if found.origin == "own" and reply.model_calls:
            charge_again(reply.model_calls, reply.tokens, reply.cost_usd)


async def _call(
    rewriter: Rewriter,
    messages: Sequence[Message],
    response_format: type[Reply],
    purpose: str,
    repeat: int,
) -> StoredReply:
    meter = ModelBudget()
    content: object = None
    error: str | None = None
    with use_models(budget=meter):
        try:
            reflection = await rewriter.ask(
                messages, response_format, purpose=purpose, repeat=repeat
            )
            content = reflection.answer.model_dump(mode="json")
            text: str | None = reflection.completion.text
        except ReflectionError as failure:
            error, text = failure.message, failure.reply
    used = meter.report()
    return StoredReply(
        content=content,
        error=error,
        text=text,
        model_calls=used.requests,
        tokens=used.tokens,
        cost_usd=None if used.unpriced_requests else used.cost_usd,
    )
