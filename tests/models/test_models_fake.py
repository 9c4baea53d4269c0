"""Fake models."""

import asyncio
import pickle

import pytest
from pydantic import BaseModel

from opik_eval.errors import (
    ConfigError,
    ModelError,
    ModelTimeoutError,
    ModelUnavailableError,
    RateLimitedError,
)
from opik_eval.models.base import Completion, ModelRequest
from opik_eval.models.clock import LoopClock, run_in_virtual_time
from opik_eval.models.fake import (
    EchoTransport,
    FakeTransport,
    FlakyTransport,
    FunctionTransport,
    LabelNoiseTransport,
    LatencyTransport,
    ScriptedTransport,
)
from opik_eval.models.fake_names import fake_transport


def request(text="hello", **options):
    return ModelRequest(model="fake/x", messages=[{"role": "user", "content": text}], **options)


def send(transport, *requests):
    """Return replies and errors of requests that are sent one after the other."""

    async def main():
        results = []
        for one in requests or [request()]:
            try:
                results.append((await transport.send(one)).text)
            except ModelError as error:
                results.append(error)
        return results

    return run_in_virtual_time(main())


def test_echo_answers_with_the_last_user_message():
    """System and assistant messages are passed over; text parts are joined."""
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]
    conversation = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "c"},
    ]
    asked = ModelRequest(model="fake/echo", messages=conversation)
    assert send(EchoTransport(), asked, request("hi")) == ["a\nb", "hi"]
    assert send(EchoTransport(), ModelRequest(model="m", messages=[])) == [""]


def test_usage_is_counted_and_costs_nothing():
    """Every four bytes are a token, and a fake is free."""
    reply = asyncio.run(EchoTransport().send(request("12345")))
    usage = reply.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (2, 2, 4)
    assert (reply.cost_usd, reply.finish_reason, reply.model) == (0.0, "stop", "fake/x")


def test_script_is_answered_in_order_and_ends_with_an_error():
    """Texts, values, completions and errors come as scripted; then a final error says so."""

    class Verdict(BaseModel):
        score: int

    ready = Completion(text="whole", model="other")
    error = RateLimitedError("429")
    transport = ScriptedTransport(["a", {"x": 1}, Verdict(score=2), ready, error])
    results = send(transport, *[request()] * 6)
    assert results[:4] == ["a", '{"x":1}', '{"score":2}', "whole"]
    assert isinstance(results[4], RateLimitedError)
    assert results[4] is not error
    assert "at its end after 5 replies" in str(results[5])
    assert len(transport.requests) == 6


def test_function_may_be_a_coroutine_function():
    """A function sees the request; its result may be awaited."""

    async def later(asked):
        return asked.messages[0]["content"].upper()

    assert send(FunctionTransport(later)) == ["HELLO"]
    assert send(FunctionTransport(lambda asked: asked.model)) == ["fake/x"]


def test_latency_passes_on_the_clock_and_time_limits_hold():
    """The wait is as long as said, and a shorter time limit ends in a time-out error."""
    transport = LatencyTransport(EchoTransport(), 30, clock=LoopClock())

    async def timed():
        await transport.send(request())
        return LoopClock().now()

    assert run_in_virtual_time(timed()) == 30
    (error,) = send(transport, request(timeout_seconds=5))
    assert isinstance(error, ModelTimeoutError)
    assert "within 5 s" in str(error)


def kinds(results):
    return [type(result).__name__ for result in results]


def test_flaky_fails_at_the_given_rates_and_repeatably():
    """Rates are kept, the same seed fails alike in any order, another one differently."""
    requests = [request(str(number)) for number in range(1000)]

    def flaky(seed=0):
        return FlakyTransport(
            EchoTransport(),
            error_rate=0.2,
            rate_limit_rate=0.1,
            retry_after_seconds=3,
            seed=seed,
        )

    results = send(flaky(), *requests)
    assert 150 < kinds(results).count("ModelUnavailableError") < 250
    assert 70 < kinds(results).count("RateLimitedError") < 130
    assert kinds(send(flaky(), *reversed(requests))) == kinds(results)[::-1]
    assert kinds(send(flaky(seed=1), *requests)) != kinds(results)
    limited = next(result for result in results if isinstance(result, RateLimitedError))
    assert (limited.retry_after_seconds, limited.status) == (3, 429)


def test_flaky_fails_anew_with_every_repetition():
    """A retry of equal content is another draw, so that retries can succeed."""
    results = send(FlakyTransport(EchoTransport(), error_rate=0.5), *[request()] * 50)
    assert 10 < sum(isinstance(result, ModelUnavailableError) for result in results) < 40


def test_label_noise_replaces_labels_at_its_rate():
    """Wrong labels are others of the list, at the given rate; rates 0 and 1 are exact."""
    requests = [request("yes" if number % 2 else "no") for number in range(400)]
    right = [one.messages[0]["content"] for one in requests]

    def noisy(rate):
        transport = LabelNoiseTransport(EchoTransport(), ["yes", "no", "maybe"], error_rate=rate)
        return send(transport, *requests)

    assert noisy(0.0) == right
    assert all(said != true for said, true in zip(noisy(1.0), right, strict=True))
    wrong = sum(said != true for said, true in zip(noisy(0.25), right, strict=True))
    assert 70 < wrong < 130
    assert set(noisy(0.25)) == {"yes", "no", "maybe"}


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("fake/echo", "hello"),
        ("fake/fixed?text=yes%20sir", "yes sir"),
        ("fake/latency?seconds=2", "hello"),
        ("fake/flaky?error_rate=0", "hello"),
        ("fake/label-noise?labels=hello|bye&error_rate=1&seed=3", "bye"),
    ],
)
def test_fakes_have_names(name, reply):
    """Every named fake can be built from its name and options."""
    assert send(fake_transport(name)) == [reply]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fake/eco", "use one of fake/echo, fake/fixed"),
        ("fake/flaky?eror_rate=1", "did you mean 'error_rate'"),
        ("fake/echo?x=1", "has no option 'x'"),
        ("fake/latency?seconds=long", "is no number: 'long'"),
        ("fake/flaky?error_rate=0.8&rate_limit_rate=0.5", "at most 1 together"),
        ("fake/label-noise?labels=a", "two labels or more"),
    ],
)
def test_wrong_names_say_what_is_right(name, message):
    """Unknown fakes, unknown options and impossible values are ConfigErrors with a remedy."""
    with pytest.raises(ConfigError) as raised:
        fake_transport(name)
    assert message in str(raised.value)


def test_fakes_tell_what_they_support():
    """Features are those given; a wrapper has those of what it wraps."""
    plain = EchoTransport(features=frozenset({"json_schema"}))
    assert plain.supports("json_schema")
    assert not plain.supports("tools")
    assert LatencyTransport(plain, 1).supports("json_schema")
    assert LatencyTransport(plain, 1).account == plain.account != EchoTransport().account


def test_fakes_stream_and_close():
    """Streaming yields the words; the pieces together are the reply."""

    async def main():
        transport = EchoTransport()
        pieces = [piece async for piece in transport.stream(request("one two three"))]
        await transport.aclose()
        return pieces

    pieces = asyncio.run(main())
    assert len(pieces) == 3
    assert "".join(pieces) == "one two three"


def test_base_wants_a_reply():
    """A subclass without ``reply`` says so."""
    with pytest.raises(NotImplementedError):
        asyncio.run(FakeTransport().send(request()))


def test_fakes_can_be_pickled_with_their_state():
    """A copy in another process goes on where the original was."""
    flaky = FlakyTransport(EchoTransport(), error_rate=0.5)
    send(flaky, *[request()] * 10)
    copied = pickle.loads(pickle.dumps(flaky))
    assert kinds(send(copied, *[request()] * 20)) == kinds(send(flaky, *[request()] * 20))
