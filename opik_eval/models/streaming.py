"""A reply that comes in pieces."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from dataclasses import replace
from typing import Self, cast

from opik_eval.models.base import Completion
from opik_eval.models.failures import CallSite
from opik_eval.models.openai_format import Json, text_of
from opik_eval.models.replies import complete


class ReplyAssembler:
    """Puts the chunks of a streamed reply together again.

    Attributes:
        is_finished: A chunk has said why the reply ends.
    """

    def __init__(self) -> None:
        self.is_finished = False
        self._raw: dict[str, object] = {}
        self._choice: dict[str, object] = {"index": 0, "finish_reason": None}
        self._texts: dict[str, list[str]] = {"content": [], "refusal": [], "reasoning_content": []}
        self._calls: dict[int, dict[str, list[str]]] = {}
        self._tokens: list[object] = []

    @property
    def has_begun(self) -> bool:
        """Some token has come, be it text, hidden reasoning or part of a tool call."""
        return bool(self._calls) or any(self._texts.values())

    def add(self, chunk: Json) -> str:
        """Take in a chunk and return the piece of text it brings; may be empty."""
        self._raw |= {k: v for k, v in chunk.items() if k != "choices" and v is not None}
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices or choices[0].get("index", 0) != 0:
            return ""
        choice = cast("Mapping[str, object]", choices[0])
        if choice.get("finish_reason"):
            self._choice["finish_reason"] = choice["finish_reason"]
            self.is_finished = True
        logprobs = choice.get("logprobs")
        if isinstance(logprobs, Mapping):
            self._tokens += cast("list[object]", logprobs.get("content") or [])
        delta = choice.get("delta")
        return self._add_delta(delta) if isinstance(delta, Mapping) else ""

    def reply(self) -> Json:
        """Return what the provider would have sent without streaming."""
        message: dict[str, object] = {"role": "assistant", "content": None}
        message |= {name: "".join(texts) for name, texts in self._texts.items() if texts}
        if self._calls:
            message["tool_calls"] = [
                {
                    "id": "".join(call["id"]),
                    "type": "function",
                    "function": {k: "".join(call[k]) for k in ("name", "arguments")},
                }
                for _, call in sorted(self._calls.items())
            ]
        logprobs = {"content": self._tokens} if self._tokens else None
        choice = {**self._choice, "message": message, "logprobs": logprobs}
        return {**self._raw, "object": "chat.completion", "choices": [choice]}

    def _add_delta(self, delta: Json) -> str:
        for name, texts in self._texts.items():
            if piece := text_of(delta.get(name)):
                texts.append(piece)
        for call in cast("Iterable[Json]", delta.get("tool_calls") or ()):
            index = cast("int", call.get("index", len(self._calls)))
            parts = self._calls.setdefault(index, {"id": [], "name": [], "arguments": []})
            function = cast("Json", call.get("function") or {})
            for name, value in (("id", call.get("id")), *function.items()):
                if isinstance(value, str) and name in parts:
                    parts[name].append(value)
        return text_of(delta.get("content")) or text_of(delta.get("refusal"))


class CompletionStream(AsyncIterator[str]):
    """The pieces of a reply's text as they come.

    Attributes:
        completion: The whole reply, with usage, tool calls and cost, once all pieces are read.
        ttft_seconds: Time from the request to the first token, once it has come.
    """

    def __init__(
        self,
        chunks: AsyncGenerator[Json],
        *,
        site: CallSite,
    ) -> None:
        self.completion: Completion | None = None
        self.ttft_seconds: float | None = None
        self._site = site
        self._pieces = self._read(chunks)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        return await anext(self._pieces)

    async def aclose(self) -> None:
        """Give up the rest of the reply and free the connection."""
        await self._pieces.aclose()

    async def _read(self, chunks: AsyncGenerator[Json]) -> AsyncGenerator[str]:
        started = time.perf_counter()
        assembler = ReplyAssembler()
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                piece = assembler.add(chunk)
                if self.ttft_seconds is None and assembler.has_begun:
                    self.ttft_seconds = time.perf_counter() - started
                if piece:
                    yield piece
        if not assembler.is_finished:
            raise self._site.broken("a stream that ends before the reply does")
        latency = time.perf_counter() - started
        completion = complete(assembler.reply(), site=self._site, latency_seconds=latency)
        self.completion = replace(completion, ttft_seconds=self.ttft_seconds)
