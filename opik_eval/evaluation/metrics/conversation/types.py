"""What a conversation is."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class ConversationDict(TypedDict):
    """One message.

    Attributes:
        role: ``user`` or ``assistant``.
        content: What was said.
        context: What an answer was grounded on.
    """

    role: str
    content: str
    context: NotRequired[list[str]]


Conversation = list[ConversationDict]
"""The messages, oldest first."""
