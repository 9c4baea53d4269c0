"""Failed calls as errors: what a reply's status, headers and body mean, said without the key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast
from urllib.parse import urlsplit

import orjson

from opik_eval.errors import (
    AuthenticationError,
    ContextOverflowError,
    EmptyReplyError,
    InvalidRequestError,
    ModelError,
    ModelTimeoutError,
    ModelUnavailableError,
    RateLimitedError,
)
from opik_eval.models.retry_after import retry_after_seconds

_MAX_MESSAGE = 400
_MIN_SECRET = 4  # shorter ones are placeholders such as "x", part of too many words
_SECRET_NAME = re.compile(r"auth|key|token|secret|cookie|password|credential", re.IGNORECASE)
_LIKE_A_KEY = re.compile(  # one that somebody else has put into a URL or a message
    r"(?<=[?&]key=)[^&\s'\"]+|(?<=[Bb]earer )\S{8,}|\b(?:sk-|gsk_|xai-|AIza)[\w-]{16,}"
)
_OVERFLOW = re.compile(
    r"context_length_exceeded|exceed_context_size_error"  # OpenAI, llama.cpp
    r"|maximum context length|maximum model length|max_model_len"  # OpenAI, vLLM
    r"|exceeds? the (?:available )?context|context (?:length|window|size) (?:is )?exceeded"
    r"|greater than the context length|reduce the length of the (?:messages|prompt|input)"
    r"|inputs?\W* tokens \+ \W*max_new_tokens|prompt is too long|input is too long",
    re.IGNORECASE,
)
_NO_CREDIT = re.compile(
    r"insufficient_quota|insufficient balance|billing_hard_limit", re.IGNORECASE
)
_INVALID = (InvalidRequestError, "correct the messages or parameters of the request")
_WRONG_PLACE = (InvalidRequestError, "check the model's name and api_base (it usually ends in /v1)")
_UNAVAILABLE = (ModelUnavailableError, "try again later")
_KIND_OF_STATUS: Mapping[int, tuple[type[ModelError], str]] = {
    **dict.fromkeys((301, 302, 303, 307, 308, 404, 405), _WRONG_PLACE),
    **dict.fromkeys((409, 425), _UNAVAILABLE),
    408: (ModelTimeoutError, "try again later, or ask for fewer tokens"),
    429: (RateLimitedError, "send fewer requests at a time"),
}


@dataclass(frozen=True, kw_only=True)
class CallSite:
    """What every error of one transport names: the model and where the request went.

    Attributes:
        model: Full name of the model.
        place: Host and path, without user, password and query.
        secrets: What must not appear in any error, whoever wrote it.
        key_remedy: What to do when the key is refused.
    """

    model: str
    place: str
    secrets: tuple[str, ...] = field(default=(), repr=False)
    key_remedy: str = "check the key"

    def hiding(self, params: Mapping[str, object]) -> CallSite:
        """Return a site whose errors do not show what parameters of secret-looking names hold."""
        found = _secrets_in(params)
        return replace(self, secrets=_longest_first((*self.secrets, *found))) if found else self

    def refused(self, status: int, headers: Mapping[str, str], body: bytes | str) -> ModelError:
        """Return the error that a reply with an error status stands for."""
        text = body if isinstance(body, str) else body.decode("utf-8", "replace")
        kind, remedy = self._classify(status, text)
        wait = retry_after_seconds(headers, text) if kind.retryable else None
        message = f"{self.model}: {self.place} answered {status}: {self._said(text)}"
        if location := headers.get("Location"):
            message += f" (moved to {_place_of(location)})"
        return kind(message, remedy=remedy, retry_after_seconds=wait, status=status)

    def hides(self, text: str) -> bool:
        """Tell whether a text has something in it that must not be shown."""
        return any(secret in text for secret in self.secrets) or bool(_LIKE_A_KEY.search(text))

    def lost(self, error: BaseException) -> ModelUnavailableError:
        """Return the error for a connection that could not be made or broke."""
        reason = self._clean(str(error) or type(error).__name__)
        return ModelUnavailableError(
            f"{self.model}: no reply from {self.place}: {reason}",
            remedy="check that the server runs and that api_base is right",
        )

    def timed_out(self, seconds: float) -> ModelTimeoutError:
        """Return the error for a reply that did not come in time."""
        return ModelTimeoutError(
            f"{self.model}: no complete reply from {self.place} within {seconds:g} s",
            remedy="raise timeout_seconds, or ask for fewer tokens",
        )

    def broken(self, reason: str, body: bytes | str = b"") -> ModelUnavailableError:
        """Return the error for a reply that is not what the protocol says."""
        text = body if isinstance(body, str) else body.decode("utf-8", "replace")
        shown = f": {self._clean(text)}" if text else ""
        return ModelUnavailableError(
            f"{self.model}: {self.place} sent {reason}{shown}",
            remedy="check that api_base is an OpenAI-compatible endpoint; it usually ends in /v1",
        )

    def empty(self, finish_reason: str | None) -> EmptyReplyError:
        """Return the error for a reply without text and without tool calls."""
        remedy = "look at the prompt; some models need a last message of the user"
        if finish_reason == "length":
            remedy = "raise max_tokens: the limit was reached before the first word of the reply"
        elif finish_reason == "content_filter":
            remedy = "the provider's content filter took the reply; change the prompt"
        error = EmptyReplyError(
            f"{self.model}: {self.place} sent a reply without text and without tool calls "
            f"(finish_reason {finish_reason!r})",
            remedy=remedy,
        )
        # The same limit or filter would take the reply again, and it would be paid for again.
        error.retryable = finish_reason not in ("length", "content_filter")
        return error

    def invalid(self, reason: str, *, remedy: str | None = None) -> InvalidRequestError:
        """Return the error for a request that is not worth sending."""
        return InvalidRequestError(
            f"{self.model}: {self._clean(reason)}; nothing was sent to {self.place}", remedy=remedy
        )

    def streamed_by_send(self) -> InvalidRequestError:
        """Return the error for a parameter that would turn the reply into a stream."""
        return self.invalid(
            "send() does not stream", remedy="call stream(), or leave out the parameter 'stream'"
        )

    def no_key(self, variable: str) -> AuthenticationError:
        """Return the error for a key that is nowhere to be found."""
        return AuthenticationError(
            f"{self.model}: {self.place} needs a key, and {variable} is not set; nothing was sent",
            remedy=f"set {variable}, or pass api_key=..., or api_base=... of another server",
        )

    def _classify(self, status: int, text: str) -> tuple[type[ModelError], str]:
        """Return the kind of error and what to do about it."""
        if status in (401, 403):
            return AuthenticationError, self.key_remedy
        if status == 402 or (status == 429 and _NO_CREDIT.search(text)):
            return AuthenticationError, "add credit to the account, or use another key"
        if status != 429 and _OVERFLOW.search(text):
            return ContextOverflowError, "shorten the prompt, lower max_tokens, or change the model"
        return _KIND_OF_STATUS.get(status) or (_UNAVAILABLE if status >= 500 else _INVALID)

    def _said(self, text: str) -> str:
        return self._clean(_message_in(text)) or "(no explanation)"

    def _clean(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "[key]")
        text = _LIKE_A_KEY.sub("[key]", text)
        text = " ".join(text.split())
        return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 1] + "…"


def call_site(
    model: str,
    url: str,
    *,
    api_key: str = "",
    headers: Mapping[str, str] | None = None,
    key_variable: str | None = None,
) -> CallSite:
    """Return what errors about requests to a URL name, and what they must not."""
    return CallSite(
        model=model,
        place=_place_of(url),
        secrets=_longest_first([api_key, *_secrets_in(headers or {})]),
        key_remedy=f"check the key in {key_variable}" if key_variable else "pass a valid api_key",
    )


def _place_of(url: str) -> str:
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] + parts.path


def _message_in(text: str) -> str:
    """Return the message in an error body, whichever of the usual shapes that has."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    if isinstance(value, list) and value:
        value = value[0]
    while isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        inner = next((fields[k] for k in ("error", "message", "detail") if fields.get(k)), None)
        if inner is None:
            return text
        code = fields.get("code") or fields.get("type")
        if isinstance(inner, str):
            return f"{inner} ({code})" if isinstance(code, str) and code not in inner else inner
        value = inner
    return text


def _secrets_in(values: Mapping[str, object]) -> list[str]:
    """Return the texts under names that look secret, at any depth; of a bearer also the token."""
    found: list[str] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += _secrets_in(value)
        elif isinstance(value, str) and _SECRET_NAME.search(str(name)):
            found += [value, value.rpartition(" ")[2]]
    return found


def _longest_first(secrets: Iterable[str]) -> tuple[str, ...]:
    long_enough = {secret for secret in secrets if len(secret) >= _MIN_SECRET}
    return tuple(sorted(long_enough, key=lambda secret: (-len(secret), secret)))
