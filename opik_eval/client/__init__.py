"""``Opik``: the flat client that Opik's users know, over any storage."""

from opik_eval.client.opik import Opik
from opik_eval.client.prompts import ChatPrompt, Prompt
from opik_eval.client.tracing import SpanHandle, TraceHandle

__all__ = ["ChatPrompt", "Opik", "Prompt", "SpanHandle", "TraceHandle"]
