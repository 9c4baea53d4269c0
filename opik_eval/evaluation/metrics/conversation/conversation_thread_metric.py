"""The base of metrics of whole conversations."""

from __future__ import annotations

from opik_eval.metrics.base import BaseMetric


class ConversationThreadMetric(BaseMetric):
    """Base of metrics whose ``score`` takes a ``conversation``; see ``BaseMetric`` for the rest.

    Example:
        >>> class Replies(ConversationThreadMetric):
        ...     def score(self, conversation, **ignored):
        ...         return sum(message["role"] == "assistant" for message in conversation)
        >>> Replies().score([{"role": "assistant", "content": "Hello."}])
        1
    """


__all__ = ["ConversationThreadMetric"]
