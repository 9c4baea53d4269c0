"""What runs the prompts: one chat prompt with its tools by default, or an agent of the user's."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from opik_eval.metrics.base import arguments_of
from opik_eval.models.base import Usage
from opik_eval.models.budget import Budget
from opik_eval.models.context import enter_repeat, use_models
from opik_optimizer.agent_call import Agent, AgentCall, AgentRun, Prompts
from opik_optimizer.calling import call as run_user
from opik_optimizer.calling import raise_if_spent
from opik_optimizer.chat_agent import ChatAgent
from opik_optimizer.errors import AgentError, SettingsError
from opik_optimizer.prompt import ChatPrompt


class OptimizableAgent:
    """Base of agents that run several prompts, or run one in a way of their own.

    Implement ``invoke_agent``, or ``ainvoke_agent`` for asynchronous code. Either may be called in
    many threads or tasks at once, so keep no state of a call on ``self``. Model calls made through
    ``opik_eval.models`` are counted and kept within the budget by themselves.

    Example:
        >>> class Shouting(OptimizableAgent):
        ...     def invoke_agent(self, prompts, dataset_item, allow_tool_use=False, seed=None):
        ...         return prompts["chat-prompt"].get_messages(dataset_item)[0]["content"].upper()
        >>> Shouting().invoke_agent({"chat-prompt": ChatPrompt(user="{q}")}, {"q": "hi"})
        'HI'
    """

    def invoke_agent(
        self,
        prompts: dict[str, ChatPrompt],
        dataset_item: dict[str, object],
        allow_tool_use: bool = False,
        seed: int | None = None,
    ) -> object:
        """Return the answer to one item: a text, or a mapping with ``output``."""
        raise NotImplementedError

    async def ainvoke_agent(
        self,
        prompts: dict[str, ChatPrompt],
        dataset_item: dict[str, object],
        allow_tool_use: bool = False,
        seed: int | None = None,
    ) -> object:
        """Return the answer to one item, asynchronously."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class UserAgent:
    """An agent of the user's: an ``OptimizableAgent``, or a function plain or async.

    A function takes by name whatever it wants of ``prompts`` (a dict), ``prompt`` (if there is only
    one), ``messages`` (that one's, rendered), ``dataset_item`` (``item``), ``allow_tool_use`` and
    ``seed``; or the prompts and the item by position. It gets copies and may change them.
    """

    agent: OptimizableAgent | Callable[..., object]

    async def run(self, call: AgentCall) -> AgentRun:
        """Answer one item; see ``Agent.run``."""
        meter, started = Budget(), time.perf_counter()
        try:
            with use_models(budget=meter):
                enter_repeat(call.repeat)
                output = await self._output(call)
        except Exception as error:
            raise_if_spent(error)
            raise AgentError(f"the agent raised {type(error).__name__}: {error}") from error
        if output is None:
            raise AgentError("the agent returned None", remedy="return the answer as a text")
        if isinstance(output, AgentRun):
            return output
        used = meter.report()
        return AgentRun(
            output=output,
            usage=Usage(total_tokens=used.tokens),
            cost_usd=None if used.unpriced_requests else used.cost_usd,
            model_calls=used.requests,
            seconds=time.perf_counter() - started,
        )

    def fingerprint(self, prompts: Prompts) -> str:
        """Return the key of its code and configuration, and of the tools' code."""
        from opik_eval.engine.fingerprint import fingerprint

        return fingerprint([self.agent, *(prompt.function_map for prompt in prompts.values())])

    def check(self, prompts: Prompts) -> None:
        """Accept any prompts: the agent alone knows."""
        _ = prompts

    async def _output(self, call: AgentCall) -> object:
        function, values = self._function, _values(call)
        arguments = arguments_of(function)
        if arguments.missing_from(values):
            start = partial(function, values["prompts"], values["dataset_item"])
        else:
            positional, named = arguments.select(values)
            start = partial(function, *positional, **named)
        return await run_user(start, executor=call.executor)

    @property
    def _function(self) -> Callable[..., object]:
        if not isinstance(self.agent, OptimizableAgent):
            return self.agent
        is_async = type(self.agent).ainvoke_agent is not OptimizableAgent.ainvoke_agent
        return self.agent.ainvoke_agent if is_async else self.agent.invoke_agent


def as_agent(agent: object = None) -> Agent:
    """Return the agent that something stands for.

    Args:
        agent: ``None`` = the one that runs a single chat prompt; an ``Agent``; an
            ``OptimizableAgent``; a function; or a class of agents, which is instantiated.

    Raises:
        SettingsError: It is none of these.
    """
    if agent is None:
        return ChatAgent()
    if isinstance(agent, type):
        agent = agent()
    if isinstance(agent, OptimizableAgent):
        own = type(agent)
        names = ("invoke_agent", "ainvoke_agent")
        if all(getattr(own, name) is getattr(OptimizableAgent, name) for name in names):
            raise SettingsError(
                f"{own.__name__} implements neither invoke_agent nor ainvoke_agent",
                remedy="define invoke_agent(self, prompts, dataset_item, allow_tool_use, seed)",
            )
        return UserAgent(agent)
    if isinstance(agent, Agent):
        return agent
    if callable(agent):
        return UserAgent(agent)
    raise SettingsError(
        f"a {type(agent).__name__} is no agent",
        remedy="pass a subclass of OptimizableAgent, or a function (prompts, dataset_item)",
    )


def _values(call: AgentCall) -> dict[str, object]:
    prompts = {name: prompt.copy() for name, prompt in call.prompts.items()}
    item = dict(call.item)
    values: dict[str, object] = {
        "prompts": prompts,
        "dataset_item": item,
        "item": item,
        "allow_tool_use": call.allow_tool_use,
        "seed": call.seed,
    }
    if len(prompts) == 1:
        (prompt,) = prompts.values()
        values |= {"prompt": prompt, "messages": prompt.get_messages(item)}
    return values


__all__ = [
    "Agent",
    "AgentCall",
    "AgentRun",
    "OptimizableAgent",
    "Prompts",
    "UserAgent",
    "as_agent",
]
