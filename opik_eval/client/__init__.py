"""``Opik``: the flat client that Opik's users know, over any storage."""

from opik_eval.client.found import FoundSpan, FoundThread, FoundTrace
from opik_eval.client.handles import SpanHandle, TraceHandle
from opik_eval.client.opik import Opik
from opik_eval.client.prompts import ChatPrompt, Prompt

__all__ = [
    "ChatPrompt",
    "FoundSpan",
    "FoundThread",
    "FoundTrace",
    "Opik",
    "Prompt",
    "SpanHandle",
    "TraceHandle",
]
