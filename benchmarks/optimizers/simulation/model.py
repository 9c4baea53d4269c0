"""A simulated task behind ``opik_eval.models``: answers and reflections through one model.

Needs ``opik_eval``; the rest of the package does not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from benchmarks.optimizers.simulation.replies import Writer
from benchmarks.optimizers.simulation.task import Record, SimulatedTask
from opik_eval.models.base import Completion, Message, ModelRequest, Usage
from opik_eval.models.client import ChatModel
from opik_eval.models.clock import Clock, SystemClock
from opik_eval.models.fake import FakeTransport, last_user_text


class SimulatedTransport(FakeTransport):
    """Answers the task's questions and writes prompts, as the request asks.

    A request is a question if no schema is asked for and its last user message ends in one of the
    task's questions; the messages before it are the prompt. Everything else is for the reflection
    model.

    Args:
        task: The world.
        answer_seconds: How long an answer takes.
        reflection_seconds: How long a reflection takes.
        clock: What to wait on.
        usd_per_token: Price of every token.
    """

    def __init__(
        self,
        task: SimulatedTask,
        *,
        answer_seconds: float = 0.0,
        reflection_seconds: float = 0.0,
        clock: Clock | None = None,
        usd_per_token: float = 1e-7,
    ) -> None:
        super().__init__(features=frozenset({"seed", "json_schema"}))
        self._task = task
        self._answer_seconds = answer_seconds
        self._reflection_seconds = reflection_seconds
        self._clock = clock or SystemClock()
        self._price = usd_per_token

    async def reply(self, request: ModelRequest) -> Completion:
        """Return an answer or a reflection."""
        item = None if request.json_schema else self._question(request.messages)
        seconds = self._reflection_seconds if item is None else self._answer_seconds
        if seconds:
            await self._clock.sleep(seconds)
        text = self._reflection(request) if item is None else self._answer(request, item)
        return self._completion(request, text)

    def _question(self, messages: Sequence[Message]) -> Record | None:
        asked = last_user_text(messages).rstrip()
        item = self._task.find_item(asked)
        return item if item is not None and asked.endswith(item["question"]) else None

    def _answer(self, request: ModelRequest, item: Record) -> str:
        prompt = _text(request.messages).rstrip().removesuffix(item["question"]).strip()
        return self._task.answer(prompt, item)

    def _reflection(self, request: ModelRequest) -> str:
        text = _text(request.messages)
        if request.json_schema is None:
            return f"```\n{self._task.reflect(text)}\n```"
        writer = Writer(
            text=text,
            prompt=lambda: self._task.reflect(text),
            analysis=lambda: self._task.analyse(text),
            item_ids=tuple(item["id"] for item in self._task.train if item["id"] in text),
        )
        return json.dumps(writer.fill(request.json_schema))

    def _completion(self, request: ModelRequest, text: str) -> Completion:
        prompt, reply = len(_text(request.messages).split()), len(text.split())
        return Completion(
            text=text,
            model=request.model,
            usage=Usage(prompt_tokens=prompt, completion_tokens=reply, total_tokens=prompt + reply),
            cost_usd=self._price * (prompt + reply),
            finish_reason="stop",
        )


def simulated_model(
    task: SimulatedTask,
    *,
    answer_seconds: float = 0.0,
    reflection_seconds: float = 0.0,
    clock: Clock | None = None,
) -> ChatModel:
    """Return a model that answers a task's questions and writes prompts for it.

    Example:
        >>> from benchmarks.optimizers.simulation.catalogue import make_task
        >>> task = make_task("rules", seed=0)
        >>> model = simulated_model(task)
        >>> question = {"role": "user", "content": task.train[0]["question"]}
        >>> task.metric(task.train[0], model.generate_sync([question]).text)[0] in (0.0, 1.0)
        True
    """
    transport = SimulatedTransport(
        task,
        answer_seconds=answer_seconds,
        reflection_seconds=reflection_seconds,
        clock=clock,
    )
    return ChatModel(name=f"fake/simulated-{task.name}", transport=transport)


def _text(messages: Sequence[Message]) -> str:
    parts: list[str] = []
    for message in messages:
        content = message.get("content") or ""
        if isinstance(content, str):
            parts.append(content)
        elif isinstance(content, Sequence):
            parts += [str(p.get("text", "")) for p in content if isinstance(p, Mapping)]
    return "\n".join(parts)
