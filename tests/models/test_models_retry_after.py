"""How long a provider asks to wait."""

import datetime as dt
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.models.retry_after import parse_duration, retry_after_seconds

NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "3"}, 3.0),
        ({"retry-after": " 0.25 "}, 0.25),
        ({"RETRY-AFTER": "0"}, 0.0),
        ({"Retry-After": "-5"}, 0.0),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "9", "retry-after-ms": "1500"}, 1.5),
        ({"Retry-After": "Mon, 04 May 2026 12:00:30 GMT"}, 30.0),
        ({"Retry-After": "Mon, 04 May 2026 11:00:00 GMT"}, 0.0),
        ({"RateLimit-Reset": "12"}, 12.0),
        ({"X-RateLimit-Reset": str(int(NOW.timestamp()) + 5)}, 5.0),
        ({"X-RateLimit-Reset": str(int(NOW.timestamp() * 1000) + 2500)}, 2.5),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s"}, 360.0),
        ({}, None),
    ],
)
def test_headers(headers, seconds):
    """Each usual header is understood, and nonsense is as good as nothing."""
    assert retry_after_seconds(headers, now=NOW) == seconds


def test_date_is_compared_with_the_servers_clock():
    """An HTTP date counts from the reply's own Date, so that clocks may differ."""
    server = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    headers = {
        "Date": format_datetime(server, usegmt=True),
        "Retry-After": format_datetime(server + dt.timedelta(seconds=8), usegmt=True),
    }
    assert retry_after_seconds(headers, now=NOW) == 8.0


def test_limit_with_something_left_does_not_count():
    """A daily limit that is not exhausted does not make anybody wait for hours."""
    headers = {
        "x-ratelimit-remaining-requests": "9000",
        "x-ratelimit-reset-requests": "23h59m",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "20ms",
    }
    assert retry_after_seconds(headers) == 0.02


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Rate limit reached. Please try again in 6.5s. Visit ...", 6.5),
        ("Please try again in 1m2s", 62.0),
        ('{"retryDelay": "34s"}', 34.0),
        ("try again in a moment", None),
    ],
)
def test_text_counts_where_headers_say_nothing(text, seconds):
    """The wait in the provider's message is the last resort."""
    assert retry_after_seconds({}, text) == seconds
    assert retry_after_seconds({"Retry-After": "1"}, text) == 1.0


@given(st.text(), st.text(), st.text())
def test_never_raises_and_never_negative(after, reset, text):
    """Whatever a server sends, the wait is nothing or a number of seconds."""
    headers = {"Retry-After": after, "RateLimit-Reset": reset, "x-ratelimit-reset-tokens": text}
    seconds = retry_after_seconds(headers, text)
    assert seconds is None or 0 <= seconds < float("inf")


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_durations_round_trip(hours, minutes, seconds, milliseconds):
    """A duration in hours, minutes, seconds and milliseconds is their sum."""
    text = f"{hours}h{minutes}m{seconds}s{milliseconds}ms"
    expected = hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
    assert parse_duration(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "5 parsecs", "s5", "1s later", "inf"])
def test_other_texts_are_no_durations(text):
    """What is no duration is nothing."""
    assert parse_duration(text) is None
