"""A user whom a model plays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opik_eval.errors import ConfigError
from opik_eval.models import Model, get_model
from opik_eval.prompts.messages import Message

_ROLE = """\
You play a person who talks to an assistant. This is who you are and what you want:

{persona}

You are given the conversation so far: what the assistant says reaches you as the user's messages.
Answer with the next thing this person says, and nothing else: one message in their own words, \
without quotation marks, without a name in front. Never speak for the assistant."""
_OPENING = "The conversation begins. Say the first thing."


class SimulatedUser:
    """Says what a user would say next.

    Args:
        persona: Who the user is and what they want.
        model: The model that plays them: a name, a model, or ``None`` for the default model.
        fixed_responses: Say these in turn, again from the first after the last, and ask no model.
            They count up over the life of this object: take a new one for each conversation.

    Raises:
        ConfigError: There is no persona, or ``fixed_responses`` is empty.

    Example:
        >>> user = SimulatedUser("in a hurry", fixed_responses=["Where is my parcel?", "And now?"])
        >>> user.generate_response([])
        'Where is my parcel?'
        >>> user.generate_response([])
        'And now?'
    """

    def __init__(
        self,
        persona: str,
        model: str | Model | None = None,
        fixed_responses: Sequence[str] | None = None,
    ) -> None:
        if not persona.strip():
            raise ConfigError(
                "the persona is empty", remedy="say who the user is and what they want"
            )
        if fixed_responses is not None and (
            isinstance(fixed_responses, str) or not fixed_responses
        ):
            raise ConfigError(
                "fixed_responses is empty or no list",
                remedy="pass a list of texts, or leave it out to have a model answer",
            )
        self.persona = persona
        self.model = model
        self.fixed_responses = None if fixed_responses is None else tuple(fixed_responses)
        self._said = 0

    def generate_response(self, conversation_history: Sequence[Message]) -> str:
        """Return what the user says next.

        Args:
            conversation_history: The messages so far, as the application sees them: the user's as
                ``user``, the application's as ``assistant``.

        Raises:
            ModelError: The model failed; a reply without text is a failure.
        """
        if self.fixed_responses is not None:
            self._said += 1
            return self.fixed_responses[(self._said - 1) % len(self.fixed_responses)]
        reply = get_model(self.model).generate_sync(self._messages(conversation_history))
        return reply.text.strip()

    def _messages(self, history: Sequence[Message]) -> list[Message]:
        role = {"role": "system", "content": _ROLE.format(persona=self.persona)}
        opening = {"role": "user", "content": _OPENING}
        return [role, opening, *(_turned(message) for message in history if _is_said(message))]


def _is_said(message: Message) -> bool:
    return message.get("role") in ("user", "assistant") and bool(message.get("content"))


def _turned(message: Message) -> Mapping[str, object]:
    role = "assistant" if message["role"] == "user" else "user"
    return {"role": role, "content": message["content"]}
