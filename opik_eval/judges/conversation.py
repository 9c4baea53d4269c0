"""Judges of whole conversations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import BaseModel, Field

from opik_eval.errors import MetricError
from opik_eval.judges.base import Judge, Reason, Verdict
from opik_eval.judges.together import together
from opik_eval.metrics.base import ScoreResult
from opik_eval.prompts.messages import Message


class TurnReply(BaseModel):
    """A verdict on one turn."""

    reason: Reason = Field(description="What decides it.")
    answer: bool = Field(description="Whether what is asked about is the case.")


@dataclass
class _WindowJudge(Judge):
    """Base of judges that look at every turn through a window that ends with it."""

    reply: ClassVar[type[BaseModel]] = TurnReply
    takes_open_end: ClassVar[bool] = False

    include_reason: bool = field(default=True, kw_only=True)
    window_size: int = field(default=10, kw_only=True)
    temperature: float | None = field(default=1e-8, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window_size < 1:
            raise MetricError(
                f"metric {self.name!r}: window_size is {self.window_size}", remedy="give 1 or more"
            )

    async def ascore(self, conversation: Sequence[Message], **_ignored: object) -> ScoreResult:
        """Judge every turn of ``conversation``, all at once.

        Args:
            conversation: Messages with ``role`` and ``content``, and ``context`` where an answer
                rests on one.

        Raises:
            MetricError: There is no turn that ends in an answer.
        """
        self.check({"conversation": conversation})
        windows = windows_of(conversation, self.window_size, open_end=self.takes_open_end)
        if not windows:
            raise MetricError(
                f"metric {self.name!r} finds no turn to judge in 'conversation'",
                remedy="give messages such as {'role': 'assistant', 'content': 'Hello'}",
            )
        hearing = self.hearing()
        replies = await together(
            hearing.ask(self.prompt, TurnReply, {"messages": window}) for window in windows
        )
        answers = [reply.answer for reply in replies]
        bad = [
            f"turn {number}: {reply.reason}"
            for number, reply in enumerate(replies, start=1)
            if reply.answer == (self.higher_is_better is False)
        ]
        reason = "\n".join(bad) or f"nothing to object to in {len(answers)} turns"
        verdict = Verdict(
            value=sum(answers) / len(answers),
            reason=reason if self.include_reason else None,
            metadata={"turns": answers},
        )
        return self.result(hearing, verdict)


@dataclass
class ConversationalCoherenceMetric(_WindowJudge):
    """What share of the assistant's turns fits the conversation so far, 0 to 1.

    Each turn is judged with what came before it, all of them at the same time. The reason lists the
    turns that do not fit; it is taken from the verdicts and costs no call of its own.

    Args:
        include_reason: Give the reason.
        window_size: Exchanges that a turn is judged with, itself included; at least 1.

    Example:
        >>> ConversationalCoherenceMetric(model="openai/gpt-5-nano").name
        'conversational_coherence_score'
    """

    prompt: ClassVar[str] = "conversation_coherence"

    name: str = field(default="conversational_coherence_score", kw_only=True)


@dataclass
class UserFrustrationMetric(_WindowJudge):
    """In what share of the turns the user is frustrated, 0 to 1. Lower is better.

    Each turn is judged with what came before it, all of them at the same time. A last word of the
    user that got no answer is a turn too: that is where users give up.

    Args:
        include_reason: Give the reason.
        window_size: Exchanges that a turn is judged with, itself included; at least 1.

    Example:
        >>> UserFrustrationMetric(model="openai/gpt-5-nano").name
        'user_frustration_score'
    """

    prompt: ClassVar[str] = "conversation_frustration"
    takes_open_end: ClassVar[bool] = True
    higher_is_better: ClassVar[bool | None] = False

    name: str = field(default="user_frustration_score", kw_only=True)


class Goals(BaseModel):
    """What a user wants of a conversation."""

    goals: list[Reason] = Field(
        json_schema_extra={"maxItems": 10}, description="The user's goals; may be empty."
    )


@dataclass
class SessionCompletenessQuality(Judge):
    """What share of the user's goals the conversation reaches, 0 to 1.

    One call finds the goals, then one call for each decides, all at the same time. A conversation
    without goals gets no score.

    Args:
        include_reason: Give the reason.

    Example:
        >>> SessionCompletenessQuality(model="openai/gpt-5-nano").name
        'session_completeness_quality'
    """

    include_reason: bool = field(default=True, kw_only=True)
    temperature: float | None = field(default=1e-8, kw_only=True)
    name: str = field(default="session_completeness_quality", kw_only=True)

    async def ascore(self, conversation: Sequence[Message], **_ignored: object) -> ScoreResult:
        """Judge ``conversation``: messages with ``role`` and ``content``."""
        self.check({"conversation": conversation})
        hearing = self.hearing()
        found = await hearing.ask("conversation_goals", Goals, {"messages": conversation})
        if not found.goals:
            return self.result(hearing, Verdict(value=None, reason="the user has no goals"))
        replies = await together(
            hearing.ask("conversation_goal", TurnReply, {"messages": conversation, "goal": goal})
            for goal in found.goals
        )
        reached = [reply.answer for reply in replies]
        lines = [
            f"{'reached' if reply.answer else 'missed'}: {goal} ({reply.reason})"
            for goal, reply in zip(found.goals, replies, strict=True)
        ]
        verdict = Verdict(
            value=sum(reached) / len(reached),
            reason="\n".join(lines) if self.include_reason else None,
            metadata={"goals": dict(zip(found.goals, reached, strict=True))},
        )
        return self.result(hearing, verdict)


def windows_of(
    conversation: Sequence[Message], size: int, *, open_end: bool = False
) -> list[list[Message]]:
    """Return, for every exchange, the messages of it and of those before it.

    An exchange ends with an answer: the last of one or more messages of the assistant in a row that
    has content.

    Args:
        conversation: Messages in order.
        size: Exchanges in a window at most.
        open_end: Take what the user says after the last answer as an exchange.

    Example:
        >>> ask, say = {"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}
        >>> [len(window) for window in windows_of([ask, say, ask, say, ask], 10)]
        [2, 4]
    """
    exchanges: list[list[Message]] = [[]]
    for message in conversation:
        if message.get("role") != "assistant" and _is_answered(exchanges[-1]):
            exchanges.append([])
        exchanges[-1].append(message)
    last = exchanges[-1]
    if not _is_answered(last) and not (open_end and any(m.get("role") == "user" for m in last)):
        exchanges.pop()
    return [
        [message for exchange in exchanges[max(0, end - size) : end] for message in exchange]
        for end in range(1, len(exchanges) + 1)
    ]


def _is_answered(exchange: Sequence[Mapping[str, object]]) -> bool:
    if not exchange or exchange[-1].get("role") != "assistant":
        return False
    content = exchange[-1].get("content")
    return bool(content.strip() if isinstance(content, str) else content)


__all__ = [
    "ConversationalCoherenceMetric",
    "Goals",
    "SessionCompletenessQuality",
    "TurnReply",
    "UserFrustrationMetric",
    "windows_of",
]
