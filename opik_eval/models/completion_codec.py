"""Completions as bytes, for the response cache.

Everything survives the round trip but ``parsed``, which is made anew from the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from opik_eval.models.base import Completion, TokenLogprob, ToolCall, Usage
from opik_eval.serialization import dumps, loads

_VERSION = 1


def encode_completion(completion: Completion) -> bytes:
    """Return a completion as canonical JSON."""
    fields = _present(completion)
    fields.pop("parsed", None)
    fields["usage"] = _present(completion.usage)
    return dumps({"version": _VERSION, **fields})


def decode_completion(data: bytes) -> Completion | None:
    """Return what ``encode_completion`` wrote; ``None`` for the bytes of another version."""
    fields = cast("dict[str, object]", loads(data))
    if fields.pop("version", None) != _VERSION:
        return None
    logprobs = cast("Sequence[Mapping[str, object]] | None", fields.get("logprobs"))
    calls = cast("Sequence[Mapping[str, str]]", fields["tool_calls"])
    fields["usage"] = Usage(**cast("dict[str, int | None]", fields["usage"]))
    fields["tool_calls"] = tuple(ToolCall(**call) for call in calls)
    if logprobs is not None:
        fields["logprobs"] = tuple(_token(token) for token in logprobs)
    return Completion(**fields)  # type: ignore[arg-type]


def _present(record: Completion | Usage) -> dict[str, object]:
    # What is None is left out: all such fields default to it, and canonical JSON is slow at null.
    return {name: value for name, value in vars(record).items() if value is not None}


def _token(fields: Mapping[str, object]) -> TokenLogprob:
    top = cast("Sequence[tuple[str, float | str]]", fields["top"])
    # Canonical JSON writes infinities as text; float() reads them back.
    return TokenLogprob(
        token=str(fields["token"]),
        logprob=float(cast("float | str", fields["logprob"])),
        top=tuple((token, float(logprob)) for token, logprob in top),
    )
