"""The response cache."""

import asyncio
import contextlib
import pickle
import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opik_eval.errors import (
    BudgetExceededError,
    CacheMissError,
    ConfigError,
    ModelUnavailableError,
    UnavailableError,
)
from opik_eval.models.base import Completion, ModelRequest, TokenLogprob, ToolCall, Usage
from opik_eval.models.cache import ResponseCache, cache_key, without_secrets
from opik_eval.models.completion_codec import decode_completion, encode_completion


class DictStore:
    """A store in a dict."""

    def __init__(self):
        self.values = {}

    def read_cached(self, key):
        return self.values.get(key)

    def write_cached(self, key, value):
        self.values[key] = value


class BrokenStore(DictStore):
    """A store that cannot be written."""

    def write_cached(self, key, value):
        raise UnavailableError("disk full")


class Provider:
    """Counts its calls and answers with their number, after ``gate`` opens."""

    def __init__(self, *, error=None, text="reply"):
        self.calls = 0
        self.error = error
        self.text = text
        self.cancelled = 0
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()
        self.gate.set()

    async def __call__(self):
        self.calls += 1
        self.entered.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return Completion(
            text=f"{self.text} {self.calls}" if self.text else "", model="m", cost_usd=1.0
        )


def ask(cache, provider, key="k", **options):
    return cache.get_or_call(key, provider, model="m", **options)


numbers = st.none() | st.integers(0, 10**9)
floats = st.floats(allow_nan=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
completions = st.builds(
    Completion,
    text=st.text(),
    model=st.text(),
    tool_calls=st.lists(
        st.builds(ToolCall, id=st.text(), name=st.text(), arguments=st.text()), max_size=2
    ).map(tuple),
    usage=st.builds(
        Usage,
        prompt_tokens=numbers,
        completion_tokens=numbers,
        total_tokens=numbers,
        cached_tokens=numbers,
        reasoning_tokens=numbers,
    ),
    cost_usd=st.none() | st.floats(0, 1e6),
    logprobs=st.none()
    | st.lists(
        st.builds(
            TokenLogprob,
            token=st.text(),
            logprob=floats,
            top=st.lists(st.tuples(st.text(), floats), max_size=2).map(tuple),
        ),
        max_size=2,
    ).map(tuple),
    finish_reason=st.none() | st.text(),
    latency_seconds=st.floats(0, 1e6),
    ttft_seconds=st.none() | st.floats(0, 1e6),
    attempts=st.integers(0, 9),
    raw=st.none() | st.dictionaries(st.text(), json_values, max_size=3),
)


@settings(deadline=None)
@given(completion=completions)
def test_completions_survive_the_codec(completion):
    """Encoding and decoding gives an equal completion, infinite log-probabilities included."""
    assert decode_completion(encode_completion(completion)) == completion


def test_bytes_of_another_version_are_a_miss():
    """What an older or newer codec wrote is read as if it were not there."""
    assert decode_completion(b'{"version":999,"text":"x"}') is None


def request(**changes):
    fields = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "params": {"seed": 1}}
    return ModelRequest(**{**fields, **changes})


def test_key_depends_on_everything_that_determines_the_reply():
    """Model, endpoint, messages, parameters, schema and repeat index each change the key."""
    keys = [
        cache_key(request()),
        cache_key(request(model="n")),
        cache_key(request(messages=[{"role": "user", "content": "ho"}])),
        cache_key(request(params={"seed": 2})),
        cache_key(request(params={"seed": 1, "temperature": 0})),
        cache_key(request(json_schema={"type": "object"})),
        cache_key(request(), repeat=1),
        cache_key(request(), endpoint="gpu:8000/v1"),
    ]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 64 for key in keys)


def test_key_ignores_order_time_limit_and_secrets():
    """Neither the order of parameters nor time-outs nor credentials change the key."""
    plain = cache_key(request(params={"seed": 1, "top_p": 1}))
    assert plain == cache_key(request(params={"top_p": 1, "seed": 1}, timeout_seconds=5))
    assert plain == cache_key(request(params={"top_p": 1, "seed": 1, "api_key": "sk-1"}))


def test_key_is_stable_across_versions():
    """The key of a given request is fixed: a change would silently lose every recording."""
    assert cache_key(request()) == KEY_OF_REQUEST


KEY_OF_REQUEST = "ff38abf50636ddde61f5a77bb790a5399c901e791548cecda5d2f958974a4010"


def test_secrets_are_removed_at_any_depth():
    """Credentials in headers and nested parameters are left out; what only sounds alike stays."""
    params = {
        "max_tokens": 5,
        "api_key": "k",
        "extra_headers": {"Authorization": "Bearer k", "X-Trace": "1"},
        "aws_secret_access_key": "k",
    }
    assert without_secrets(params) == {"max_tokens": 5, "extra_headers": {"X-Trace": "1"}}


def test_second_request_is_answered_from_the_store_for_free():
    """A recorded reply keeps its usage, costs nothing and says that it is cached."""

    async def main():
        cache, provider = ResponseCache(DictStore()), Provider()
        first, second = await ask(cache, provider), await ask(cache, provider)
        assert provider.calls == 1
        assert (first.cached, first.cost_usd) == (False, 1.0)
        assert (second.cached, second.cost_usd, second.attempts) == (True, 0.0, 0)
        assert second.text == first.text
        return cache.stats

    stats = asyncio.run(main())
    assert (stats.hits, stats.misses, stats.coalesced) == (1, 1, 0)


def test_off_neither_reads_nor_writes():
    """Mode ``off`` passes every request on."""

    async def main():
        cache, provider = ResponseCache(DictStore(), "off"), Provider()
        await ask(cache, provider)
        await ask(cache, provider)
        await ask(cache, provider, mode="read_write")
        return provider.calls, len(cache._store.values)

    assert asyncio.run(main()) == (3, 1)


def test_replay_fails_on_a_miss_and_sends_nothing():
    """Mode ``replay`` names model, key and remedy instead of calling the provider."""

    async def main():
        cache, provider = ResponseCache(DictStore(), "replay"), Provider()
        with pytest.raises(
            CacheMissError, match=r"no reply of m is recorded under key k"
        ) as raised:
            await ask(cache, provider)
        assert "read_write" in raised.value.remedy
        assert provider.calls == 0
        await ask(cache, provider, mode="read_write")
        return await ask(cache, provider)

    assert asyncio.run(main()).cached


def test_unknown_mode_is_refused():
    """A misspelt mode is an error, not ``off``."""
    with pytest.raises(ConfigError, match="'readwrite' is none of off, read_write, replay"):
        ResponseCache(DictStore(), "readwrite")


@pytest.mark.parametrize(
    "provider_options", [{"error": ModelUnavailableError("down")}, {"text": ""}]
)
def test_failures_and_empty_replies_are_not_recorded(provider_options):
    """After a failure or an empty reply the next equal request is sent again."""

    async def main():
        cache, provider = ResponseCache(DictStore()), Provider(**provider_options)
        for _ in range(2):
            with contextlib.suppress(ModelUnavailableError):
                await ask(cache, provider)
        return provider.calls, cache._store.values

    assert asyncio.run(main()) == (2, {})


def test_reply_survives_a_store_that_cannot_write(caplog):
    """A reply that is paid for is returned although it cannot be recorded, and that is logged."""

    async def main():
        cache = ResponseCache(BrokenStore())
        return await ask(cache, Provider()), cache.stats

    reply, stats = asyncio.run(main())
    assert reply.text == "reply 1"
    assert stats.failed_writes == 1
    assert "could not be recorded: disk full" in caplog.text


def test_equal_requests_in_flight_become_one():
    """Followers share the leader's reply, for free."""

    async def main():
        cache, provider = ResponseCache(DictStore()), Provider()
        replies = await asyncio.gather(*(ask(cache, provider) for _ in range(20)))
        return provider.calls, replies, cache.stats

    calls, replies, stats = asyncio.run(main())
    assert calls == 1
    assert [reply.cached for reply in replies] == [False] + [True] * 19
    assert sum(reply.cost_usd for reply in replies) == 1.0
    assert (stats.misses, stats.coalesced) == (1, 19)


def test_cancelled_leader_does_not_disturb_its_followers():
    """If the first caller goes away, the request goes on for the others."""

    async def main():
        cache, provider = ResponseCache(DictStore()), Provider()
        provider.gate.clear()
        leader = asyncio.create_task(ask(cache, provider))
        await provider.entered.wait()
        follower = asyncio.create_task(ask(cache, provider))
        await asyncio.sleep(0)
        leader.cancel()
        await asyncio.wait([leader])
        provider.gate.set()
        reply = await follower
        return leader.cancelled(), reply.text, provider.calls, provider.cancelled

    assert asyncio.run(main()) == (True, "reply 1", 1, 0)


def test_request_nobody_waits_for_is_cancelled():
    """When the last caller goes away, the request is cancelled before its cancellation returns."""

    async def main():
        cache, provider = ResponseCache(DictStore()), Provider()
        provider.gate.clear()
        tasks = [asyncio.create_task(ask(cache, provider)) for _ in range(3)]
        await provider.entered.wait()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert provider.cancelled == 1
        provider.gate.set()
        return await ask(cache, provider)

    assert asyncio.run(main()).text == "reply 2"


def test_followers_share_a_models_failure_but_not_anothers_budget():
    """A model's error is everybody's; an exhausted budget is the leader's alone."""

    async def main():
        cache, leader, follower = ResponseCache(DictStore()), Provider(), Provider()
        leader.gate.clear()
        leader.error = BudgetExceededError("requests", allowed=1, used=1)
        first = asyncio.create_task(ask(cache, leader))
        await leader.entered.wait()
        second = asyncio.create_task(ask(cache, follower))
        await asyncio.sleep(0)
        leader.gate.set()
        results = await asyncio.gather(first, second, return_exceptions=True)
        assert isinstance(results[0], BudgetExceededError)
        assert results[1].text == "reply 1"
        failing = Provider(error=ModelUnavailableError("down"))
        results = await asyncio.gather(
            *(ask(cache, failing, key="k2") for _ in range(3)), return_exceptions=True
        )
        return [type(result) for result in results], failing.calls

    assert asyncio.run(main()) == ([ModelUnavailableError] * 3, 1)


def test_follower_takes_over_when_the_leaders_loop_ends():
    """A request that dies with its event loop is sent again by whoever still waits."""
    cache, entered, results = ResponseCache(DictStore()), threading.Event(), []
    joined = threading.Event()

    async def leader_call():
        entered.set()
        await asyncio.get_running_loop().create_future()

    async def lead():
        task = asyncio.create_task(cache.get_or_call("k", leader_call, model="m"))
        await asyncio.to_thread(joined.wait, 10)
        # asyncio.run ends here and cancels what is left on its loop.
        assert not task.done()

    async def follow():
        task = asyncio.create_task(ask(cache, Provider()))
        while cache.stats.coalesced == 0:
            await asyncio.sleep(0)
        joined.set()
        results.append(await task)

    threads = [threading.Thread(target=asyncio.run, args=(lead(),))]
    threads[0].start()
    entered.wait(10)
    threads.append(threading.Thread(target=asyncio.run, args=(follow(),)))
    threads[1].start()
    for thread in threads:
        thread.join(10)
    assert [reply.text for reply in results] == ["reply 1"]


@pytest.mark.parametrize("seed", range(20))
def test_random_cancellations_never_lose_or_repeat_a_reply(seed):
    """Whoever is cancelled, those who stay get their reply, and calls never overlap."""

    async def main():
        rng = random.Random(seed)
        cache, running, peak, calls = ResponseCache(DictStore()), 0, 0, 0

        async def call():
            nonlocal running, peak, calls
            calls += 1
            running += 1
            peak = max(peak, running)
            try:
                for _ in range(rng.randrange(6)):
                    await asyncio.sleep(0)
            finally:
                running -= 1
            return Completion(text="reply", model="m")

        tasks = []
        for _ in range(30):
            tasks.append(asyncio.create_task(cache.get_or_call("k", call, model="m")))
            if rng.random() < 0.5:
                rng.choice(tasks).cancel()
            await asyncio.sleep(0)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        kept = [result for result in results if not isinstance(result, asyncio.CancelledError)]
        assert all(result.text == "reply" for result in kept)
        assert peak == 1
        assert cache._flights == {}

    asyncio.run(main())


def test_threads_on_their_own_loops_share_one_request():
    """Coalescing works across event loops."""
    cache, calls = ResponseCache(DictStore()), []

    async def call():
        calls.append(1)
        await asyncio.sleep(0)
        return Completion(text="reply", model="m")

    async def many():
        replies = await asyncio.gather(
            *(cache.get_or_call(str(n % 10), call, model="m") for n in range(100))
        )
        assert {reply.text for reply in replies} == {"reply"}

    threads = [threading.Thread(target=asyncio.run, args=(many(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(calls) == 10


def test_cache_can_be_pickled_with_its_store():
    """A cache goes to another process with its store and mode, without what is in flight."""
    copied = pickle.loads(pickle.dumps(ResponseCache(DictStore(), "replay")))
    assert copied.mode == "replay"
    assert copied.stats == ResponseCache(DictStore()).stats
