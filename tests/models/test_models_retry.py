"""The retry layer."""

import asyncio
import copy
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opik_eval.errors import (
    AuthenticationError,
    ConfigError,
    ModelError,
    ModelTimeoutError,
    ModelUnavailableError,
    RateLimitedError,
)
from opik_eval.models.clock import LoopClock, SystemClock, run_in_virtual_time
from opik_eval.models.retry import RetryPolicy, call_with_retry


class Calls:
    """A call that fails with the given errors in turn, and then succeeds."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.times = []
        self.attempts = []

    async def __call__(self, attempt):
        self.times.append(LoopClock().now())
        self.attempts.append(attempt)
        if len(self.attempts) <= len(self.errors):
            raise self.errors[len(self.attempts) - 1]
        return "reply"


def run(calls, policy=None, *, seed=0, **options):
    return run_in_virtual_time(
        call_with_retry(
            calls,
            policy or RetryPolicy(),
            clock=LoopClock(),
            rng=random.Random(seed),
            **options,
        )
    )


def test_first_success_is_returned_without_waiting():
    """A call that succeeds is made once."""
    calls = Calls()
    assert run(calls) == "reply"
    assert calls.attempts == [1]


def test_retryable_errors_are_repeated_with_numbered_attempts():
    """Retryable failures lead to further attempts, which know their number."""
    calls = Calls(ModelUnavailableError("down"), ModelTimeoutError("slow"))
    assert run(calls) == "reply"
    assert calls.attempts == [1, 2, 3]


@pytest.mark.parametrize("error", [AuthenticationError("no"), ModelError("no"), ValueError("bug")])
def test_other_errors_are_raised_at_once_as_they_are(error):
    """An error that a repetition cannot cure is raised after one attempt, unchanged."""
    calls = Calls(error)
    with pytest.raises(type(error)) as raised:
        run(calls)
    assert raised.value is error
    assert calls.attempts == [1]


def test_last_error_says_how_often_and_how_long():
    """The final error keeps its kind and facts, and adds attempts and elapsed time."""
    error = RateLimitedError("429", retry_after_seconds=7, status=429, remedy="slow down")
    with pytest.raises(RateLimitedError) as raised:
        run(Calls(*[error] * 9), RetryPolicy(max_attempts=3, base_delay_seconds=0))
    assert raised.value.message == "429 (tried 3 times in 14.0 s)"
    assert raised.value.args == (raised.value.message,)
    assert (raised.value.status, raised.value.remedy) == (429, "slow down")
    assert raised.value.__cause__ is error
    assert error.message == "429"


def test_retry_after_is_honoured_beyond_the_backoff_ceiling():
    """A provider's Retry-After is waited out even where it exceeds max_delay_seconds."""
    calls = Calls(RateLimitedError("429", retry_after_seconds=100))
    run(calls, RetryPolicy(max_delay_seconds=1))
    assert 100 <= calls.times[1] <= 101


def test_deadline_ends_the_attempts_before_a_wait_that_would_pass_it():
    """A wait that would pass the deadline is not begun, and the error says so."""
    calls = Calls(RateLimitedError("429", retry_after_seconds=100))
    with pytest.raises(RateLimitedError, match=r"tried once in .*pass the deadline of 50\.0 s"):
        run(calls, RetryPolicy(deadline_seconds=50))
    assert calls.attempts == [1]


def test_tighter_deadline_of_the_caller_wins():
    """The smaller of the policy's and the caller's deadline holds; 0 means no retry."""
    with pytest.raises(RateLimitedError, match=r"deadline of 0\.0 s"):
        run(Calls(RateLimitedError("429", retry_after_seconds=1)), deadline_seconds=0.0)


@settings(deadline=None)
@given(
    attempt=st.integers(1, 2000),
    base=st.floats(0, 10),
    ceiling=st.floats(0, 100),
    retry_after=st.none() | st.floats(-5, 1000),
    seed=st.integers(),
)
def test_delay_is_full_jitter_above_retry_after(attempt, base, ceiling, retry_after, seed):
    """Every delay lies between Retry-After and Retry-After plus the capped exponential."""
    policy = RetryPolicy(base_delay_seconds=base, max_delay_seconds=ceiling)
    error = RateLimitedError("429", retry_after_seconds=retry_after)
    delay = policy.delay_seconds(attempt, error, random.Random(seed))
    floor = max(retry_after or 0.0, 0.0)
    assert floor <= delay <= floor + min(ceiling, base * 2 ** min(attempt - 1, 60)) + 1e-9


def test_jitter_spreads_over_the_whole_interval():
    """Full jitter: the mean of many delays is half the ceiling, and both ends occur."""
    policy, rng = RetryPolicy(base_delay_seconds=4), random.Random(1)
    delays = [policy.delay_seconds(1, ModelTimeoutError("t"), rng) for _ in range(4000)]
    assert sum(delays) / len(delays) == pytest.approx(2, abs=0.1)
    assert min(delays) < 0.05
    assert max(delays) > 3.95


@settings(deadline=None)
@given(failures=st.integers(0, 8), max_attempts=st.integers(1, 8), seed=st.integers(0, 9))
def test_attempts_never_exceed_the_limit(failures, max_attempts, seed):
    """There are min(failures + 1, max_attempts) attempts, whatever the jitter."""
    calls = Calls(*[ModelUnavailableError("down")] * failures)
    policy = RetryPolicy(max_attempts=max_attempts, deadline_seconds=1e9)
    if failures < max_attempts:
        assert run(calls, policy, seed=seed) == "reply"
    else:
        with pytest.raises(ModelUnavailableError):
            run(calls, policy, seed=seed)
    assert len(calls.attempts) == min(failures + 1, max_attempts)


@pytest.mark.parametrize(
    "options", [{"max_attempts": 0}, {"base_delay_seconds": -1}, {"deadline_seconds": float("nan")}]
)
def test_impossible_policies_are_refused(options):
    """A policy without attempts or with negative times cannot be made."""
    with pytest.raises(ConfigError, match="max_attempts >= 1"):
        RetryPolicy(**options)


def test_policy_survives_copying():
    """Policies are values."""
    assert copy.deepcopy(RetryPolicy(max_attempts=2)) == RetryPolicy(max_attempts=2)


def test_virtual_time_reports_a_deadlock(monkeypatch):
    """A program in which everything waits for ever ends with an error instead of hanging."""

    async def wait_for_ever():
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr("opik_eval.models.clock._PATIENCE_SECONDS", 0.0)
    with pytest.raises(RuntimeError, match="deadlock"):
        run_in_virtual_time(wait_for_ever())


def test_system_clock_goes_forward():
    """The system clock is monotonic and its sleep returns."""

    async def nap():
        clock = SystemClock()
        before = clock.now()
        await clock.sleep(0)
        return before, clock.now()

    before, after = asyncio.run(nap())
    assert after >= before
