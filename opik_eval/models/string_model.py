"""Model objects in Opik's style, which turn a text into a text, as models of this package."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from inspect import isawaitable
from typing import Protocol, cast, runtime_checkable

from opik_eval.errors import ModelError, ModelTimeoutError
from opik_eval.models.base import Completion, Message, ModelRequest


@runtime_checkable
class StringModel(Protocol):
    """What such an object must have; an ``agenerate_string`` is preferred where there is one."""

    def generate_string(self, input: str, **kwargs: object) -> str:
        """Return the reply to a text."""
        ...


class StringModelTransport:
    """Transport to an object with ``generate_string``; see ``opik_eval.models.base.Transport``.

    A conversation of several messages is handed over as one text in which each message follows its
    role. Such objects tell neither usage nor price, so both are unknown.

    Args:
        model: The object.
    """

    def __init__(self, model: StringModel) -> None:
        self._model = model
        self.account = name_of(model)

    def supports(self, feature: str) -> bool:  # noqa: ARG002 - the protocol's signature
        """Tell that no feature is known to be there."""
        return False

    async def send(self, request: ModelRequest) -> Completion:
        """Return the reply to a request.

        Raises:
            ModelError: The object raised an error of its own, or took too long.
        """
        try:
            async with asyncio.timeout(request.timeout_seconds):
                text = await self._generate(_as_text(request.messages), request.params)
        except ModelError:
            raise
        except TimeoutError as error:
            limit = request.timeout_seconds
            raise ModelTimeoutError(f"{request.model}: no reply within {limit:g} s") from error
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise ModelError(f"{request.model}: generate_string failed: {reason}") from error
        return Completion(text=text, model=request.model)

    async def stream(self, request: ModelRequest) -> AsyncIterator[str]:
        """Yield the reply in one piece."""
        yield (await self.send(request)).text

    async def aclose(self) -> None:
        """Do nothing: the object belongs to its user."""

    async def _generate(self, text: str, params: Mapping[str, object]) -> str:
        asynchronous = getattr(self._model, "agenerate_string", None)
        if callable(asynchronous):
            try:
                pending = cast("Callable[..., object]", asynchronous)(input=text, **params)
                return str(await pending if isawaitable(pending) else pending)
            except NotImplementedError:
                pass  # Opik's base class defines the method only to raise this
        return str(await asyncio.to_thread(self._model.generate_string, input=text, **params))


def name_of(model: StringModel) -> str:
    """Return a name for an object, from its ``model_name`` or its class."""
    return f"custom/{getattr(model, 'model_name', None) or type(model).__name__}"


def _as_text(messages: Sequence[Message]) -> str:
    texts = [(message.get("role"), _text_of(message.get("content"))) for message in messages]
    if len(texts) == 1:
        return texts[0][1]
    return "\n\n".join(f"{role}: {text}" for role, text in texts)


def _text_of(content: object) -> str:
    if not isinstance(content, list | tuple):
        return "" if content is None else str(content)
    return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
