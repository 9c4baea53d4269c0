"""The battery that every transport passes: what ``Transport`` promises, against a real server.

A transport's test module subclasses ``TransportContract``::

    class TestMyTransport(TransportContract):
        def make_transport(self, base_url: str, api_key: str) -> Transport:
            return MyTransport(self.model, api_base=base_url, api_key=api_key)

and ``EmbeddingContract`` likewise, if it embeds texts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, cast

import pytest

from opik_eval import errors
from opik_eval.models.base import Completion, ModelRequest, TokenLogprob, ToolCall, Transport
from opik_eval.testing.fake_replies import FakeReply, rate_limited, tool_call
from opik_eval.testing.fake_server import FakeServer
from opik_eval.testing.model_failures import FailureContract, StreamContract
from opik_eval.testing.transport_battery import KEY, WRONG_KEY, TransportBattery

_SCHEMA = {
    "type": "object",
    "title": "Verdict",
    "properties": {"reason": {"type": "string"}, "score": {"type": "integer"}},
    "required": ["reason", "score"],
    "additionalProperties": False,
}


class ReplyContract(TransportBattery):
    """What comes back when all goes well."""

    def test_reply_has_text_usage_and_reason(
        self, transport: Transport, runner: asyncio.Runner
    ) -> None:
        """A reply carries its text, the model's full name, token counts, reason and latency."""
        reply = runner.run(transport.send(self.request("one two three")))
        assert reply.text == "ok"
        assert reply.model == self.model
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (3, 1)
        assert reply.usage.total_tokens == 4
        assert reply.finish_reason == "stop"
        assert reply.latency_seconds > 0
        assert (reply.cached, reply.attempts, reply.parsed) == (False, 1, None)

    def test_messages_and_params_go_through_unchanged(
        self, server: FakeServer, transport: Transport, runner: asyncio.Runner
    ) -> None:
        """Messages and parameters reach the server as they are, the model without its prefix."""
        request = self.request("hé\u2028llo", temperature=0.25, seed=7, stop=["\n"])
        runner.run(transport.send(request))
        body = server.requests[0].body
        assert body["messages"] == list(request.messages)
        assert (body["temperature"], body["seed"], body["stop"]) == (0.25, 7, ["\n"])
        assert body["model"] == self.model.partition("/")[2]
        assert "response_format" not in body

    def test_extra_body_reaches_the_server(
        self, server: FakeServer, transport: Transport, runner: asyncio.Runner
    ) -> None:
        """Parameters that only this server knows can be given in ``extra_body``."""
        runner.run(transport.send(self.request(extra_body={"grammar": 'root ::= "a"'})))
        assert server.requests[0].body["grammar"] == 'root ::= "a"'

    def test_tool_calls_are_returned_as_they_came(
        self, server: FakeServer, transport: Transport, runner: asyncio.Runner
    ) -> None:
        """A reply may have no text if it calls tools; arguments stay the text they were."""
        server.script(tool_call("search", '{"q":  "x"}', id="call_7"))
        reply = runner.run(transport.send(self.request()))
        assert reply.text == ""
        assert reply.tool_calls == (ToolCall(id="call_7", name="search", arguments='{"q":  "x"}'),)
        assert reply.finish_reason == "tool_calls"

    def test_logprobs_are_returned_with_rivals(
        self, server: FakeServer, transport: Transport, runner: asyncio.Runner
    ) -> None:
        """Log-probabilities carry each token and its rivals, in the provider's order."""
        rivals = (("yes", -0.1), ("no", -2.5))
        logprobs = (TokenLogprob(token="yes", logprob=-0.1, top=rivals),)
        server.script(FakeReply(text="yes", logprobs=logprobs))
        reply = runner.run(transport.send(self.request(logprobs=True, top_logprobs=2)))
        assert reply.logprobs == logprobs

    def test_cached_and_reasoning_tokens_are_counted(
        self, server: FakeServer, transport: Transport, runner: asyncio.Runner
    ) -> None:
        """Usage tells the cached part of the prompt and the reasoning part of the completion."""
        counts = {"prompt_tokens": 90, "completion_tokens": 30, "total_tokens": 120}
        details = {
            "prompt_tokens_details": {"cached_tokens": 64},
            "completion_tokens_details": {"reasoning_tokens": 20},
        }
        server.script(FakeReply(usage={**counts, **details}))
        usage = runner.run(transport.send(self.request())).usage
        assert (usage.cached_tokens, usage.reasoning_tokens, usage.total_tokens) == (64, 20, 120)

    def test_schema_is_sent_as_response_format(
        self, server: FakeServer, transport: Transport, runner: asyncio.Runner
    ) -> None:
        """A JSON schema goes out as ``response_format``, with its properties in their order."""
        request = self.request()
        asked = ModelRequest(model=self.model, messages=request.messages, json_schema=_SCHEMA)
        runner.run(transport.send(asked))
        form = cast("dict[str, object]", server.requests[0].body["response_format"])
        described = cast("dict[str, object]", form["json_schema"])
        schema = cast("dict[str, dict[str, object]]", described["schema"])
        assert (form["type"], described["name"]) == ("json_schema", "Verdict")
        assert schema["properties"] == _SCHEMA["properties"]
        assert list(schema["properties"]) == ["reason", "score"]

    def test_raw_reply_is_kept(self, transport: Transport, runner: asyncio.Runner) -> None:
        """The provider's own reply is there as JSON types."""
        raw = runner.run(transport.send(self.request())).raw
        assert raw is not None
        choices = cast("Sequence[dict[str, dict[str, object]]]", raw["choices"])
        assert choices[0]["message"]["content"] == "ok"

    def test_price_of_unknown_model_is_unknown(
        self, transport: Transport, runner: asyncio.Runner
    ) -> None:
        """The cost of a model without a price is ``None``, never 0."""
        assert runner.run(transport.send(self.request())).cost_usd is None

    def test_many_requests_are_in_flight_together(
        self, server: FakeServer, transport: Transport, runner: asyncio.Runner
    ) -> None:
        """A transport sets no limit of its own on how many requests run at once."""
        server.latency_seconds = 0.3

        async def send_all() -> list[Completion]:
            return await asyncio.gather(*(transport.send(self.request(str(i))) for i in range(24)))

        assert len(runner.run(send_all())) == 24
        assert server.peak_in_flight == 24

    def test_transport_outlives_an_event_loop(self, server: FakeServer) -> None:
        """A transport that served one event loop serves the next one too."""
        transport = self.make_transport(server.base_url, KEY)

        async def send_and_close() -> str:
            reply = await transport.send(self.request())
            await transport.aclose()
            return reply.text

        assert [asyncio.run(send_and_close()) for _ in range(2)] == ["ok", "ok"]


class AccountContract(TransportBattery):
    """What a transport tells about itself."""

    def test_account_is_a_fingerprint(self, server: FakeServer, runner: asyncio.Runner) -> None:
        """Accounts of equal keys are equal, of other keys other, and none holds its key."""
        keys = (KEY, KEY, WRONG_KEY)
        transports = [self.make_transport(server.base_url, key) for key in keys]
        first, second, other = (transport.account for transport in transports)
        assert first == second != other
        assert KEY not in first
        for transport in transports:
            runner.run(transport.aclose())

    def test_features_are_answered(self, transport: Transport) -> None:
        """Each known feature is either there or not; an unknown one is not."""
        features = ("json_schema", "logprobs", "tools", "seed")
        assert all(isinstance(transport.supports(feature), bool) for feature in features)
        assert transport.supports("telepathy") is False

    def test_closing_twice_is_harmless(self, transport: Transport, runner: asyncio.Runner) -> None:
        """Closing a closed or unused transport does nothing."""
        runner.run(transport.aclose())
        runner.run(transport.aclose())


class TransportContract(ReplyContract, FailureContract, StreamContract, AccountContract):
    """Everything that ``Transport`` promises."""


class EmbeddingTransport(Transport, Protocol):
    """A transport that embeds texts, too."""

    async def embed(
        self, texts: Sequence[str], *, timeout_seconds: float = 60.0, **params: object
    ) -> list[list[float]]:
        """Return a vector for each text."""
        ...


class EmbeddingContract(TransportBattery):
    """Embeddings, for transports that have ``embed``."""

    def embedder(self, transport: Transport) -> EmbeddingTransport:
        """Return the transport as what it is."""
        return cast("EmbeddingTransport", transport)

    def test_one_vector_for_each_text(self, transport: Transport, runner: asyncio.Runner) -> None:
        """Vectors come in the order of the texts; equal texts have equal vectors."""
        embed = self.embedder(transport).embed
        first, other, second = runner.run(embed(["a", "b", "a"]))
        assert first == second != other
        assert len(first) == len(other) > 0

    def test_order_is_by_index(
        self, server: FakeServer, transport: Transport, runner: asyncio.Runner
    ) -> None:
        """Vectors that a server sends in another order are put into the order of the texts."""
        rows = b'[{"index":1,"embedding":[1.0]},{"index":0,"embedding":[0.0]}]'
        server.script(FakeReply(body=b'{"object":"list","model":"m","data":%b}' % rows))
        assert runner.run(self.embedder(transport).embed(["a", "b"])) == [[0.0], [1.0]]

    def test_nothing_to_embed_sends_nothing(
        self, server: FakeServer, transport: Transport, runner: asyncio.Runner
    ) -> None:
        """No texts, no request."""
        assert runner.run(self.embedder(transport).embed([])) == []
        assert server.requests == []

    def test_missing_vector_is_a_broken_reply(
        self, server: FakeServer, transport: Transport, runner: asyncio.Runner
    ) -> None:
        """A vector too few is an error, never a shorter list."""
        rows = b'[{"index":0,"embedding":[0.0]}]'
        server.script(FakeReply(body=b'{"object":"list","model":"m","data":%b}' % rows))
        with pytest.raises(errors.ModelUnavailableError):
            runner.run(self.embedder(transport).embed(["a", "b"]))

    def test_failure_is_the_right_error(
        self, server: FakeServer, transport: Transport, runner: asyncio.Runner
    ) -> None:
        """Failures are the same as those of ``send``."""
        server.script(rate_limited("2"))
        with pytest.raises(errors.RateLimitedError) as caught:
            runner.run(self.embedder(transport).embed(["a"]))
        assert caught.value.retry_after_seconds == 2
