"""The model client: names, the layers together, structured output, spans, the context."""

import asyncio
import pickle
import random
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from opik_eval import concurrency, config
from opik_eval.errors import (
    AuthenticationError,
    BudgetExceededError,
    CacheMissError,
    ConfigError,
    EmptyReplyError,
    InvalidRequestError,
    ModelError,
    ModelTimeoutError,
    ModelUnavailableError,
    ParseError,
    RateLimitedError,
)
from opik_eval.models.base import Completion, ModelRequest, ToolCall, Usage
from opik_eval.models.budget import Budget
from opik_eval.models.cache import ResponseCache
from opik_eval.models.client import ChatModel, get_model
from opik_eval.models.clock import LoopClock, run_in_virtual_time
from opik_eval.models.congestion import ConcurrencyBounds
from opik_eval.models.context import model_context, use_models
from opik_eval.models.fake import (
    EchoTransport,
    FlakyTransport,
    FunctionTransport,
    LatencyTransport,
    ScriptedTransport,
)
from opik_eval.models.limiter import limiter_for
from opik_eval.models.local import LocalTransport, list_local_models
from opik_eval.models.naming import available_models, full_name, provider_of
from opik_eval.models.retry import RetryPolicy
from opik_eval.models.transports import Address, _by_loop, make_transport
from opik_eval.testing.fake_replies import rate_limited
from opik_eval.testing.fake_server import FakeServer
from opik_eval.tracing.context import CollectingSink, TraceState, trace_scope
from opik_eval.tracing.sink import NullSink

NATIVE = frozenset({"json_schema"})


class Verdict(BaseModel):
    """A small reply."""

    score: int


def scripted(*script, features=frozenset(), name="fake/script", **options):
    """Return a model with a script, and its transport."""
    transport = ScriptedTransport(script, features=features)
    return ChatModel(name=name, transport=transport, clock=LoopClock(), **options), transport


def ask(model, messages="hello", **options):
    """Return the reply that a model gives in virtual time."""
    return run_in_virtual_time(model.generate(messages, **options))


# --- names ------------------------------------------------------------------------------------


def test_text_stands_for_a_user_message_and_params_are_merged():
    """Parameters of the call go before those of the model; messages are sent as given."""
    model, transport = scripted("a", "b", params={"temperature": 0, "seed": 1})
    assert ask(model, "hi", seed=2).text == "a"
    conversation = ({"role": "system", "content": "s"},)
    ask(model, conversation)
    first, second = transport.requests
    assert first.messages == [{"role": "user", "content": "hi"}]
    assert (first.params, second.params) == ({"temperature": 0, "seed": 2}, model.params)
    assert second.messages == [{"role": "system", "content": "s"}]


def test_sync_calls_work_inside_a_running_loop():
    """generate_sync works in plain code, in threads and where an event loop is running."""
    model = get_model("fake/echo")

    async def main():
        return model.generate_sync("inside").text

    assert model.generate_sync("outside").text == "outside"
    assert asyncio.run(main()) == "inside"


def test_a_model_is_returned_as_it_is():
    """get_model accepts a model, but no options for it."""
    model = get_model("fake/echo")
    assert get_model(model) is model
    with pytest.raises(ConfigError, match="exists already: fake/echo"):
        get_model(model, temperature=0)


class OpikStyle:
    """A model as people write them for Opik."""

    model_name = "mine"

    def __init__(self):
        self.calls = []

    def generate_string(self, input, response_format=None, **kwargs):
        self.calls.append((input, kwargs))
        if input == "fail":
            raise KeyError("broken")
        if input == "refuse":
            raise InvalidRequestError("no")
        return input.upper()

    async def agenerate_string(self, input, **kwargs):
        raise NotImplementedError


class AsyncOpikStyle(OpikStyle):
    """The same with an asynchronous method of its own."""

    async def agenerate_string(self, input, **kwargs):
        if input == "slow":
            await asyncio.sleep(60)
        return input.title()


def test_objects_in_opiks_style_are_models_with_all_layers():
    """An object with generate_string runs under all layers, and no price is made up for it."""
    custom = OpikStyle()
    model = get_model(custom, temperature=0, budget=Budget())
    reply = model.generate_sync("hello")
    assert (model.name, reply.text, reply.cost_usd) == ("custom/mine", "HELLO", None)
    assert custom.calls == [("hello", {"temperature": 0})]
    conversation = [
        {"role": "system", "content": "be loud"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": None},
    ]
    assert model.generate_sync(conversation).text == "SYSTEM: BE LOUD\n\nUSER: HI\n\nASSISTANT: "
    with pytest.raises(ModelError, match="custom/mine: generate_string failed: KeyError: 'broken'"):
        model.generate_sync("fail")
    with pytest.raises(InvalidRequestError):
        model.generate_sync("refuse")


class SyncOnly:
    """The least that such an object may be."""

    def generate_string(self, input, **kwargs):
        return '{"score": 3}' if "JSON schema" in input else "no schema"


def test_object_with_one_method_is_a_model():
    """generate_string is enough, and the schema comes in the prompt."""
    model = get_model(SyncOnly())
    assert model.generate_sync("rate", response_format=Verdict).parsed == Verdict(score=3)
    assert model.name == "custom/SyncOnly"


def test_asynchronous_method_of_such_an_object_is_preferred():
    """agenerate_string is awaited where it is implemented, within the time limit."""
    model = get_model(AsyncOpikStyle(), timeout_seconds=30, retry=RetryPolicy(max_attempts=1))
    assert ask(model, "hello").text == "Hello"
    with pytest.raises(ModelTimeoutError, match="no reply within 30 s"):
        ask(model, "slow")

    async def stream():
        request = ModelRequest(model="custom/mine", messages=[{"role": "user", "content": "a b"}])
        pieces = [piece async for piece in model.transport.stream(request)]
        await model.transport.aclose()
        return pieces

    assert run_in_virtual_time(stream()) == ["A B"]


def test_default_model_comes_from_the_settings(monkeypatch):
    """OPIK_DEFAULT_LLM names the model when nothing else does."""
    monkeypatch.setenv("OPIK_DEFAULT_LLM", "fake/fixed?text=default")
    config.settings.cache_clear()
    assert get_model().generate_sync("?").text == "default"


def test_without_a_default_the_error_lists_what_is_available(monkeypatch):
    """No model is chosen in silence: the error names local models and providers with a key."""
    monkeypatch.setenv("GROQ_API_KEY", "k")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError) as raised:
        get_model()
    assert "groq/... (GROQ_API_KEY is set)" in str(raised.value)
    assert "openai/..." not in str(raised.value)
    assert "OPIK_DEFAULT_LLM" in raised.value.remedy


def test_embedded_model_is_among_the_available():
    """What is installed locally comes first in the list."""
    local = list_local_models()
    assert available_models()[: len(local)] == local


@pytest.mark.parametrize(
    ("name", "options", "full"),
    [
        ("fake/echo", {}, "fake/echo"),
        ("local/anything", {}, "local/anything"),
        ("openai/not-published-yet", {}, "openai/not-published-yet"),
        ("gpt-4o", {}, "openai/gpt-4o"),
        ("claude-sonnet-4-6", {}, "claude-sonnet-4-6"),
        ("groq/anything-new", {}, "groq/anything-new"),
        ("vertex_ai_beta/x", {}, "vertex_ai_beta/x"),
        ("my-model", {"api_base": "http://localhost:1/v1"}, "my-model"),
    ],
)
def test_names_that_somebody_serves_are_accepted(name, options, full):
    """Known providers take any model name; bare names are looked up; api_base settles the rest."""
    assert full_name(name, **options) == full


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gtp-4o", "did you mean 'gpt-4o'"),
        ("opnai/gpt-4o", "did you mean 'openai/gpt-4o'"),
        ("zzzzzz", "write it as provider/model"),
        ("fake/eco", "use one of fake/echo"),
    ],
)
def test_unknown_names_fail_before_any_request(name, message):
    """A name nobody is known to serve is a ConfigError with close matches."""
    with pytest.raises(ConfigError) as raised:
        get_model(name)
    assert message in str(raised.value)


def test_providers_of_names():
    """Prefix, price file, or the general word."""
    names = ["groq/x", "claude-sonnet-4-6", "my-own"]
    assert [provider_of(name) for name in names] == ["groq", "anthropic", "openai-compatible"]


def test_time_limit_must_be_positive():
    """A time limit of 0 would refuse every call."""
    with pytest.raises(ConfigError, match="timeout_seconds"):
        get_model("fake/echo", timeout_seconds=0)


def test_transports_by_name():
    """Each kind of name gets its transport, made without a connection."""
    kinds = {
        Address(name="fake/echo"): "EchoTransport",
        Address(name="local/smollm2-135m-instruct"): "LocalTransport",
        Address(name="openai/x", api_key="k"): "DirectTransport",
        Address(name="own", api_base="http://localhost:1/v1"): "DirectTransport",
        Address(name="anthropic/x", api_key="k"): "LiteLLMTransport",
    }
    for address, kind in kinds.items():
        assert type(make_transport(address)).__name__ == kind
        assert "api_key='k'" not in repr(address)


# --- retries and limits -----------------------------------------------------------------------


def test_retries_are_counted_in_the_reply():
    """A reply after two failures says that it took three requests."""
    model, _ = scripted(ModelUnavailableError("503", status=503), RateLimitedError("429"), "done")
    reply = ask(model)
    assert (reply.text, reply.attempts) == ("done", 3)


def test_error_of_a_refused_key_is_raised_at_once():
    """An error that a retry cannot cure costs one request."""
    model, transport = scripted(AuthenticationError("401"))
    with pytest.raises(AuthenticationError):
        ask(model)
    assert len(transport.requests) == 1


def test_empty_reply_is_an_error_that_is_retried():
    """White space is no reply; if it persists, the call fails."""
    assert ask(scripted(" \n", "text")[0]).text == "text"
    with pytest.raises(EmptyReplyError, match="tried 2 times"):
        ask(scripted("", "", retry=RetryPolicy(max_attempts=2))[0])


def test_reply_cut_off_before_its_first_word_is_not_retried():
    """If max_tokens left no room for text, the same request would be paid for again in vain."""
    cut = Completion(text="", model="m", finish_reason="length")
    model, transport = scripted(cut, "text")
    with pytest.raises(EmptyReplyError, match="raise max_tokens"):
        ask(model)
    assert len(transport.requests) == 1


def test_reply_with_tool_calls_needs_no_text():
    """A reply that only calls tools is not empty."""
    calls = (ToolCall(id="1", name="f", arguments="{}"),)
    assert ask(scripted(Completion(text="", model="m", tool_calls=calls))[0]).tool_calls == calls


def test_models_of_one_account_share_its_limit():
    """Never more requests of an account in flight than its limiter allows."""
    inside, peak = 0, []

    async def answer(_):
        nonlocal inside
        inside += 1
        peak.append(inside)
        await asyncio.sleep(1)
        inside -= 1
        return "ok"

    transport = FunctionTransport(answer)
    limiter_for(transport.account, ConcurrencyBounds(start=3, maximum=3))
    models = [ChatModel(name=f"fake/{n}", transport=transport) for n in range(2)]

    async def main():
        await asyncio.gather(*(models[n % 2].generate(str(n)) for n in range(30)))

    run_in_virtual_time(main())
    assert max(peak) == 3


def test_server_of_known_size_sets_the_limit():
    """A model served by a process of ours gets as many requests at once as that has slots."""
    transport = LocalTransport("local//no/such/file.gguf", slots=3)
    model = ChatModel(name="local//no/such/file.gguf", transport=transport)
    with pytest.raises(ConfigError, match="there is no file"):
        model.generate_sync("hello")
    limiter = limiter_for(transport.account)
    limiter.resize(50)
    assert limiter.limit == 3


def test_calls_survive_a_provider_that_turns_many_away():
    """Under 30 % rate limits and 10 % failures every call gets its reply."""
    flaky = FlakyTransport(
        LatencyTransport(EchoTransport(), 1, clock=LoopClock()),
        error_rate=0.1,
        rate_limit_rate=0.3,
        retry_after_seconds=1,
    )
    model = ChatModel(
        name="fake/flaky",
        transport=flaky,
        clock=LoopClock(),
        rng=random.Random(1),
        retry=RetryPolicy(max_attempts=30, deadline_seconds=1e6),
    )

    async def main():
        return await asyncio.gather(*(model.generate(str(n)) for n in range(200)))

    assert [reply.text for reply in run_in_virtual_time(main())] == [str(n) for n in range(200)]


# --- budget -----------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    limit=st.integers(0, 15),
    calls=st.integers(1, 25),
    error_rate=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 1000),
)
def test_no_schedule_sends_more_requests_than_the_budget(limit, calls, error_rate, seed):
    """With any concurrency, latency and failure pattern the transport sees at most the limit."""
    rng = random.Random(seed)

    async def answer(request):
        await asyncio.sleep(rng.random())
        if rng.random() < error_rate:
            raise ModelUnavailableError("503", status=503)
        return "ok"

    transport = FunctionTransport(answer)
    budget = Budget(max_requests=limit, clock=LoopClock())
    model = ChatModel(name="fake/f", transport=transport, clock=LoopClock(), budget=budget, rng=rng)

    async def main():
        pending = (model.generate(str(n)) for n in range(calls))
        return await asyncio.gather(*pending, return_exceptions=True), budget.report()

    results, report = run_in_virtual_time(main())
    assert len(transport.requests) == report.requests <= limit
    assert all(isinstance(r, Completion | BudgetExceededError | ModelError) for r in results)
    if error_rate == 0:
        assert sum(isinstance(r, Completion) for r in results) == min(limit, calls)


def test_budgets_of_model_and_context_all_hold():
    """Inner, outer and own budget each count the call, one of them only once."""
    own, outer, inner = Budget(), Budget(), Budget()
    model, _ = scripted("a", budget=own)
    with use_models(budget=outer), use_models(budget=inner), use_models(budget=own):
        ask(model)
    assert [budget.report().requests for budget in (own, outer, inner)] == [1, 1, 1]
    assert own.report().tokens == 3


def test_unknown_price_is_an_error_before_anything_is_sent():
    """Where money is limited, a model without a price is refused, by name."""
    model, transport = scripted("a", name="openai/no-such-model")
    with (
        use_models(budget=Budget(max_cost_usd=1)),
        pytest.raises(ConfigError, match="price of a call of openai/no-such-model is unknown"),
    ):
        ask(model)
    assert len(transport.requests) == 0


def test_unknown_price_is_none_and_never_zero():
    """Without a price the cost of a reply is unknown, and the budget counts it apart."""
    reply = Completion(text="a", model="m", usage=Usage(prompt_tokens=1, completion_tokens=1))
    budget = Budget()
    model, _ = scripted(reply, name="openai/no-such-model", budget=budget)
    assert ask(model).cost_usd is None
    assert budget.report().unpriced_requests == 1


def test_cost_follows_from_usage_and_price():
    """A provider that tells its usage is priced by the price file."""
    usage = Usage(prompt_tokens=1000, completion_tokens=100)
    budget = Budget(max_cost_usd=1)
    reply = Completion(text="a", model="m", usage=usage)
    model, _ = scripted(reply, name="openai/gpt-4o", budget=budget)
    assert ask(model).cost_usd == pytest.approx(0.0035)
    assert budget.report().cost_usd == pytest.approx(0.0035)
    assert budget.report().tokens == 1100


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (InvalidRequestError("400", status=400), False),
        (RateLimitedError("429"), False),
        (ModelUnavailableError("503", status=503), False),
        (ModelUnavailableError("connection lost"), True),
        (ModelTimeoutError("slow"), True),
    ],
)
def test_failed_request_counts_what_it_may_have_cost(error, counts):
    """A refused request used no tokens; one whose reply was lost counts at its estimate."""
    budget = Budget()
    model, _ = scripted(error, budget=budget, retry=RetryPolicy(max_attempts=1))
    with pytest.raises(type(error)):
        ask(model, "hello", max_tokens=100)
    assert budget.report().requests == 1
    assert budget.report().tokens == (110 if counts else 0)


def test_cancelled_request_counts_at_its_estimate():
    """What was under way when its caller left may be billed."""
    budget = Budget()
    transport = LatencyTransport(EchoTransport(), 10, clock=LoopClock())
    model = ChatModel(name="fake/slow", transport=transport, budget=budget)

    async def main():
        task = asyncio.create_task(model.generate("hello", max_tokens=100))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])

    run_in_virtual_time(main())
    assert (budget.report().requests, budget.report().tokens) == (1, 110)
    assert limiter_for(transport.account).in_flight == 0


def test_time_budget_shortens_the_request():
    """A request may not run beyond the end of the budget's time."""

    async def main():
        transport = LatencyTransport(EchoTransport(), 100, clock=LoopClock())
        budget = Budget(max_seconds=7, clock=LoopClock())
        model = ChatModel(name="fake/slow", transport=transport, budget=budget, clock=LoopClock())
        with pytest.raises((ModelTimeoutError, BudgetExceededError)):
            await model.generate("hello")
        return LoopClock().now(), transport.requests[0].timeout_seconds

    ended, limit = run_in_virtual_time(main())
    assert limit == 7
    assert ended == 7


# --- cache ------------------------------------------------------------------------------------


def test_context_applies_a_cache_to_every_model(storage):
    """Inside use_models equal calls are paid for once; replay then needs no provider at all."""
    model, transport = scripted("first", "second")
    with use_models(cache=storage):
        one, two, other = ask(model), ask(model), ask(model, repeat=1)
    assert (one.text, two.text, other.text) == ("first", "first", "second")
    assert (one.cached, two.cached, len(transport.requests)) == (False, True, 2)
    silent, _ = scripted()
    with use_models(cache=storage, cache_mode="replay"):
        assert ask(silent, repeat=1).text == "second"
        with pytest.raises(CacheMissError, match="fake/script"):
            ask(silent, "something new")


def test_cached_replies_reserve_nothing(storage):
    """A recorded reply is free, also under an exhausted budget."""
    model, _ = scripted("a", cache=ResponseCache(storage), budget=Budget(max_requests=1))
    assert [ask(model).text, ask(model).text] == ["a", "a"]
    assert model.budget.report().requests == 1


def test_inner_mode_replaces_the_outer_one(storage):
    """An inner block can switch the cache off; the outer one holds again afterwards."""
    model, transport = scripted("a", "b", "c")
    with use_models(cache=storage):
        ask(model)
        with use_models(cache_mode="off"):
            assert ask(model).text == "b"
        assert ask(model).text == "a"
    assert model_context().cache is None
    assert len(transport.requests) == 2


def test_mode_without_a_cache_is_an_error():
    """Nobody pays by mistake because replay was asked for without a store."""
    model, transport = scripted("a")
    with (
        use_models(cache_mode="replay"),
        pytest.raises(ConfigError, match="there is no response cache"),
    ):
        ask(model)
    assert len(transport.requests) == 0


def test_same_name_on_another_server_is_another_model(storage):
    """The base URL is part of a recording's key, its credentials are not."""
    model, other = (
        ChatModel(name="own", api_base=f"http://user:pw@{host}/v1/", cache=ResponseCache(storage))
        for host in ("a:1", "b:1")
    )
    assert (model._endpoint(), other._endpoint()) == ("a:1/v1", "b:1/v1")
    assert ChatModel(name="openai/x", api_key="k")._endpoint() == "api.openai.com/v1"
    assert ChatModel(name="fake/echo")._endpoint() is None


def test_store_given_to_get_model_is_used(storage):
    """A storage can be passed where a cache is asked for."""
    model = get_model("fake/echo", cache=storage)
    model.generate_sync("q")
    assert model.generate_sync("q").cached
    assert model.cache.stats.hits == 1


# --- structured output ------------------------------------------------------------------------


def test_native_schema_is_sent_as_such():
    """A provider that constrains replies gets the schema, and the prompt stays as it is."""
    model, transport = scripted('{"score": 3}', features=NATIVE)
    assert ask(model, "rate", response_format=Verdict).parsed == Verdict(score=3)
    (request,) = transport.requests
    assert request.json_schema == Verdict.model_json_schema()
    assert request.messages == [{"role": "user", "content": "rate"}]


def test_other_providers_get_the_schema_in_the_prompt():
    """Without native support the schema is written into the last user message."""
    model, transport = scripted('I think {"score": 3}.')
    assert ask(model, "rate", response_format=Verdict).parsed == Verdict(score=3)
    (request,) = transport.requests
    assert request.json_schema is None
    assert '"score"' in request.messages[0]["content"]


def test_one_repair_turn_shows_the_error():
    """A reply that does not fit is shown with its error, and both turns are added up."""
    model, transport = scripted("no idea", '{"score": 3}')
    reply = ask(model, "rate", response_format={"type": "object", "required": ["score"]})
    assert (reply.parsed, reply.attempts) == ({"score": 3}, 2)
    repair = transport.requests[1].messages
    assert repair[-2] == {"role": "assistant", "content": "no idea"}
    assert "it holds no JSON value" in repair[-1]["content"]
    assert reply.usage.completion_tokens == 2 + 3


def test_second_failure_is_a_parse_error_with_the_reply():
    """After one repair turn the call fails and carries the last reply."""
    model, transport = scripted("no idea", '{"score": "high"}', '{"score": 1}')
    with pytest.raises(ParseError, match="even after a repair turn: score") as raised:
        ask(model, response_format=Verdict)
    assert raised.value.reply == '{"score": "high"}'
    assert len(transport.requests) == 2


def test_cut_off_reply_advises_more_tokens():
    """If max_tokens broke the JSON, the remedy says so."""
    cut = Completion(text='{"score":', model="m", finish_reason="length")
    with pytest.raises(ParseError) as raised:
        ask(scripted(cut, cut)[0], response_format=Verdict)
    assert "raise max_tokens" in raised.value.remedy


def test_reply_that_calls_tools_is_not_parsed():
    """The structured answer comes after the tools; their calls are returned as they are."""
    calls = Completion(text="", model="m", tool_calls=(ToolCall(id="1", name="f", arguments=""),))
    model, transport = scripted(calls)
    assert ask(model, response_format=Verdict).parsed is None
    assert len(transport.requests) == 1


def test_repaired_replies_are_replayed(storage):
    """A recorded repair turn is found again, so that replays give the same result."""
    schema = {"response_format": Verdict}
    with use_models(cache=storage):
        ask(scripted("no idea", '{"score": 3}')[0], **schema)
    with use_models(cache=storage, cache_mode="replay"):
        reply = ask(scripted()[0], **schema)
    assert (reply.parsed, reply.cached, reply.cost_usd) == (Verdict(score=3), True, 0.0)


# --- spans ------------------------------------------------------------------------------------


def traced(model, **options):
    """Return the spans of a call inside a trace, and its outcome."""
    sink = CollectingSink(NullSink())
    with trace_scope(TraceState(sink, "task")):
        try:
            outcome = ask(model, **options)
        except ModelError as error:
            outcome = error
    return sink.take(), outcome


def test_call_inside_a_trace_is_an_llm_span():
    """The span has model, provider, messages, reply, usage, cost and time to the first token."""
    reply = Completion(
        text="yes",
        model="m",
        usage=Usage(prompt_tokens=1000, completion_tokens=100, total_tokens=1100),
        ttft_seconds=0.2,
        tool_calls=(ToolCall(id="1", name="f", arguments="{}"),),
    )
    model, _ = scripted(reply, name="openai/gpt-4o", params={"seed": 1, "api_key": "sk-secret"})
    (span,), _ = traced(model)
    assert (span.type, span.model, span.provider) == ("llm", "openai/gpt-4o", "openai")
    assert span.input == {"messages": [{"role": "user", "content": "hello"}]}
    assert span.output["content"] == "yes"
    assert span.output["tool_calls"][0]["name"] == "f"
    assert span.usage == {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    assert span.cost_usd == pytest.approx(0.0035)
    assert span.ttft_seconds == 0.2
    assert span.metadata["seed"] == 1
    assert (span.metadata["cached"], span.metadata["attempts"]) == (False, 1)
    assert span.end_time >= span.start_time
    assert "sk-secret" not in span.model_dump_json()


def test_span_of_unknown_price_is_flagged():
    """A span without a price has no cost and says that it is unknown."""
    reply = Completion(text="a", model="m")
    (span,), _ = traced(scripted(reply, name="openai/no-such-model")[0])
    assert span.cost_usd is None
    assert span.metadata["cost_known"] is False


def test_failed_call_is_a_span_with_its_error():
    """The error that ends the call is on its span."""
    (span,), outcome = traced(scripted(AuthenticationError("401"))[0])
    assert isinstance(outcome, AuthenticationError)
    assert span.error_info.exception_type.endswith("AuthenticationError")
    assert span.output is None


def test_both_turns_of_a_repair_are_spans():
    """What was sent twice is seen twice."""
    spans, reply = traced(scripted("no", '{"score": 3}')[0], response_format=Verdict)
    assert [span.output["content"] for span in spans] == ["no", '{"score": 3}']
    assert reply.parsed == Verdict(score=3)


def test_cached_and_coalesced_calls_are_spans_of_their_own(storage):
    """Each caller's trace shows its call; only one of them cost anything."""

    async def both(model):
        return await asyncio.gather(model.generate("q"), model.generate("q"))

    sink = CollectingSink(NullSink())
    with use_models(cache=storage), trace_scope(TraceState(sink, "task")):
        run_in_virtual_time(both(scripted(Completion(text="a", model="m", cost_usd=0.5))[0]))
    assert sorted((span.metadata["cached"], span.cost_usd) for span in sink.take()) == [
        (False, 0.5),
        (True, 0.0),
    ]


def test_call_outside_of_traces_records_nothing(monkeypatch):
    """Without a trace no trace is started."""

    def refuse(*args, **options):
        raise AssertionError("a span was started")

    monkeypatch.setattr("opik_eval.models.client.start_span", refuse)
    assert ask(scripted("a")[0]).text == "a"


# --- connections, processes, the package ------------------------------------------------------


def test_real_server_is_reached_and_retried():
    """Against a real HTTP server: a 429, its wait, the reply, its usage; nothing left open."""
    with FakeServer("fine", api_key="sk-1") as server:
        server.script(rate_limited("0.01"))
        model = get_model(
            "openai/fake",
            api_base=server.base_url,
            api_key="sk-1",
            retry=RetryPolicy(base_delay_seconds=0.01),
        )
        reply = asyncio.run(model.generate("hello"))
        assert (reply.text, reply.attempts) == ("fine", 2)
        assert reply.latency_seconds > 0
        assert len(server.requests) == 2
        wrong = get_model("openai/fake", api_base=server.base_url, api_key="sk-wrong-key")
        with pytest.raises(AuthenticationError) as raised:
            wrong.generate_sync("hello")
    assert "sk-wrong-key" not in str(raised.value)
    assert len(server.requests) == 3


def test_connections_end_with_their_loop():
    """Each event loop has transports of its own, which are closed when it shuts down."""
    model = get_model("fake/echo")

    async def main():
        await model.generate("a")
        loop = asyncio.get_running_loop()
        transport = _by_loop[loop].by_address[Address(name="fake/echo")]
        closed = []

        async def aclose():
            closed.append(loop)

        transport.aclose = aclose
        return loop, closed

    first, closed = asyncio.run(main())
    assert closed == [first]
    assert first not in _by_loop


def test_loops_that_never_shut_down_are_forgotten():
    """A loop that was closed without a shutdown does not keep its transports for ever."""
    model = get_model("fake/echo")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(model.generate("a"))
    loop.close()
    assert loop in _by_loop
    asyncio.run(model.generate("b"))
    assert loop not in _by_loop


def test_model_works_in_many_threads_at_once():
    """One model object may be called from loops in several threads."""
    model, replies = get_model("fake/echo"), []

    async def many(number):
        texts = [f"{number}-{n}" for n in range(50)]
        got = await asyncio.gather(*(model.generate(text) for text in texts))
        replies.append([reply.text for reply in got] == texts)

    threads = [threading.Thread(target=asyncio.run, args=(many(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert replies == [True] * 4


def test_models_can_be_pickled_unless_they_have_a_budget(storage):
    """A model goes to another process as it is; a budget would be spent twice, so it may not."""
    model = get_model("fake/echo", temperature=0, retry=RetryPolicy(max_attempts=2))
    copied = pickle.loads(pickle.dumps(model))
    assert (copied.name, copied.params, copied.retry) == (model.name, model.params, model.retry)
    assert copied.generate_sync("hi").text == "hi"
    with pytest.raises(TypeError, match="spent in full"):
        pickle.dumps(get_model("fake/echo", budget=Budget()))


def test_representation_shows_no_secrets():
    """The key is part of neither the model's repr nor that of its parameters."""
    model = get_model("openai/gpt-4o", api_key="sk-secret", extra_headers={"x": "sk-secret"})
    assert "sk-secret" not in repr(model)


def test_importing_the_client_loads_nothing_heavy():
    """litellm, aiohttp, jsonschema and numpy stay out until a call needs them."""
    code = """
import sys
from opik_eval.models import get_model
get_model("fake/echo").generate_sync("a")
print({"litellm", "aiohttp", "jsonschema", "numpy"} & set(sys.modules))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_interrupted_sync_call_leaves_no_slot_taken():
    """A call that is cancelled from outside gives its slot back."""
    entered = threading.Event()

    async def wait_for_ever(_):
        entered.set()
        await asyncio.get_running_loop().create_future()

    transport = FunctionTransport(wait_for_ever)
    model = ChatModel(name="fake/slow", transport=transport)
    future = asyncio.run_coroutine_threadsafe(model.generate("a"), concurrency.background_loop())
    assert entered.wait(10)
    limiter = limiter_for(transport.account)
    assert limiter.in_flight == 1
    future.cancel()
    for _ in range(3):  # the cancellation runs through the layers, one turn of the loop for each
        concurrency.run_sync(lambda: asyncio.sleep(0))
    assert limiter.in_flight == 0
