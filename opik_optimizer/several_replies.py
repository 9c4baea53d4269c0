"""Several replies to one item (``n`` in the model parameters), and which of them counts.

``best_by_metric`` scores all and takes the best: the score is then pass@n, which says what the
model can do, and not what a user will get who has no metric at hand. The other policies choose
without looking at the expected answer.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from opik_eval.models.base import Usage
from opik_eval.serialization import content_hash
from opik_optimizer.agent_call import AgentRun
from opik_optimizer.errors import AgentError, SettingsError

if TYPE_CHECKING:
    from opik_eval.models.base import Completion
    from opik_optimizer.objective import ObjectiveScore
    from opik_optimizer.prompt import ChatPrompt

Policy = Literal["best_by_metric", "first", "concat", "random", "max_logprob"]
POLICIES: tuple[Policy, ...] = get_args(Policy)

_BETWEEN = "\n\n"


@dataclass(frozen=True, kw_only=True)
class Replies:
    """How many replies a prompt asks for, and what is made of them.

    Attributes:
        count: How many; each is a call of its own.
        policy: ``best_by_metric`` (pass@n), ``first``, ``concat`` (all of them, joined),
            ``random`` (the same one in every run), or ``max_logprob`` (the highest mean
            log-probability of its tokens).
    """

    count: int = 1
    policy: Policy = "best_by_metric"

    @classmethod
    def of(cls, prompt: ChatPrompt) -> Replies:
        """Read ``n`` and ``selection_policy`` of a prompt's model parameters.

        Raises:
            SettingsError: They make no sense, or the prompt has tools.

        Example:
            >>> from opik_optimizer import ChatPrompt
            >>> parameters = {"n": 3, "selection_policy": "first"}
            >>> Replies.of(ChatPrompt(user="{q}", model_parameters=parameters))
            Replies(count=3, policy='first')
        """
        count = prompt.model_parameters.get("n")
        count = 1 if count is None else count
        policy = prompt.model_parameters.get("selection_policy") or "best_by_metric"
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise SettingsError(
                f"prompt {prompt.name!r} asks for n={count!r} replies",
                remedy="n is a whole number of at least 1",
            )
        if policy not in POLICIES:
            raise SettingsError(
                f"prompt {prompt.name!r} has selection_policy={policy!r}",
                remedy=f"use one of {', '.join(POLICIES)}",
            )
        if count > 1 and prompt.tools:
            raise SettingsError(
                f"prompt {prompt.name!r} asks for n={count} replies and has tools",
                remedy="remove n: each reply would call the tools once more",
            )
        return cls(count=count, policy=policy)

    def join(
        self, runs: Sequence[AgentRun], last: Sequence[Completion], *, key: object
    ) -> AgentRun:
        """Make one run of several.

        Args:
            runs: The runs, each with one reply.
            last: The completion behind each.
            key: What the choice of ``random`` depends on.

        Raises:
            AgentError: ``max_logprob``, and the provider tells no log-probabilities.
        """
        whole = _sum(runs)
        outputs = [str(run.output) for run in runs]
        if self.policy == "concat":
            return replace(whole, output=_BETWEEN.join(text.strip() for text in outputs))
        if self.policy == "random":
            return replace(whole, output=random.Random(content_hash(key)).choice(outputs))
        if self.policy == "max_logprob":
            means = [_mean_logprob(completion) for completion in last]
            return replace(whole, output=outputs[means.index(max(means))])
        if self.policy == "best_by_metric":
            return replace(whole, output=outputs[0], alternatives=tuple(outputs))
        return replace(whole, output=outputs[0])


async def best_of(
    run: AgentRun, score: Callable[[object], Awaitable[ObjectiveScore]]
) -> tuple[AgentRun, ObjectiveScore]:
    """Score a run; of one with alternatives, all of them, and keep the first of the best.

    Args:
        run: What the agent did.
        score: Scores one output.
    """
    if not run.alternatives:
        return run, await score(run.output)
    outputs = run.alternatives
    scores = await asyncio.gather(*(score(output) for output in outputs))
    values = [-math.inf if each.score is None else each.score for each in scores]
    best = values.index(max(values))
    return replace(run, output=outputs[best]), scores[best]


def sum_usage(usages: Sequence[Usage]) -> Usage:
    """Return the sum of usages; a count that nobody gave stays unknown.

    Example:
        >>> sum_usage([Usage(prompt_tokens=2), Usage(prompt_tokens=3)])
        Usage(prompt_tokens=5, completion_tokens=None, total_tokens=None, cached_tokens=None, \
reasoning_tokens=None)
    """
    if len(usages) == 1:
        return usages[0]

    def total(name: str) -> int | None:
        known = [value for usage in usages if (value := getattr(usage, name)) is not None]
        return sum(known) if known else None

    return Usage(
        prompt_tokens=total("prompt_tokens"),
        completion_tokens=total("completion_tokens"),
        total_tokens=total("total_tokens"),
        cached_tokens=total("cached_tokens"),
        reasoning_tokens=total("reasoning_tokens"),
    )


def _sum(runs: Sequence[AgentRun]) -> AgentRun:
    costs = [run.cost_usd for run in runs if run.cost_usd is not None]
    return AgentRun(
        output=None,
        usage=sum_usage([run.usage for run in runs]),
        cost_usd=math.fsum(costs) if len(costs) == len(runs) else None,
        model_calls=sum(run.model_calls for run in runs),
        seconds=max(run.seconds for run in runs),
    )


def _mean_logprob(completion: Completion) -> float:
    if not completion.logprobs:
        raise AgentError(
            f"{completion.model} told no log-probabilities, which selection_policy='max_logprob' "
            "needs",
            remedy="choose another selection_policy",
        )
    return math.fsum(token.logprob for token in completion.logprobs) / len(completion.logprobs)


__all__ = ["POLICIES", "Policy", "Replies", "best_of", "sum_usage"]
