"""Failed replies as errors."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval import errors
from opik_eval.models.failures import call_site

KEY = "sk-0123456789abcdef"
SITE = call_site("openai/m", "https://user:pw@host:8000/v1/chat/completions?k=1", api_key=KEY)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, "bad", errors.InvalidRequestError),
        (401, "", errors.AuthenticationError),
        (402, "pay", errors.AuthenticationError),
        (403, "no", errors.AuthenticationError),
        (404, "model not found", errors.InvalidRequestError),
        (408, "slow", errors.ModelTimeoutError),
        (409, "conflict", errors.ModelUnavailableError),
        (413, "prompt is too long: 9 tokens > 8", errors.ContextOverflowError),
        (413, "entity too large", errors.InvalidRequestError),
        (429, "slow down, context length 8192", errors.RateLimitedError),
        (429, '{"error":{"code":"insufficient_quota"}}', errors.AuthenticationError),
        (500, "internal error", errors.ModelUnavailableError),
        (500, "request exceeds the available context size", errors.ContextOverflowError),
        (529, "overloaded", errors.ModelUnavailableError),
        (301, "", errors.InvalidRequestError),
    ],
)
def test_status_and_text_make_the_kind(status, body, kind):
    """Status and signature decide on the kind of error; a 429 without credit is not retryable."""
    error = SITE.refused(status, {}, body)
    assert type(error) is kind
    assert error.status == status
    assert error.remedy


def test_overflow_of_tokens_to_generate():
    """Other servers' words for a prompt that is too long are understood as well."""
    for text in (
        "`inputs` tokens + `max_new_tokens` must be <= 4096",
        "The decoder prompt (length 9) is longer than the maximum model length of 8.",
        "Please reduce the length of the messages or completion.",
        "tokens to keep from the initial prompt is greater than the context length",
    ):
        assert type(SITE.refused(400, {}, text)) is errors.ContextOverflowError


def test_only_retryable_errors_ask_to_wait():
    """A wait is taken from replies that are worth another try, and only from those."""
    headers = {"Retry-After": "4"}
    assert SITE.refused(503, headers, "").retry_after_seconds == 4
    assert SITE.refused(400, headers, "").retry_after_seconds is None


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ('{"error":{"message":"M","code":"c_d"}}', "M (c_d)"),
        ('{"error":"M"}', "M"),
        ('{"error":{"message":"M","code":400,"type":"t"}}', "M"),
        ('{"object":"error","message":"M","type":"T"}', "M (T)"),
        ('{"detail":[{"msg":"M"}]}', '{"detail":[{"msg":"M"}]}'),
        ('{"detail":"M"}', "M"),
        ('[{"error":{"message":"M"}}]', "M"),
        ('{"other":1}', '{"other":1}'),
        ("<h1>\n  M </h1>", "<h1> M </h1>"),
        ("", "(no explanation)"),
        ("[]", "[]"),
    ],
)
def test_message_is_found_in_every_usual_body(body, shown):
    """The provider's own words are shown, wherever in the body they are."""
    text = SITE.refused(400, {}, body).message
    assert text == f"openai/m: host:8000/v1/chat/completions answered 400: {shown}"


def test_long_messages_are_cut_visibly():
    """A long message is cut with an ellipsis, and never within a key."""
    error = SITE.refused(400, {}, "x" * 398 + KEY)
    assert "sk-" not in error.message
    assert error.message.endswith("…")


@given(
    st.binary(), st.sampled_from([KEY, "", f"Bearer {KEY}", json.dumps(KEY)]), st.integers(300, 599)
)
def test_any_body_is_an_error_without_key(body, echoed, status):
    """Whatever a server sends, the result is an error, and the key is not in it."""
    error = SITE.refused(status, {}, body + echoed.encode() + body)
    assert isinstance(error, errors.ModelError)
    assert KEY not in str(error)
    assert "pw" not in error.message.partition("answered")[0]


def test_secrets_of_headers_are_hidden():
    """Values of headers that hold secrets do not show, others do."""
    headers = {"X-Api-Key": "topsecret", "Authorization": "Basic dXNlcg==", "X-Team": "blue"}
    site = call_site("m", "http://h/v1", headers=headers)
    said = str(site.lost(OSError("topsecret dXNlcg== blue")))
    assert "blue" in said
    assert "topsecret" not in said
    assert "dXNlcg==" not in said


@pytest.mark.parametrize(
    "text",
    [
        "for url https://g.example/v1?alt=json&key=AnySecret1&x=2",
        "Authorization: Bearer AnySecret1",
        "provided: sk-AnySecret1-0123456789",
        "AIzaAnySecret1-0123456789",
    ],
)
def test_what_looks_like_a_key_is_hidden(text):
    """Keys that nobody told us about are hidden where they look like keys."""
    assert SITE.hides(text)
    assert "AnySecret1" not in SITE.lost(OSError(text)).message


def test_placeholder_keys_do_not_garble_texts():
    """A placeholder such as "x" is no secret."""
    site = call_site("m", "http://h/v1", api_key="x")
    assert "exact" in str(site.lost(OSError("exact")))


def test_lost_connection_without_words():
    """An exception without a text is called by its name."""
    assert "TimeoutError" in str(SITE.lost(TimeoutError()))


@pytest.mark.parametrize(
    ("reason", "word"), [("length", "max_tokens"), ("content_filter", "filter"), (None, "prompt")]
)
def test_empty_reply_says_why(reason, word):
    """The remedy for an empty reply depends on why it is empty."""
    assert word in SITE.empty(reason).remedy
