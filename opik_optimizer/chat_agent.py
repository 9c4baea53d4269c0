"""The default agent: one chat prompt, its model, and its tools in a loop."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from opik_eval.models.base import Completion, Message, Model, ToolCall
from opik_eval.serialization import dumps, loads
from opik_optimizer.agent_call import AgentCall, AgentRun, Prompts
from opik_optimizer.calling import call, raise_if_spent
from opik_optimizer.errors import SettingsError
from opik_optimizer.prompt import ChatPrompt
from opik_optimizer.several_replies import Replies, sum_usage
from opik_optimizer.tools import is_mcp

MAX_TOOL_ROUNDS = 5
"""How often the model may ask for tools; then it is told to answer."""

_OWN_PARAMETERS = frozenset({"allow_tool_use", "n", "selection_policy"})


@dataclass(frozen=True, kw_only=True)
class ChatAgent:
    """Runs one chat prompt. A tool's failure is told to the model as text.

    Args:
        model: Model for prompts that name none; the default of the settings if absent.
        max_tool_rounds: How often the model may ask for tools.
    """

    model: str | Model | None = None
    max_tool_rounds: int = MAX_TOOL_ROUNDS

    async def run(self, call: AgentCall) -> AgentRun:
        """Answer one item; see ``Agent.run``. Failures of the model are raised as they come."""
        self.check(call.prompts)
        (prompt,) = call.prompts.values()
        wanted = Replies.of(prompt)
        if wanted.count == 1:
            run, _ = await self._run(prompt, call)
            return run
        calls = (replace(call, repeat=call.repeat * wanted.count + k) for k in range(wanted.count))
        with_logprobs = wanted.policy == "max_logprob"
        made = await asyncio.gather(
            *(self._run(prompt, each, with_logprobs=with_logprobs) for each in calls),
            return_exceptions=True,  # none may be left behind uncounted
        )
        done = [outcome for outcome in made if not isinstance(outcome, BaseException)]
        for outcome in made:
            if isinstance(outcome, BaseException):
                raise outcome
        key = [prompt.get_messages(call.item), call.repeat]
        return wanted.join([run for run, _ in done], [last for _, last in done], key=key)

    async def _run(
        self, prompt: ChatPrompt, call: AgentCall, *, with_logprobs: bool = False
    ) -> tuple[AgentRun, Completion]:
        parameters = _parameters(prompt, call.seed)
        conversation = _Conversation(
            model=self._model_of(prompt),
            messages=list(prompt.get_messages(call.item)),
            parameters={"logprobs": True, **parameters} if with_logprobs else parameters,
            call=call,
        )
        started = time.perf_counter()
        allowed = call.allow_tool_use and prompt.model_parameters.get("allow_tool_use") is not False
        tools = prompt.tools if allowed else []
        reply = await conversation.ask(tools)
        for asked in range(1, self.max_tool_rounds + 1):
            if not reply.tool_calls:
                break
            await conversation.answer(reply, prompt.function_map)
            reply = await conversation.ask(tools, must_answer=asked == self.max_tool_rounds)
        return conversation.run(reply.text, time.perf_counter() - started), reply

    def fingerprint(self, prompts: Prompts) -> str:
        """Return the key of this agent's settings and of the tools' code."""
        from opik_eval.engine.fingerprint import fingerprint

        functions = [dict(prompt.function_map) for prompt in prompts.values()]
        return fingerprint(["chat-agent/1", self.model, self.max_tool_rounds, functions])

    def check(self, prompts: Prompts) -> None:
        """Refuse bundles, tools without a function, and several replies with tools."""
        if len(prompts) != 1:
            raise SettingsError(
                f"a bundle of {len(prompts)} prompts cannot be run without an agent: "
                f"{sorted(prompts)}",
                remedy="pass agent=, a subclass of OptimizableAgent or a function "
                "(prompts, dataset_item)",
            )
        (prompt,) = prompts.values()
        if any(map(is_mcp, prompt.tools)):
            raise SettingsError(
                f"prompt {prompt.name!r} names an MCP server whose tools have not been looked up",
                remedy="look them up: async with McpServers() as servers: await servers.resolve(p)",
            )
        Replies.of(prompt)

    def _model_of(self, prompt: ChatPrompt) -> Model:
        from opik_eval.models.client import get_model

        return get_model(prompt.model or self.model)


@dataclass
class _Conversation:
    """One run: what has been said and used so far."""

    model: Model
    messages: list[Message]
    parameters: Mapping[str, object]
    call: AgentCall
    replies: list[Completion] = field(default_factory=list)
    tool_calls: int = 0

    async def ask(
        self, tools: Sequence[Mapping[str, object]], *, must_answer: bool = False
    ) -> Completion:
        parameters = dict(self.parameters)
        if tools:
            parameters["tools"] = tools
        if tools and must_answer:
            parameters["tool_choice"] = "none"
        reply = await self.model.generate(
            self.messages,
            repeat=self.call.repeat,
            **parameters,  # type: ignore[arg-type]  # whatever the user gave
        )
        self.replies.append(reply)
        return reply

    async def answer(
        self, reply: Completion, functions: Mapping[str, Callable[..., object]]
    ) -> None:
        """Call the tools that a reply asks for, all at once, and add what they say."""
        asked = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
            for c in reply.tool_calls
        ]
        self.messages.append({"role": "assistant", "content": reply.text, "tool_calls": asked})
        self.tool_calls += len(asked)
        results = await asyncio.gather(*(self._tool(c, functions) for c in reply.tool_calls))
        for tool_call, text in zip(reply.tool_calls, results, strict=True):
            self.messages.append({"role": "tool", "tool_call_id": tool_call.id, "content": text})

    def run(self, output: str, seconds: float) -> AgentRun:
        """Return the whole as one run."""
        costs = [reply.cost_usd for reply in self.replies if reply.cost_usd is not None]
        return AgentRun(
            output=output,
            usage=sum_usage([reply.usage for reply in self.replies]),
            cost_usd=math.fsum(costs) if len(costs) == len(self.replies) else None,
            model_calls=len(self.replies),
            tool_calls=self.tool_calls,
            seconds=seconds,
        )

    async def _tool(self, asked: ToolCall, functions: Mapping[str, Callable[..., object]]) -> str:
        function = functions.get(asked.name)
        if function is None:
            return f"Error: there is no tool {asked.name!r}; there are {sorted(functions)}"
        try:
            arguments = loads(asked.arguments or "{}")
            if not isinstance(arguments, dict):
                return f"Error: the arguments of {asked.name!r} are no JSON object"
            start = partial(function, **arguments)
            returned = await call(start, executor=self.call.executor)
        except Exception as error:  # noqa: BLE001 - the user's tool; the model is told
            raise_if_spent(error)
            return f"Error: {type(error).__name__}: {error}"
        return returned if isinstance(returned, str) else dumps(returned).decode()


def _parameters(prompt: ChatPrompt, seed: int | None) -> dict[str, object]:
    own = {k: v for k, v in prompt.model_parameters.items() if k not in _OWN_PARAMETERS}
    return own if seed is None else {"seed": seed, **own}


__all__ = ["MAX_TOOL_ROUNDS", "ChatAgent"]
