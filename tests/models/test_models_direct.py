"""DirectTransport: the contract, and what only this transport has."""

import asyncio
import gc
import threading
from types import MappingProxyType

import pytest

from opik_eval import errors
from opik_eval.models.base import ModelRequest, Transport
from opik_eval.models.connections import Connections
from opik_eval.models.direct_transport import DirectTransport
from opik_eval.testing.fake_replies import FakeReply, failure, tool_call
from opik_eval.testing.fake_server import FakeServer
from opik_eval.testing.model_contract import EmbeddingContract, TransportContract

MESSAGES = [{"role": "user", "content": "hello you"}]


class TestDirectTransport(TransportContract):
    def make_transport(self, base_url: str, api_key: str) -> Transport:
        return DirectTransport(self.model, api_base=base_url, api_key=api_key)


class TestDirectEmbeddings(EmbeddingContract):
    def make_transport(self, base_url: str, api_key: str) -> Transport:
        return DirectTransport(self.model, api_base=base_url, api_key=api_key)


@pytest.fixture
def server():
    with FakeServer() as server:
        yield server


def send(server, request=None, *, model="openai/gpt-4o", **settings):
    """Send one request through a transport of its own."""
    settings = {"api_key": "sk-test", "api_base": server.base_url, **settings}

    async def main():
        transport = DirectTransport(model, **settings)
        try:
            return await transport.send(request or ModelRequest(model=model, messages=MESSAGES))
        finally:
            await transport.aclose()

    return asyncio.run(main())


def read_stream(server, request=None):
    """Read a streamed reply; return its pieces and the stream."""

    async def main():
        transport = DirectTransport("openai/gpt-4o", api_base=server.base_url, api_key="")
        stream = transport.stream(request or ModelRequest(model="m", messages=MESSAGES))
        try:
            return [piece async for piece in stream], stream
        finally:
            await transport.aclose()

    return asyncio.run(main())


class TestRequests:
    def test_no_key_no_authorization(self, server):
        """Without a key no Authorization is sent, with one it is a bearer token."""
        send(server, api_key="")
        send(server, api_key="sk-1234")
        assert "authorization" not in server.requests[0].headers
        assert server.requests[1].headers["authorization"] == "Bearer sk-1234"

    def test_own_headers_are_sent(self, server):
        """Headers given to the transport go out with every request."""
        send(server, headers={"X-Team": "blue"})
        assert server.requests[0].headers["x-team"] == "blue"

    def test_missing_key_is_told_before_any_request(self, monkeypatch):
        """Without OPENAI_API_KEY nothing is sent, and the error names the variable."""
        for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE"):
            monkeypatch.delenv(variable, raising=False)
        transport = DirectTransport("openai/gpt-4o")
        request = ModelRequest(model="openai/gpt-4o", messages=MESSAGES)
        with pytest.raises(errors.AuthenticationError, match=r"OPENAI_API_KEY.*nothing was sent"):
            asyncio.run(transport.send(request))

    def test_params_unknown_to_openai_go_through(self, server):
        """Parameters such as a grammar reach the server as they are."""
        params = {"grammar": "root ::= x", "top_k": 3, "extra_body": {"min_p": 0.1}}
        send(server, ModelRequest(model="m", messages=MESSAGES, params=params))
        body = server.requests[0].body
        assert (body["grammar"], body["top_k"], body["min_p"]) == ("root ::= x", 3, 0.1)
        assert "extra_body" not in body

    def test_any_mapping_is_a_message(self, server):
        """Messages need not be dictionaries, and lone surrogates do not stop them."""
        message = MappingProxyType({"role": "user", "content": "a\ud800b"})
        server.reply = lambda messages: str(len(messages))
        with pytest.raises(errors.ModelUnavailableError):  # this server cannot read it, that is all
            send(server, ModelRequest(model="m", messages=[message]))
        message = MappingProxyType({"role": "user", "content": "fine"})
        assert send(server, ModelRequest(model="m", messages=[message])).text == "1"

    def test_what_is_not_json_is_not_sent(self, server):
        """A parameter without a JSON form is refused here, by name of its type."""
        request = ModelRequest(model="m", messages=MESSAGES, params={"user": object()})
        with pytest.raises(errors.InvalidRequestError, match=r"object.*nothing was sent"):
            send(server, request)
        assert server.requests == []

    def test_redirect_is_refused(self, server):
        """A redirect is an error that tells where it leads, since a POST would not survive it."""
        away = {"Location": "https://user:secret@elsewhere.example/v1?key=1"}
        server.script(FakeReply(status=307, headers=away, body=b""))
        with pytest.raises(errors.InvalidRequestError, match=r"elsewhere\.example/v1") as caught:
            send(server)
        assert "secret" not in str(caught.value)


class TestReplies:
    def test_cost_is_of_the_price_file(self, server):
        """A known model's cost follows from its usage; a service tier has its own price."""
        usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
        server.script(FakeReply(usage=usage))
        assert send(server).cost_usd == pytest.approx(0.0035)
        server.script(FakeReply(usage=usage, extra={"service_tier": "priority"}))
        assert send(server).cost_usd > 0.0035

    def test_failure_with_status_200_is_a_failure(self, server):
        """A gateway's error with status 200 is the error that its code says."""
        server.script(FakeReply(body=b'{"error":{"message":"slow down","code":429}}'))
        with pytest.raises(errors.RateLimitedError, match="slow down"):
            send(server)
        server.script(FakeReply(body=b'{"error":"backend gone"}'))
        with pytest.raises(errors.ModelUnavailableError, match="backend gone"):
            send(server)

    @pytest.mark.parametrize("body", [b"[]", b'"text"', b'{"choices":[{}]}', b""])
    def test_other_json_is_a_broken_reply(self, server, body):
        """JSON that is no completion is a broken reply, never a crash."""
        server.script(FakeReply(body=body))
        with pytest.raises(errors.ModelUnavailableError):
            send(server)

    def test_reply_of_reasoning_alone_is_empty(self, server):
        """A reply that ran out of tokens while thinking says that max_tokens is the cause."""
        server.script(FakeReply(text=None, finish_reason="length"))
        with pytest.raises(errors.EmptyReplyError, match="max_tokens"):
            send(server)

    def test_refusal_is_text(self, server):
        """A refusal in a field of its own is the reply's text."""
        message = b'{"role":"assistant","content":null,"refusal":"I will not."}'
        body = b'{"choices":[{"index":0,"message":%b,"finish_reason":"stop"}]}' % message
        server.script(FakeReply(body=body))
        assert send(server).text == "I will not."


class TestStreams:
    def test_stream_ends_with_the_whole_reply(self, server):
        """After the last piece the stream holds the reply with usage, cost and times."""
        server.script("one two")
        pieces, stream = read_stream(server)
        reply = stream.completion
        assert pieces == ["one ", "two"]
        assert reply.text == "one two"
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (2, 2)
        assert reply.cost_usd > 0
        assert 0 < reply.ttft_seconds <= reply.latency_seconds
        assert reply.ttft_seconds == stream.ttft_seconds

    def test_tool_calls_are_put_together(self, server):
        """Tool calls that come in pieces are whole in the end."""
        server.script(tool_call("search", '{"q": "a b c"}'))
        pieces, stream = read_stream(server)
        assert pieces == []
        assert stream.completion.tool_calls[0].arguments == '{"q": "a b c"}'

    def test_error_event_is_raised(self, server):
        """An error in the middle of a stream is raised as what it is."""
        server.script(FakeReply(body=b'data: {"error":{"message":"full","code":503}}\n\n'))
        with pytest.raises(errors.ModelUnavailableError, match="full"):
            read_stream(server)

    def test_stream_without_end_is_broken(self, server):
        """A stream that just stops is an error, also if the connection ended properly."""
        server.script(FakeReply(body=b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'))
        with pytest.raises(errors.ModelUnavailableError, match="ends before"):
            read_stream(server)

    def test_reader_can_close_the_stream(self, server):
        """``aclose`` gives up the rest."""

        async def main():
            transport = DirectTransport("openai/m", api_base=server.base_url, api_key="")
            stream = transport.stream(ModelRequest(model="m", messages=MESSAGES))
            first = await anext(stream)
            await stream.aclose()
            await transport.aclose()
            return first, [piece async for piece in stream]

        server.script("one two")
        assert asyncio.run(main()) == ("one ", [])


class TestFeatures:
    @pytest.mark.parametrize(
        ("model", "feature", "expected"),
        [
            ("openai/gpt-4o", "json_schema", True),
            ("openai/gpt-4", "json_schema", False),
            ("openai/gpt-4o", "logprobs", True),
            ("openai/gpt-5-nano", "logprobs", False),
            ("openai/gpt-5-nano", "seed", True),
            ("hosted_vllm/qwen3", "logprobs", True),
            ("ollama/llama3.2", "logprobs", False),
            ("ollama/unheard-of", "json_schema", True),
        ],
    )
    def test_features_follow_model_and_server(self, model, feature, expected):
        """What is known of a model counts first, then what its kind of server can do."""
        transport = DirectTransport(model, api_base="http://127.0.0.1:9/v1", api_key="")
        assert transport.supports(feature) is expected

    def test_features_can_be_given(self):
        """Given features replace all guesses."""
        transport = DirectTransport(
            "openai/gpt-4o", api_base="http://h/v1", api_key="", features=frozenset({"tools"})
        )
        assert transport.supports("tools")
        assert not transport.supports("json_schema")


def test_proxy_of_the_environment_is_used(server, monkeypatch):
    """A server elsewhere is reached through the environment's proxy, this machine never is."""
    monkeypatch.setenv("http_proxy", server.base_url.removesuffix("/v1"))
    monkeypatch.delenv("no_proxy", raising=False)
    assert send(server, api_base="http://model.example/v1").text == "ok"
    assert server.requests[0].headers["host"] == "model.example"
    assert send(server).text == "ok"
    assert server.requests[1].headers["host"].startswith("127.0.0.1:")


def test_dimensions_of_embeddings(server):
    """Parameters of embeddings go through."""

    async def main():
        transport = DirectTransport("openai/m", api_base=server.base_url, api_key="")
        vectors = await transport.embed(["a", "b"], dimensions=3)
        await transport.aclose()
        return vectors

    assert [len(vector) for vector in asyncio.run(main())] == [3, 3]


class TestConnections:
    """Sessions that nobody closes are closed all the same, whatever became of their loop."""

    @staticmethod
    async def open_session(connections):
        return connections.session()

    def test_each_loop_has_its_own(self):
        """One loop keeps its session, another one gets another; the old loop's is closed."""
        connections = Connections("http://127.0.0.1:9", {})
        with asyncio.Runner() as runner:
            first = runner.run(self.open_session(connections))
            assert runner.run(self.open_session(connections)) is first
        with asyncio.Runner() as runner:
            second = runner.run(self.open_session(connections))
            assert second is not first
            assert first.closed
            runner.run(connections.aclose())
            assert second.closed

    def test_closed_on_collection_after_the_loop(self):
        """The session of a closed loop is closed when its owner is collected."""
        connections = Connections("http://127.0.0.1:9", {})
        session = asyncio.run(self.open_session(connections))
        del connections
        gc.collect()
        assert session.closed

    def test_closed_on_collection_between_runs(self):
        """The session of a loop that does not run now is closed when its owner is collected."""
        with asyncio.Runner() as runner:
            connections = Connections("http://127.0.0.1:9", {})
            session = runner.run(self.open_session(connections))
            del connections
            gc.collect()
            assert session.closed

    def test_closed_on_collection_inside_the_loop(self):
        """The session of the running loop is closed when its owner is collected."""

        async def main():
            connections = Connections("http://127.0.0.1:9", {})
            session = connections.session()
            del connections
            gc.collect()
            return session.closed

        assert asyncio.run(main())

    def test_closed_from_another_loop(self):
        """Closing on one loop closes the sessions of loops in other threads and of idle ones."""
        connections = Connections("http://127.0.0.1:9", {})
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        elsewhere = asyncio.run_coroutine_threadsafe(self.open_session(connections), loop).result()
        idle = asyncio.Runner()
        sleeping = idle.run(self.open_session(connections))
        asyncio.run(connections.aclose())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        idle.close()
        assert elsewhere.closed
        assert sleeping.closed


def test_unauthorized_reply_names_the_variable(server):
    """A key that came from the environment is called by its variable's name."""
    server.script(failure(401, "no"))
    with pytest.raises(errors.AuthenticationError, match="OPENAI_API_KEY"):
        send(server)
