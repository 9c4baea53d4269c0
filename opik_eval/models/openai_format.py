"""OpenAI's chat format: requests out of, completions into, the types of ``base.py``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Protocol, cast

import orjson
from pydantic import BaseModel

from opik_eval.models.base import Completion, ModelRequest, TokenLogprob, ToolCall, Usage

Json = Mapping[str, object]
_NAMED_SCHEMAS = frozenset({"properties", "$defs", "definitions"})


class MalformedReplyError(ValueError):
    """A reply is JSON but not a chat completion; transports turn this into a ``ModelError``."""


def chat_arguments(request: ModelRequest, *, model: str, stream: bool = False) -> dict[str, object]:
    """Return the arguments of OpenAI's ``chat.completions.create`` for a request.

    Parameters go through unchanged, also those that OpenAI does not know (``grammar``, ``top_k``).
    """
    arguments: dict[str, object] = {"model": model, "messages": request.messages, **request.params}
    if request.json_schema is not None:
        arguments["response_format"] = response_format(request.json_schema)
    if stream:
        arguments["stream"] = True
        arguments.setdefault("stream_options", {"include_usage": True})
    return arguments


def chat_body(request: ModelRequest, *, model: str, stream: bool = False) -> dict[str, object]:
    """Return the JSON object to post for a request.

    What ``extra_body`` holds becomes part of the object, as in OpenAI's own client.
    """
    body = chat_arguments(request, model=model, stream=stream)
    extra = body.pop("extra_body", None)
    return {**body, **extra} if isinstance(extra, Mapping) else body


def response_format(schema: Json) -> dict[str, object]:
    """Return the ``response_format`` that asks for a reply that fits a JSON schema.

    ``strict`` is on where the schema meets what OpenAI demands of strict ones (every object closed,
    every property required); a schema that does not would be refused.
    """
    name = "".join(c if c.isalnum() or c in "_-" else "_" for c in str(schema.get("title", "")))
    ascii_name = name.encode("ascii", "ignore").decode()[:64] or "reply"
    described = {"name": ascii_name, "schema": schema, "strict": _is_strict(schema)}
    return {"type": "json_schema", "json_schema": described}


def encode(body: object) -> bytes:
    """Return JSON text; keys keep their order, since models write objects in a schema's order.

    Raises:
        TypeError: Something in ``body`` has no JSON form.
    """
    try:
        return orjson.dumps(body, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError:
        # Lone surrogates and integers beyond 64 bits are beyond orjson but not beyond the stdlib.
        return json.dumps(body, default=_plain, allow_nan=False).encode("ascii")


def parse_completion(raw: Json, *, model: str) -> Completion:
    """Return a provider's reply as a completion.

    Raises:
        MalformedReplyError: There is no message in it.
    """
    choice = _first_choice(raw)
    message = choice.get("message")
    if not isinstance(message, Mapping):
        raise MalformedReplyError("a choice without a message")
    return Completion(
        text=text_of(message.get("content")) or text_of(message.get("refusal")),
        model=model,
        tool_calls=_tool_calls(message),
        usage=parse_usage(raw.get("usage")),
        logprobs=_logprobs(choice.get("logprobs")),
        finish_reason=cast("str | None", choice.get("finish_reason")),
        raw=raw,
    )


def parse_embeddings(raw: Json, *, count: int) -> list[list[float]]:
    """Return the vectors of a reply in the order of the texts.

    Raises:
        MalformedReplyError: There is not one vector of numbers for each text.
    """
    data = raw.get("data")
    if not isinstance(data, list) or len(data) != count:
        raise MalformedReplyError(f"something else than {count} embeddings")
    try:
        rows = {int(row.get("index", place)): row["embedding"] for place, row in enumerate(data)}
        return [[float(number) for number in rows[place]] for place in range(count)]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MalformedReplyError(f"embeddings that cannot be read ({error!r})") from error


def parse_usage(value: object) -> Usage:
    """Return the token counts of a reply; what is missing or no number stays unknown."""
    if not isinstance(value, Mapping):
        return Usage()
    prompt = value.get("prompt_tokens_details")
    completion = value.get("completion_tokens_details")
    return Usage(
        prompt_tokens=_count(value, "prompt_tokens"),
        completion_tokens=_count(value, "completion_tokens"),
        total_tokens=_count(value, "total_tokens"),
        cached_tokens=_count(prompt, "cached_tokens"),
        reasoning_tokens=_count(completion, "reasoning_tokens"),
    )


def _is_strict(schema: object) -> bool:
    """Tell whether OpenAI's strict mode takes a schema: closed, all required, no defaults."""
    if isinstance(schema, list):
        return all(_is_strict(item) for item in schema)
    if not isinstance(schema, Mapping):
        return True
    if "default" in schema:
        return False
    if schema.get("type") == "object" or "properties" in schema:
        properties = cast("Json", schema.get("properties") or {})
        required = cast("Iterable[str]", schema.get("required") or ())
        if schema.get("additionalProperties") is not False or set(properties) != set(required):
            return False
    return all(
        _is_strict(list(value.values()) if key in _NAMED_SCHEMAS else value)
        for key, value in schema.items()
    )


class _HasToList(Protocol):
    def tolist(self) -> object: ...


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    if isinstance(value, type) and issubclass(value, BaseModel):
        return response_format(value.model_json_schema())
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    if hasattr(value, "tolist"):
        return cast("_HasToList", value).tolist()
    raise TypeError(f"{type(value).__name__} {value!r} has no JSON form")


def _first_choice(raw: Json) -> Json:
    choices = raw.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise MalformedReplyError("JSON without choices")
    return choices[0]


def text_of(content: object) -> str:
    """Return the text of a message's content, which is a text or a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = (part.get("text") for part in content if isinstance(part, Mapping))
    return "".join(part for part in parts if isinstance(part, str))


def _tool_calls(message: Json) -> tuple[ToolCall, ...]:
    calls = message.get("tool_calls")
    if not isinstance(calls, list) or not calls:
        return ()
    found = []
    for call in calls:
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not function.get("name"):
            raise MalformedReplyError("a tool call without a function")
        arguments = function.get("arguments")
        if not isinstance(arguments, str):  # some servers send the object itself
            arguments = orjson.dumps({} if arguments is None else arguments).decode()
        found.append(
            ToolCall(id=str(call.get("id") or ""), name=str(function["name"]), arguments=arguments)
        )
    return tuple(found)


def _logprobs(value: object) -> tuple[TokenLogprob, ...] | None:
    tokens = value.get("content") if isinstance(value, Mapping) else None
    if not isinstance(tokens, list):
        return None
    try:
        return tuple(
            TokenLogprob(
                token=token["token"],
                logprob=token["logprob"],
                top=tuple((t["token"], t["logprob"]) for t in token.get("top_logprobs") or ()),
            )
            for token in tokens
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise MalformedReplyError(f"log-probabilities without {error}") from error


def _count(value: object, name: str) -> int | None:
    number = value.get(name) if isinstance(value, Mapping) else None
    return number if isinstance(number, int) and not isinstance(number, bool) else None
