"""What a ``FakeServer`` can be told to answer: good replies and every way of failing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from opik_eval.models.base import TokenLogprob, ToolCall

Json = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class FakeReply:
    """One answer of a ``FakeServer``.

    Attributes:
        text: Text of the reply; ``None`` is sent as null.
        tool_calls: Calls that the reply asks for.
        logprobs: Log-probabilities of its tokens.
        finish_reason: ``stop`` or ``tool_calls``, as fits, unless it is given.
        usage: Token counts in OpenAI's form; words are counted unless they are given.
        extra: Further fields of the JSON object.
        status: HTTP status.
        headers: Further headers.
        body: Sent as it is in place of a completion; any other field of the reply is then unused.
        latency_seconds: Wait before the answer.
        drip_seconds: Wait before each piece of the answer.
        cut_after: Pieces of the answer that are sent before the connection is closed; 0 = none.
    """

    text: str | None = "ok"
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] | None = None
    finish_reason: str | None = None
    usage: Json | None = None
    extra: Json = field(default_factory=dict)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    latency_seconds: float = 0.0
    drip_seconds: float = 0.0
    cut_after: int | None = None


def failure(
    status: int,
    message: str,
    *,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> FakeReply:
    """Return an error in OpenAI's form."""
    error = {"message": message, "type": "error", "param": None, "code": code}
    body = orjson.dumps({"error": error})
    return FakeReply(status=status, headers=headers or {}, body=body)


def rate_limited(retry_after: str | None = None, **headers: str) -> FakeReply:
    """Return a 429.

    Args:
        retry_after: Value of ``Retry-After``, if there is to be one.
        **headers: Further headers; an underscore stands for a hyphen.
    """
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if retry_after is not None:
        named["Retry-After"] = retry_after
    return failure(429, "Rate limit reached", code="rate_limit_exceeded", headers=named)


def server_error(status: int = 500) -> FakeReply:
    """Return a failure of the server's own."""
    return failure(status, "The server had an error while processing your request")


def context_overflow(style: str = "openai") -> FakeReply:
    """Return the refusal of a prompt that is too long.

    Args:
        style: Whose refusal: ``openai``, ``vllm`` or ``llama.cpp``.
    """
    asked = (
        "This model's maximum context length is 2048 tokens. However, you requested 9000 tokens."
    )
    if style == "openai":
        return failure(400, asked, code="context_length_exceeded")
    if style == "vllm":
        return _refused(
            {"object": "error", "message": asked, "type": "BadRequestError", "code": 400}
        )
    if style == "llama.cpp":
        said = "the request exceeds the available context size, try increasing it"
        kind = "exceed_context_size_error"
        numbers = {"n_prompt_tokens": 9000, "n_ctx": 2048}
        return _refused({"error": {"code": 400, "message": said, "type": kind, **numbers}})
    raise ValueError(f"style is openai, vllm or llama.cpp, not {style!r}")


def tool_call(name: str, arguments: str = "{}", *, id: str = "call_1") -> FakeReply:
    """Return a reply that only calls a tool; ``arguments`` is JSON text."""
    return FakeReply(text=None, tool_calls=(ToolCall(id=id, name=name, arguments=arguments),))


def empty(finish_reason: str = "stop") -> FakeReply:
    """Return a reply without text and without tool calls."""
    return FakeReply(text=None, finish_reason=finish_reason)


def bad_json() -> FakeReply:
    """Return a page of HTML with status 200, as misconfigured gateways send."""
    page = b"<html><body>It works!</body></html>"
    return FakeReply(body=page, headers={"Content-Type": "text/html"})


def truncated() -> FakeReply:
    """Return a reply whose connection is lost half-way."""
    return FakeReply(text="one two three four", cut_after=1)


def disconnected() -> FakeReply:
    """Return no reply at all: the connection is lost at once."""
    return FakeReply(cut_after=0)


def slow(seconds: float, *, text: str = "ok") -> FakeReply:
    """Return a reply whose pieces come one at a time, ``seconds`` apart."""
    return FakeReply(text=text, drip_seconds=seconds)


def completion_json(reply: FakeReply, request: Json) -> dict[str, object]:
    """Return the chat completion that a reply stands for."""
    calls = [
        {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
        for c in reply.tool_calls
    ]
    message: dict[str, object] = {"role": "assistant", "content": reply.text}
    choice: dict[str, object] = {
        "index": 0,
        "message": {**message, "tool_calls": calls} if calls else message,
        "logprobs": _logprobs_json(reply.logprobs),
        "finish_reason": reply.finish_reason or ("tool_calls" if calls else "stop"),
    }
    head = _head(request, "chat.completion")
    return {**head, "choices": [choice], "usage": _usage(reply, request), **reply.extra}


def chunks_json(reply: FakeReply, request: Json) -> list[dict[str, object]]:
    """Return the chunks in which a reply is streamed: a word, or a part of a tool call, each."""
    whole = completion_json(reply, request)
    head = {**_head(request, "chat.completion.chunk"), **reply.extra}
    logprobs = [_logprobs_json([token]) for token in reply.logprobs or ()]
    deltas: list[dict[str, object]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in _words(reply.text or "")]
    for index, call in enumerate(reply.tool_calls):
        begin = {"index": index, "id": call.id, "function": {"name": call.name, "arguments": ""}}
        deltas.append({"tool_calls": [begin]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": part}}]}
            for part in _words(call.arguments)
        ]
    chunks: list[dict[str, object]] = []
    for place, delta in enumerate(deltas):
        token = logprobs[place - 1] if 0 < place <= len(logprobs) else None
        choice = {"index": 0, "delta": delta, "logprobs": token, "finish_reason": None}
        chunks.append({**head, "choices": [choice]})
    reason = whole["choices"][0]["finish_reason"]  # type: ignore[index]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    options = request.get("stream_options")
    if isinstance(options, Mapping) and options.get("include_usage"):
        chunks.append({**head, "choices": [], "usage": whole["usage"]})
    return chunks


def with_latency(reply: FakeReply, seconds: float) -> FakeReply:
    """Return a reply that takes at least ``seconds``."""
    longer = max(seconds, reply.latency_seconds)
    return dataclasses.replace(reply, latency_seconds=longer) if seconds else reply


def _refused(body: Json) -> FakeReply:
    return FakeReply(status=400, body=orjson.dumps(body))


def _head(request: Json, kind: str) -> dict[str, object]:
    return {"id": "chatcmpl-1", "object": kind, "created": 0, "model": request.get("model")}


def _words(text: str) -> list[str]:
    """Cut a text after each space, so that the pieces together are the text."""
    return [piece for piece in text.replace(" ", " \0").split("\0") if piece]


def _usage(reply: FakeReply, request: Json) -> Json:
    if reply.usage is not None:
        return reply.usage
    messages = request.get("messages")
    asked = messages if isinstance(messages, list) else []
    prompt = sum(len(str(message.get("content")).split()) for message in asked)
    completion = len((reply.text or "").split()) + len(reply.tool_calls)
    total = prompt + completion
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}


def _logprobs_json(tokens: Sequence[TokenLogprob] | None) -> object:
    if tokens is None:
        return None
    content = [
        {
            "token": token.token,
            "logprob": token.logprob,
            "bytes": list(token.token.encode()),
            "top_logprobs": [
                {"token": rival, "logprob": logprob, "bytes": list(rival.encode())}
                for rival, logprob in token.top
            ],
        }
        for token in tokens
    ]
    return {"content": content, "refusal": None}
