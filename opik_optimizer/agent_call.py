"""What running prompts on an item means: the call, what comes of it, and who does it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from opik_eval.models.base import Usage
from opik_optimizer.prompt import ChatPrompt

Prompts = Mapping[str, ChatPrompt]


@dataclass(frozen=True, kw_only=True)
class AgentCall:
    """What an agent is asked to do.

    Attributes:
        prompts: The prompts by name.
        item: The dataset item.
        allow_tool_use: Tools may be called.
        seed: Seed for the model; ``None`` = the provider's choice.
        repeat: Which of several equal calls it is.
        executor: Threads for synchronous code; the loop's own if absent.
    """

    prompts: Prompts
    item: Mapping[str, object]
    allow_tool_use: bool = True
    seed: int | None = None
    repeat: int = 0
    executor: Executor | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class AgentRun:
    """What an agent did.

    Attributes:
        output: What it answered: a text, or a mapping with ``output`` and more for the metric.
        usage: Tokens of its model calls, as far as they are known.
        cost_usd: What they cost; ``None`` if a price is unknown.
        model_calls: How many there were.
        tool_calls: How many tools it called.
        seconds: Time it took.
        alternatives: All answers, where the metric is to choose the one that counts.
    """

    output: object
    usage: Usage = field(default_factory=Usage)
    cost_usd: float | None = 0.0
    model_calls: int = 0
    tool_calls: int = 0
    seconds: float = 0.0
    alternatives: tuple[object, ...] = ()


@runtime_checkable
class Agent(Protocol):
    """What the optimizers run; made of whatever the user passes by ``as_agent``."""

    async def run(self, call: AgentCall) -> AgentRun:
        """Answer one item.

        Raises:
            AgentError: The user's agent failed; the cause is chained.
            ModelError: The default agent's model failed.
            BudgetExceededError: A model call does not fit the budget.
        """
        ...

    def fingerprint(self, prompts: Prompts) -> str:
        """Return the key of the code that runs these prompts, the same in every process."""
        ...

    def check(self, prompts: Prompts) -> None:
        """Find out before spending that it cannot run these prompts.

        Raises:
            SettingsError: It cannot; the text says what to do.
        """
        ...


__all__ = ["Agent", "AgentCall", "AgentRun", "Prompts"]
