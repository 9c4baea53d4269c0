"""The attributes of one span, sorted into the parts of a span of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from opik_eval.records import SpanType
from opik_eval.server.otlp.rules import rule_for
from opik_eval.server.otlp.values import parsed

_TOKENS = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "prompt": "prompt_tokens",
    "completion": "completion_tokens",
    "total": "total_tokens",
}
_USAGE_PREFIXES = ("gen_ai.usage.", "llm.token_count.")
_METADATA_PREFIX = "opik.metadata."
_KINDS = {
    "LLM": SpanType.LLM,
    "EMBEDDING": SpanType.LLM,
    "TOOL": SpanType.TOOL,
    "GUARDRAIL": SpanType.GUARDRAIL,
}
_LARGEST_COUNT = 2**31 - 1


@dataclass
class Mapped:
    """What the attributes of a span say.

    Attributes:
        ids: Values of ``opik.trace_id`` and its like, by attribute.
    """

    input: dict[str, object] = field(default_factory=dict)
    output: dict[str, object] = field(default_factory=dict)
    metadata: dict[str, object] = field(default_factory=dict)
    usage: dict[str, int] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)
    model: str | None = None
    provider: str | None = None
    thread_id: str | None = None
    type: SpanType = SpanType.GENERAL


def mapped(attributes: Mapping[str, object]) -> Mapped:
    """Return the parts of a span that its attributes make up.

    Example:
        >>> found = mapped({"gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 3})
        >>> found.model, found.usage["prompt_tokens"], found.type
        ('gpt-4o', 3, <SpanType.LLM: 'llm'>)
    """
    found = Mapped()
    types: set[SpanType] = set()
    for name, value in attributes.items():
        rule = rule_for(name)
        if rule.type is not None:
            types.add(rule.type)
        if rule.target in ("input", "output"):
            getattr(found, rule.target)[name] = value
        elif rule.target == "kind":
            found.metadata[name] = value
            types.update(_KINDS[k] for k in [str(value).upper()] if k in _KINDS)
        else:
            _TAKERS[rule.target](found, name, value)
    # A model call made on behalf of a tool is a model call; nothing is more telling than a guard.
    order = (SpanType.GUARDRAIL, SpanType.LLM, SpanType.TOOL)
    found.type = next((kind for kind in order if kind in types), SpanType.GENERAL)
    _add_total(found.usage)
    return found


def _take_model(found: Mapped, name: str, value: object) -> None:
    # What answered is more exact than what was asked for: gpt-4o-2024-08-06 instead of gpt-4o.
    if found.model is None or "response" in name:
        found.model = str(value)


def _take_provider(found: Mapped, name: str, value: object) -> None:  # noqa: ARG001 - as its siblings
    found.provider = found.provider or str(value)


def _take_thread(found: Mapped, name: str, value: object) -> None:  # noqa: ARG001 - as its siblings
    found.thread_id = found.thread_id or str(value)


def _take_usage(found: Mapped, name: str, value: object) -> None:
    if isinstance(value, Mapping):
        for key, part in value.items():
            _take_usage(found, str(key), part)
        return
    key = name
    for prefix in _USAGE_PREFIXES:
        key = key.removeprefix(prefix)
    is_count = isinstance(value, int | float) and 0 <= value <= _LARGEST_COUNT
    if is_count and int(cast("float", value)) == value:
        found.usage[_TOKENS.get(key, key)] = int(cast("float", value))
    else:
        found.metadata[name] = value


def _take_metadata(found: Mapped, name: str, value: object) -> None:
    if name == _METADATA_PREFIX[:-1] and isinstance(value, Mapping):
        found.metadata |= {str(key): part for key, part in value.items()}
    else:
        found.metadata[name.removeprefix(_METADATA_PREFIX)] = value


def _take_tags(found: Mapped, name: str, value: object) -> None:  # noqa: ARG001 - as its siblings
    values = value if isinstance(value, list) else parsed(str(value))
    values = values if isinstance(values, list) else str(values).split(",")
    found.tags += [tag for tag in (str(value).strip() for value in values) if tag]


def _take_id(found: Mapped, name: str, value: object) -> None:
    found.ids[name] = str(value)


def _drop(found: Mapped, name: str, value: object) -> None:
    pass


_TAKERS = {
    "model": _take_model,
    "provider": _take_provider,
    "thread_id": _take_thread,
    "usage": _take_usage,
    "metadata": _take_metadata,
    "tags": _take_tags,
    "id": _take_id,
    "dropped": _drop,
}


def _add_total(usage: dict[str, int]) -> None:
    if "prompt_tokens" in usage and "completion_tokens" in usage:
        usage.setdefault("total_tokens", usage["prompt_tokens"] + usage["completion_tokens"])
