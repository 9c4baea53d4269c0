"""How a transport fails: a part of the battery of ``model_contract.py``."""

from __future__ import annotations

import asyncio
import traceback

import pytest

from opik_eval import errors
from opik_eval.models.base import ModelRequest, Transport
from opik_eval.testing.fake_replies import (
    FakeReply,
    bad_json,
    context_overflow,
    disconnected,
    empty,
    failure,
    rate_limited,
    server_error,
    slow,
    truncated,
)
from opik_eval.testing.fake_server import FakeServer
from opik_eval.testing.transport_battery import KEY, UNUSED_PORT, WRONG_KEY, TransportBattery

_FAILURES: dict[str, tuple[FakeReply, type[errors.ModelError]]] = {
    "400": (failure(400, "Invalid value for temperature"), errors.InvalidRequestError),
    "403": (failure(403, "Country not supported"), errors.AuthenticationError),
    "404": (failure(404, "No such model", code="model_not_found"), errors.InvalidRequestError),
    "422": (failure(422, "messages: field required"), errors.InvalidRequestError),
    "429": (rate_limited(), errors.RateLimitedError),
    "500": (server_error(500), errors.ModelUnavailableError),
    "502": (server_error(502), errors.ModelUnavailableError),
    "503": (server_error(503), errors.ModelUnavailableError),
    "overflow-openai": (context_overflow("openai"), errors.ContextOverflowError),
    "overflow-vllm": (context_overflow("vllm"), errors.ContextOverflowError),
    "overflow-llama.cpp": (context_overflow("llama.cpp"), errors.ContextOverflowError),
    "bad-json": (bad_json(), errors.ModelUnavailableError),
    "no-choices": (FakeReply(body=b"{}"), errors.ModelUnavailableError),
    "truncated": (truncated(), errors.ModelUnavailableError),
    "disconnected": (disconnected(), errors.ModelUnavailableError),
    "empty": (empty(), errors.EmptyReplyError),
}
_WAITS: dict[str, tuple[FakeReply, float | None]] = {
    "seconds": (rate_limited("1.5"), 1.5),
    "milliseconds": (rate_limited(retry_after_ms="250"), 0.25),
    "duration": (rate_limited(x_ratelimit_reset_requests="1m2s"), 62.0),
    "reset": (rate_limited(RateLimit_Reset="7"), 7.0),
    "unsaid": (rate_limited(), None),
}


class FailureContract(TransportBattery):
    """What is raised when something goes wrong."""

    @pytest.mark.parametrize("name", _FAILURES)
    def test_failure_is_the_right_error(
        self, name: str, server: FakeServer, transport: Transport, runner: asyncio.Runner
    ) -> None:
        """Every failure is the right ``ModelError``, after one request, naming the model."""
        reply, kind = _FAILURES[name]
        server.script(reply)
        with pytest.raises(kind) as caught:
            runner.run(transport.send(self.request()))
        assert type(caught.value) is kind
        assert self.model in str(caught.value)
        assert caught.value.remedy
        assert len(server.requests) == 1
        if name.isdigit():
            assert caught.value.status == int(name)

    @pytest.mark.parametrize("name", _WAITS)
    def test_wait_is_what_the_provider_asks_for(
        self, name: str, server: FakeServer, transport: Transport, runner: asyncio.Runner
    ) -> None:
        """A refused request says how long to wait, if the provider said so in any usual way."""
        reply, seconds = _WAITS[name]
        server.script(reply)
        with pytest.raises(errors.RateLimitedError) as caught:
            runner.run(transport.send(self.request()))
        assert caught.value.retry_after_seconds == seconds

    def test_refused_key_never_shows(self, server: FakeServer, runner: asyncio.Runner) -> None:
        """A refused key is an error without the key in it, even where the server echoes it."""
        transport = self.make_transport(server.base_url, WRONG_KEY)
        with pytest.raises(errors.AuthenticationError) as caught:
            runner.run(transport.send(self.request()))
        runner.run(transport.aclose())
        assert WRONG_KEY not in str(caught.value) + repr(caught.value) + repr(caught.value.args)
        assert WRONG_KEY not in "".join(traceback.format_exception(caught.value))

    def test_secret_parameters_never_show(
        self, server: FakeServer, transport: Transport, runner: asyncio.Runner
    ) -> None:
        """What a request carries under a secret-looking name is not in the error that echoes it."""
        server.script(failure(400, "refused: team_token=hush-4711 for user u-1"))
        request = self.request(extra_body={"team_token": "hush-4711", "user": "u-1"})
        with pytest.raises(errors.InvalidRequestError, match="u-1") as caught:
            runner.run(transport.send(request))
        assert "hush-4711" not in "".join(traceback.format_exception(caught.value))

    def test_refused_connection(self, runner: asyncio.Runner) -> None:
        """A server that is not there is unavailable."""
        transport = self.make_transport(UNUSED_PORT, KEY)
        with pytest.raises(errors.ModelUnavailableError):
            runner.run(transport.send(self.request()))
        runner.run(transport.aclose())

    @pytest.mark.parametrize(
        "reply", [FakeReply(latency_seconds=60), slow(20)], ids=["late", "slow"]
    )
    def test_time_limit_holds(
        self, reply: FakeReply, server: FakeServer, transport: Transport, runner: asyncio.Runner
    ) -> None:
        """A reply that is not complete in time is an error, also when it trickles in."""
        server.script(reply)
        with pytest.raises(errors.ModelTimeoutError):
            runner.run(transport.send(self.request(timeout=0.2)))

    def test_cancelled_request_ends_at_once(
        self, server: FakeServer, transport: Transport, runner: asyncio.Runner
    ) -> None:
        """A cancelled request raises ``CancelledError``, and the transport goes on working."""
        server.script(FakeReply(latency_seconds=60))

        async def cancel_then_send() -> str:
            task = asyncio.ensure_future(transport.send(self.request()))
            while not server.requests:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return (await transport.send(self.request())).text

        assert runner.run(cancel_then_send()) == "ok"

    def test_streaming_is_not_for_send(
        self, server: FakeServer, transport: Transport, runner: asyncio.Runner
    ) -> None:
        """The parameter ``stream`` is refused by ``send`` before anything is sent."""
        with pytest.raises(errors.InvalidRequestError, match="stream"):
            runner.run(transport.send(self.request(stream=True)))
        assert server.requests == []


class StreamContract(TransportBattery):
    """Replies in pieces."""

    def read(
        self, runner: asyncio.Runner, transport: Transport, request: ModelRequest
    ) -> list[str]:
        """Return all pieces of a streamed reply."""

        async def read_all() -> list[str]:
            return [piece async for piece in transport.stream(request)]

        return runner.run(read_all())

    def test_pieces_make_up_the_text(
        self, server: FakeServer, transport: Transport, runner: asyncio.Runner
    ) -> None:
        """The pieces come one by one and together are the text."""
        server.script("one two  three")
        pieces = self.read(runner, transport, self.request())
        assert len(pieces) > 1
        assert "".join(pieces) == "one two  three"

    @pytest.mark.parametrize("name", ["429", "500", "overflow-openai", "disconnected", "empty"])
    def test_failed_stream_is_the_right_error(
        self, name: str, server: FakeServer, transport: Transport, runner: asyncio.Runner
    ) -> None:
        """A stream that cannot start fails as ``send`` does."""
        reply, kind = _FAILURES[name]
        server.script(reply)
        with pytest.raises(kind):
            self.read(runner, transport, self.request())
        assert len(server.requests) == 1

    def test_lost_connection_is_not_the_end_of_the_text(
        self, server: FakeServer, transport: Transport, runner: asyncio.Runner
    ) -> None:
        """A stream that breaks off raises; half a reply never looks like a whole one."""
        server.script(FakeReply(text="one two three", cut_after=3))
        with pytest.raises(errors.ModelUnavailableError):
            self.read(runner, transport, self.request())

    def test_time_limit_holds_for_the_whole_stream(
        self, server: FakeServer, transport: Transport, runner: asyncio.Runner
    ) -> None:
        """The time limit is for the whole reply, not for each piece."""
        server.script(slow(0.15, text="one two three four five"))
        with pytest.raises(errors.ModelTimeoutError):
            self.read(runner, transport, self.request(timeout=0.4))

    def test_reader_may_stop_early(
        self, server: FakeServer, transport: Transport, runner: asyncio.Runner
    ) -> None:
        """A reader that has seen enough leaves a transport that goes on working."""
        server.script("one two three")

        async def read_one() -> str:
            async for piece in transport.stream(self.request()):
                return piece
            return ""

        assert runner.run(read_one()) == "one "
        assert runner.run(transport.send(self.request())).text == "ok"
