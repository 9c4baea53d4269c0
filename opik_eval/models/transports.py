"""Transports by model name, one for each event loop, closed when the loop shuts down."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from opik_eval.models.base import Transport
from opik_eval.models.endpoints import takes_direct_path
from opik_eval.models.fake_names import fake_transport


@dataclass(frozen=True, kw_only=True)
class Address:
    """Who serves a model; models with equal addresses share their connections.

    Attributes:
        name: Full name of the model.
        api_base: Base URL, where it is not the provider's usual one.
        api_key: Key, where it does not come from the environment.
    """

    name: str
    api_base: str | None = None
    api_key: str | None = field(default=None, repr=False)


def make_transport(address: Address) -> Transport:
    """Return a new transport for a model; the import it needs happens here."""
    provider, _, _ = address.name.partition("/")
    if provider == "fake":
        return fake_transport(address.name)
    if provider == "local" and address.api_base is None:
        from opik_eval.models.local import LocalTransport

        return LocalTransport(address.name)
    if takes_direct_path(address.name, api_base=address.api_base):
        from opik_eval.models.direct_transport import DirectTransport

        return DirectTransport(address.name, api_base=address.api_base, api_key=address.api_key)
    from opik_eval.models.litellm_transport import LiteLLMTransport

    given = {"api_base": address.api_base, "api_key": address.api_key}
    return LiteLLMTransport(address.name, **{key: v for key, v in given.items() if v is not None})


class _LoopTransports:
    """The transports of one event loop."""

    def __init__(self) -> None:
        self.by_address: dict[Address, Transport] = {}
        self._keeper = self._close_at_the_end()

    async def start(self) -> None:
        """Have the loop close the transports when it shuts down.

        A loop ends the asynchronous generators that were begun on it (``shutdown_asyncgens``, which
        ``asyncio.run`` calls); there is no other hook for its end.
        """
        await anext(self._keeper)

    async def _close_at_the_end(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            _by_loop.pop(asyncio.get_running_loop(), None)
            for transport in self.by_address.values():
                await transport.aclose()


_by_loop: dict[asyncio.AbstractEventLoop, _LoopTransports] = {}
_lock = threading.Lock()


async def transport_for(address: Address) -> Transport:
    """Return the running event loop's transport for a model, made on first use."""
    loop = asyncio.get_running_loop()
    own = _by_loop.get(loop)
    if own is None:
        with _lock:
            # Loops that ended without a shutdown took their connections with them.
            for closed in [known for known in list(_by_loop) if known.is_closed()]:
                _by_loop.pop(closed, None)
            own = _by_loop[loop] = _LoopTransports()
        await own.start()
    transport = own.by_address.get(address)
    if transport is None:
        transport = own.by_address[address] = make_transport(address)
    return transport
