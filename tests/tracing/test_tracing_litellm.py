"""Spans for litellm calls of the traced program, with the real litellm and mocked replies."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from importlib import import_module

import pytest

from opik_eval.tracing import litellm_callback as module
from opik_eval.tracing import start_as_current_span, start_as_current_trace, track
from opik_eval.tracing.litellm_callback import (
    await_calls,
    ensure_installed,
    own_call,
    track_litellm,
    wait_for_calls,
)

MESSAGES = [{"role": "user", "content": "hi"}]


class _Reply:
    """A reply as litellm passes it to callbacks."""

    usage = {"total_tokens": 3, "prompt_tokens_details": {"cached_tokens": 1}}
    choices = ({"message": {"content": "hello"}},)


def _details(call_id: str = "1", **more: object) -> dict[str, object]:
    return {
        "litellm_call_id": call_id,
        "call_type": "completion",
        "model": "m",
        "messages": MESSAGES,
        "litellm_params": {"custom_llm_provider": "p"},
        **more,
    }


@pytest.fixture
def calls(monkeypatch):
    """A recorder with no calls open."""
    monkeypatch.setattr(module, "_open_calls", module._OpenCalls())
    return module._Recorder()


def test_call_becomes_a_span_of_the_running_one(got, calls):
    """Model, provider, input, output, usage and cost are recorded; secrets are not."""
    with start_as_current_span("task") as task:
        details = _details(optional_params={"temperature": 0, "api_key": "sk"})
        calls.log_pre_api_call("m", MESSAGES, details)
        calls.log_success_event({**details, "response_cost": 0.5}, _Reply(), None, None)
    span = got.span("completion")
    assert (span.type, span.model, span.provider) == ("llm", "m", "p")
    assert span.parent_span_id == task.id
    assert span.input == {"messages": MESSAGES, "temperature": 0, "api_key": "[redacted]"}
    assert span.output == {"choices": [{"message": {"content": "hello"}}]}
    assert span.usage == {"total_tokens": 3, "prompt_tokens_details.cached_tokens": 1}
    assert span.cost_usd == 0.5


def test_cost_that_is_unknown_stays_unknown(got, calls):
    """Without a price the cost is not 0 but absent."""
    with start_as_current_trace("task"):
        calls.log_pre_api_call("m", MESSAGES, _details())
        calls.log_success_event(_details(response_cost=None), _Reply(), None, None)
    assert got.spans[0].cost_usd is None


def test_stream_knows_its_first_token_and_its_end(got, calls):
    """Times of litellm give the time to the first token and the end of the span."""
    sent = datetime.now()  # noqa: DTZ005 - litellm's times are naive
    details = _details(
        stream=True,
        api_call_start_time=sent,
        completion_start_time=sent + timedelta(seconds=2),
    )
    with start_as_current_trace("task"):
        calls.log_pre_api_call("m", MESSAGES, details)
        calls.log_success_event(details, _Reply(), sent, sent + timedelta(hours=1))
        calls.log_pre_api_call("m", MESSAGES, _details("2", stream=True))
        calls.log_success_event(_details("2", stream=True), _Reply(), None, None)
    first, second = got.spans
    assert first.ttft_seconds == 2
    assert first.end_time - first.start_time > timedelta(minutes=59)
    assert second.ttft_seconds is None


def test_calls_outside_of_any_trace_are_left_alone(got, calls):
    """The callback starts no traces of its own."""
    calls.log_pre_api_call("m", MESSAGES, _details())
    calls.log_success_event(_details(), _Reply(), None, None)
    calls.log_failure_event(_details(), None, None, None)
    assert (got.spans, got.traces) == ([], [])


def test_own_calls_are_left_to_their_maker(got, calls):
    """Inside ``own_call`` neither success nor failure makes a span."""
    with start_as_current_trace("task"), own_call():
        calls.log_pre_api_call("m", MESSAGES, _details())
        calls.log_success_event(_details(), _Reply(), None, None)
        calls.log_failure_event(_details("2"), None, None, None)
    assert got.spans == []


def test_failures_are_recorded_once(got, calls):
    """An announced call that fails, and one refused before, each give one span with the error."""
    with start_as_current_trace("task"):
        calls.log_pre_api_call("m", MESSAGES, _details("1"))
        calls.log_failure_event(_details("1", exception=ValueError("a")), None, None, None)
        for _ in range(2):
            calls.log_failure_event(_details("2", exception="b"), None, None, None)
    first, second = got.spans
    assert (first.error_info.exception_type, first.error_info.message) == ("ValueError", "a")
    assert (second.error_info.exception_type, second.error_info.traceback) == ("ModelError", "b")


def test_attempts_of_one_call_are_one_span(got, calls):
    """litellm announces each attempt; the call is recorded once, and reported once."""
    with start_as_current_trace("task"):
        calls.log_pre_api_call("m", MESSAGES, _details())
        calls.log_pre_api_call("m", MESSAGES, _details())
        calls.log_success_event(_details(), _Reply(), None, None)
        calls.log_success_event(_details(), _Reply(), None, None)
    assert len(got.spans) == 1


def test_waiting_ends_calls_that_are_never_reported(got, calls):
    """A stream nobody reads to its end is ended as incomplete; a later report changes nothing."""
    with start_as_current_trace("task") as trace:
        assert wait_for_calls(trace, 0)
        calls.log_pre_api_call("m", MESSAGES, _details())
        assert not wait_for_calls(trace, 0)
        calls.log_success_event(_details(), _Reply(), None, None)
    (span,) = got.spans
    assert span.metadata == {"created_from": "litellm", "incomplete": True}
    assert span.output is None


def test_waiting_is_for_one_trace_alone(got, calls):
    """Open calls of other traces are not waited for."""
    with start_as_current_trace("one") as one, start_as_current_trace("two"):
        calls.log_pre_api_call("m", MESSAGES, _details())
        assert wait_for_calls(one, 3600)
        assert asyncio.run(await_calls(one, 3600))


def test_number_of_open_calls_is_bounded(got, calls, monkeypatch):
    """Calls that are never reported do not pile up: the oldest is ended as incomplete."""
    monkeypatch.setattr(module, "_MAX_OPEN", 2)
    with start_as_current_trace("task"):
        for number in range(3):
            calls.log_pre_api_call("m", MESSAGES, _details(str(number)))
    assert [span.metadata["incomplete"] for span in got.spans] == [True]


def test_embeddings_are_recorded_without_their_vectors(got, calls):
    """The output of an embedding is the number of vectors; other replies are kept whole."""

    class Vectors:
        data = [[0.1], [0.2]]

    with start_as_current_trace("task"):
        for call_id, reply in (("1", Vectors()), ("2", {"raw": 1})):
            calls.log_pre_api_call("m", None, _details(call_id, messages=None, input=["a", "b"]))
            calls.log_success_event(_details(call_id), reply, None, None)
    assert [span.output for span in got.spans] == [{"embeddings": 2}, {"raw": 1}]
    assert got.spans[0].input == {"messages": ["a", "b"]}


def test_ensure_installed_does_not_import_litellm(monkeypatch):
    """A program that does not use litellm does not pay for it."""
    monkeypatch.delitem(module.sys.modules, "litellm", raising=False)
    monkeypatch.setattr(module, "track_litellm", lambda: pytest.fail("imported"))
    ensure_installed()


@pytest.fixture(scope="module")
def litellm():
    """The real litellm, with our callback, offline."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        real = import_module("litellm")
        before = list(real.callbacks)
        track_litellm()
        ensure_installed()
        recorders = [one for one in real.callbacks if type(one).__name__ == "OpikEvalRecorder"]
        assert len(recorders) == 1  # once, even where an earlier test has called it
        yield real
        real.callbacks[:] = before


slow = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


class TestRealLitellm:
    pytestmark = slow

    def test_sync_call_and_stream(self, got, litellm):
        """Synchronous calls and streams are recorded with usage and cost from the price table."""

        @track
        def task() -> None:
            litellm.completion("gpt-4o-mini", MESSAGES, mock_response="hello", api_key="sk-1")
            stream = litellm.completion("gpt-4o-mini", MESSAGES, mock_response="hey", stream=True)
            list(stream)
            trace = module.current_trace()
            assert wait_for_calls(trace, 20)

        task()
        plain, streamed = (span for span in got.spans if span.type == "llm")
        assert (plain.model, plain.provider) == ("gpt-4o-mini", "openai")
        assert plain.usage["total_tokens"] == plain.usage["prompt_tokens"] + 20
        assert plain.cost_usd > 0
        assert plain.output["choices"][0]["message"]["content"] == "hello"
        assert streamed.ttft_seconds >= 0
        assert streamed.usage["completion_tokens"] > 0
        assert streamed.output["choices"][0]["message"]["content"] == "hey"
        assert plain.parent_span_id == got.span("task").id
        assert "sk-1" not in str(got.spans)

    def test_async_call_in_a_loop_of_its_own(self, got, litellm):
        """A call is recorded completely even if its event loop ends with it."""

        async def ask() -> None:
            await litellm.acompletion("gpt-4o-mini", MESSAGES, mock_response="hello")

        with start_as_current_trace("task") as trace:
            asyncio.run(ask())
            assert not module._open_calls.has_any_of(trace)
        (span,) = got.spans
        assert span.usage["total_tokens"] > 0
        assert span.cost_usd > 0

    def test_reply_without_a_price(self, got, litellm):
        """A model that litellm has no price for costs an unknown amount, not 0."""

        async def ask() -> None:
            await litellm.acompletion("openai/unheard-of", MESSAGES, mock_response="hello")

        with start_as_current_trace("task"):
            asyncio.run(ask())
        assert got.spans[0].cost_usd is None
        assert got.spans[0].usage["total_tokens"] > 0

    def test_async_stream(self, got, litellm):
        """An asynchronous stream is recorded when it has been read."""

        async def ask() -> None:
            with start_as_current_trace("task") as trace:
                stream = await litellm.acompletion(
                    "gpt-4o-mini", MESSAGES, mock_response="hello there", stream=True
                )
                async for _ in stream:
                    pass
                assert await await_calls(trace, 20)

        asyncio.run(ask())
        (span,) = got.spans
        assert span.output["choices"][0]["message"]["content"] == "hello there"
        assert span.ttft_seconds >= 0

    @pytest.mark.parametrize("is_async", [False, True])
    def test_failures(self, got, litellm, is_async):
        """A provider's error, and a refusal before anything is sent, are recorded once each."""
        calls = ({"model": "gpt-4o-mini", "mock_response": Exception("boom")}, {"model": "none"})

        async def ask() -> None:
            for arguments in calls:
                with pytest.raises(Exception, match=r"boom|provider"):
                    await litellm.acompletion(messages=MESSAGES, **arguments)
            await await_calls(module.current_trace(), 20)

        with start_as_current_trace("task"):
            if is_async:
                asyncio.run(ask())
            else:
                for arguments in calls:
                    with pytest.raises(Exception, match=r"boom|provider"):
                        litellm.completion(messages=MESSAGES, **arguments)
        kinds = [span.error_info.exception_type for span in got.spans]
        assert kinds == ["InternalServerError", "BadRequestError"]

    def test_own_call(self, got, litellm):
        """Calls of our own client, marked as such, are not recorded a second time."""
        with start_as_current_trace("task"), own_call():
            litellm.completion("gpt-4o-mini", MESSAGES, mock_response="hello")
            asyncio.run(litellm.acompletion("gpt-4o-mini", MESSAGES, mock_response="hello"))
        assert got.spans == []
