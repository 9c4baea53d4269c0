"""What the batteries for transports share: a server and a transport for each test."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from opik_eval.models.base import ModelRequest, Transport
from opik_eval.testing.fake_server import FakeServer

KEY = "sk-contract-0123456789"
"""The key that the server of each test wants."""

WRONG_KEY = "sk-wrong-9876543210"
UNUSED_PORT = "http://127.0.0.1:9/v1"  # the port of "discard", which nothing here listens on


class TransportBattery:
    """Makes a server and a transport for each test."""

    model = "openai/fake"

    def make_transport(self, base_url: str, api_key: str) -> Transport:
        """Return a transport for ``self.model`` to a server; overridden by every user."""
        raise NotImplementedError

    def request(
        self, text: str = "hello", *, timeout: float = 30, **params: object
    ) -> ModelRequest:
        """Return a request with one message of the user."""
        messages = [{"role": "user", "content": text}]
        return ModelRequest(
            model=self.model, messages=messages, params=params, timeout_seconds=timeout
        )

    @pytest.fixture
    def server(self) -> Iterator[FakeServer]:
        """A server that wants the key of the contract."""
        with FakeServer(api_key=KEY) as server:
            yield server

    @pytest.fixture
    def runner(self) -> Iterator[asyncio.Runner]:
        """The event loop of one test."""
        with asyncio.Runner() as runner:
            yield runner

    @pytest.fixture
    def transport(self, server: FakeServer, runner: asyncio.Runner) -> Iterator[Transport]:
        """A transport to the server."""
        transport = self.make_transport(server.base_url, KEY)
        yield transport
        runner.run(transport.aclose())
