"""The fake server, seen from outside: over HTTP, by clients that are not ours."""

import http.client
import json
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from opik_eval.models.base import ToolCall
from opik_eval.testing.fake_replies import (
    FakeReply,
    bad_json,
    context_overflow,
    disconnected,
    empty,
    rate_limited,
    server_error,
    slow,
    tool_call,
    truncated,
)
from opik_eval.testing.fake_server import FakeServer
from opik_eval.testing.fixtures import fake_server

__all__ = ["fake_server"]  # a fixture


def post(server, path="/chat/completions", *, key="k", **body):
    """Post a request; return status, headers and the raw body."""
    body = {"model": "m", "messages": [{"role": "user", "content": "a b"}], **body}
    request = urllib.request.Request(
        server.base_url + path,
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def completion(server, **body):
    return json.loads(post(server, **body)[2])


class TestServer:
    def test_answers_and_records(self, fake_server):
        """It answers with a completion and keeps what reached it."""
        reply = completion(fake_server, temperature=0.5)
        assert reply["choices"][0]["message"]["content"] == "ok"
        assert reply["usage"] == {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3}
        recorded = fake_server.requests[0]
        assert recorded.path == "/v1/chat/completions"
        assert recorded.headers["authorization"] == "Bearer k"
        assert recorded.body["temperature"] == 0.5

    def test_reply_may_depend_on_messages(self):
        """A function of the messages decides on the reply."""
        with FakeServer(lambda messages: messages[-1]["content"].upper()) as server:
            assert completion(server)["choices"][0]["message"]["content"] == "A B"

    def test_script_comes_first_and_in_order(self, fake_server):
        """Scripted answers are given once each, in order, then the usual one."""
        fake_server.script("one", server_error(503), "two")
        statuses = [post(fake_server)[0] for _ in range(4)]
        assert statuses == [200, 503, 200, 200]
        assert completion(fake_server)["choices"][0]["message"]["content"] == "ok"

    def test_latency_blocks_nobody(self):
        """Requests that wait do so together, each for its own time."""
        with FakeServer(latency_seconds=0.3) as server, ThreadPoolExecutor(8) as pool:
            started = time.perf_counter()
            statuses = list(pool.map(lambda _: post(server)[0], range(8)))
            elapsed = time.perf_counter() - started
        assert statuses == [200] * 8
        assert server.peak_in_flight == 8
        assert 0.3 <= elapsed < 1.5

    def test_wrong_key_is_refused_and_echoed(self):
        """With a key of its own it refuses others, and blurts them out."""
        with FakeServer(api_key="right") as server:
            status, _, body = post(server, key="wrong")
            assert status == 401
            assert b"wrong" in body
            assert post(server, key="right")[0] == 200
            assert post(server, "/embeddings", key="wrong", input="a")[0] == 401

    def test_models_are_listed(self, fake_server):
        """It lists a model, as clients that look before they call expect."""
        with urllib.request.urlopen(fake_server.base_url + "/models", timeout=10) as response:
            assert json.load(response)["data"][0]["id"] == "fake"

    def test_it_runs_only_between_start_and_stop(self):
        """Without a start there is no URL; after a stop nothing listens; a second stop is fine."""
        server = FakeServer()
        with pytest.raises(RuntimeError, match="context manager"):
            _ = server.base_url
        with server:
            port = int(server.base_url.split(":")[2].split("/")[0])
        server.stop()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with pytest.raises(ConnectionRefusedError):
            connection.request("GET", "/v1/models")

    def test_stop_does_not_wait_for_slow_requests(self):
        """Requests in flight do not hold up the end."""
        with ThreadPoolExecutor(1) as pool:
            with FakeServer(latency_seconds=60) as server:
                pending = pool.submit(post, server)
                while not server.requests:
                    time.sleep(0.001)
                started = time.perf_counter()
            assert time.perf_counter() - started < 5
            with pytest.raises((OSError, http.client.HTTPException)):
                pending.result(timeout=5)


class TestReplies:
    def test_rate_limit_with_and_without_headers(self, fake_server):
        """A 429 says how long to wait exactly as it was told to."""
        fake_server.script(rate_limited(), rate_limited("2", x_ratelimit_reset_tokens="6m0s"))
        status, headers, _ = post(fake_server)
        assert (status, headers["Retry-After"]) == (429, None)
        _, headers, _ = post(fake_server)
        assert (headers["Retry-After"], headers["x-ratelimit-reset-tokens"]) == ("2", "6m0s")

    def test_latency_of_a_reply_adds_to_nothing(self, fake_server):
        """A reply's own latency is waited for."""
        fake_server.script(FakeReply(latency_seconds=0.2))
        started = time.perf_counter()
        post(fake_server)
        assert time.perf_counter() - started >= 0.2

    def test_slow_reply_trickles_and_is_whole(self, fake_server):
        """A dripping reply takes its time and arrives complete."""
        fake_server.script(slow(0.05, text="a b"))
        started = time.perf_counter()
        assert completion(fake_server)["choices"][0]["message"]["content"] == "a b"
        assert time.perf_counter() - started >= 0.2

    def test_truncated_reply_breaks_off(self, fake_server):
        """A truncated reply ends before its announced length."""
        fake_server.script(truncated())
        with pytest.raises(http.client.IncompleteRead):
            post(fake_server)

    def test_disconnect_sends_nothing(self, fake_server):
        """A disconnect closes the connection without a single byte."""
        fake_server.script(disconnected())
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            post(fake_server)

    def test_bad_json_is_html(self, fake_server):
        """A bad body comes with status 200."""
        fake_server.script(bad_json())
        status, headers, body = post(fake_server)
        assert (status, headers["Content-Type"]) == (200, "text/html")
        with pytest.raises(ValueError, match="Expecting value"):
            json.loads(body)

    @pytest.mark.parametrize(
        ("style", "sign"),
        [
            ("openai", "context_length_exceeded"),
            ("vllm", "maximum context length"),
            ("llama.cpp", "exceed_context_size_error"),
        ],
    )
    def test_context_overflow_in_every_style(self, fake_server, style, sign):
        """A prompt that is too long is refused in the words of each server."""
        fake_server.script(context_overflow(style))
        status, _, body = post(fake_server)
        assert status == 400
        assert sign in body.decode()

    def test_unknown_style_is_refused(self):
        """There are three styles."""
        with pytest.raises(ValueError, match="style"):
            context_overflow("abacus")

    def test_empty_reply_and_tool_call(self, fake_server):
        """Replies without text are null there; calls come in OpenAI's form."""
        fake_server.script(empty("length"), tool_call("f", '{"a":1}', id="c1"))
        choice = completion(fake_server)["choices"][0]
        assert (choice["message"]["content"], choice["finish_reason"]) == (None, "length")
        choice = completion(fake_server)["choices"][0]
        assert choice["finish_reason"] == "tool_calls"
        call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
        assert choice["message"]["tool_calls"] == [call]


class TestStreams:
    def events(self, server, **body):
        status, headers, content = post(server, stream=True, **body)
        assert status == 200
        assert headers["Content-Type"] == "text/event-stream"
        events = [line.removeprefix("data: ") for line in content.decode().split("\n\n") if line]
        assert events.pop() == "[DONE]"
        return [json.loads(event) for event in events]

    def test_text_comes_word_by_word(self, fake_server):
        """A streamed reply is one event for each word, and one with the reason."""
        fake_server.script("a b c")
        chunks = self.events(fake_server)
        words = [chunk["choices"][0]["delta"].get("content") for chunk in chunks]
        assert words == ["", "a ", "b ", "c", None]
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"

    def test_usage_is_sent_if_asked_for(self, fake_server):
        """Token counts come last, and only for those who ask."""
        assert not any(chunk.get("usage") for chunk in self.events(fake_server))
        chunks = self.events(fake_server, stream_options={"include_usage": True})
        assert (chunks[-1]["choices"], chunks[-1]["usage"]["total_tokens"]) == ([], 3)

    def test_tool_calls_come_in_parts(self, fake_server):
        """Arguments of a call are cut; together they are the text."""
        calls = (
            ToolCall(id="1", name="f", arguments='{"a": 1}'),
            ToolCall(id="2", name="g", arguments="{}"),
        )
        fake_server.script(FakeReply(text=None, tool_calls=calls))
        parts = [
            part
            for chunk in self.events(fake_server)
            for part in chunk["choices"][0]["delta"].get("tool_calls", [])
        ]
        arguments = [
            "".join(p["function"]["arguments"] for p in parts if p["index"] == i) for i in (0, 1)
        ]
        assert arguments == ['{"a": 1}', "{}"]


class TestEmbeddings:
    def test_vectors_depend_on_the_text_alone(self, fake_server):
        """Equal texts have equal vectors of length 1, of the size that was asked for."""
        body = completion_of(post(fake_server, "/embeddings", input=["a", "b", "a"], dimensions=5))
        first, other, second = (row["embedding"] for row in body["data"])
        assert first == second != other
        assert len(first) == 5
        assert sum(number * number for number in first) == pytest.approx(1)
        one = completion_of(post(fake_server, "/embeddings", input="a"))
        assert len(one["data"]) == 1

    def test_script_counts_for_embeddings_too(self, fake_server):
        """The next scripted answer is given to whoever comes next."""
        fake_server.script(server_error())
        assert post(fake_server, "/embeddings", input="a")[0] == 500


def completion_of(answer):
    return json.loads(answer[2])
