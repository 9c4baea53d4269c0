"""How failures are answered: in the two shapes that Opik's clients know.

What the application refuses is ``{"errors": [text, ...]}``; what the framework around it refuses
(authentication, routing, sizes, malformed bodies) is ``{"code": int, "message": text}``.
"""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from opik_eval.errors import (
    ConflictError,
    NotFoundError,
    OpikEvalError,
    PayloadError,
    StorageError,
    UnavailableError,
)
from opik_eval.server.replies import json_reply
from opik_eval.server.visits import visit_of

_log = logging.getLogger("opik_eval.server")
_RETRY_SECONDS = "1"


class RefusedError(Exception):
    """A request that is answered with an error.

    Args:
        status: HTTP status, 4xx or 5xx.
        *messages: What is wrong, for people.
    """

    def __init__(self, status: int, *messages: str) -> None:
        super().__init__(status, *messages)
        self.status = status
        self.messages = messages

    def reply(self) -> Response:
        """Return the answer in the shape of the application."""
        return json_reply({"errors": list(self.messages)}, self.status)


class FrameworkError(RefusedError):
    """A request that never reaches the application: malformed, too large, not allowed.

    Args:
        status: HTTP status.
        *messages: What is wrong, then details.
        headers: Headers of the answer, such as ``Retry-After``.
    """

    def __init__(self, status: int, *messages: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, *messages)
        self.headers = headers

    def reply(self) -> Response:
        """Return the answer in the shape of the framework."""
        content: dict[str, object] = {"code": self.status, "message": self.messages[0]}
        if self.messages[1:]:
            content["details"] = "; ".join(self.messages[1:])
        return json_reply(content, self.status, self.headers)


def bad_request(message: str) -> RefusedError:
    """Return the error for a request that makes no sense."""
    return RefusedError(400, message)


def not_found(what: str, name: str) -> RefusedError:
    """Return the error for something that is not there."""
    return RefusedError(404, f"{what} not found: {name}")


def conflict(message: str) -> RefusedError:
    """Return the error for a request that contradicts what is stored."""
    return RefusedError(409, message)


def validation_messages(error: ValidationError | RequestValidationError) -> list[str]:
    """Return one line per problem: where it is, and what is wrong."""
    return [
        f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}"
        for problem in error.errors()
    ]


def install(app: FastAPI) -> None:
    """Answer every kind of failure of an application in these shapes."""
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(OpikEvalError, _failed)
    app.add_exception_handler(ValidationError, _invalid)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _unrouted)
    app.add_exception_handler(Exception, _unexpected)


async def _refused(request: Request, error: Exception) -> Response:  # noqa: ARG001 - the framework's signature
    assert isinstance(error, RefusedError)
    return error.reply()


async def _invalid(request: Request, error: Exception) -> Response:  # noqa: ARG001
    assert isinstance(error, ValidationError | RequestValidationError)
    return RefusedError(422, *validation_messages(error)).reply()


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, OpikEvalError)
    if isinstance(error, UnavailableError):
        headers = {"Retry-After": _RETRY_SECONDS, "RateLimit-Reset": _RETRY_SECONDS}
        _log.error("store unavailable: %s", error.message, extra=_request_id(request))
        return FrameworkError(503, error.message, headers=headers).reply()
    if isinstance(error, NotFoundError | ConflictError):
        status = 404 if isinstance(error, NotFoundError) else 409
        return RefusedError(status, error.message).reply()
    if isinstance(error, StorageError) and not isinstance(error, PayloadError):
        return await _unexpected(request, error)
    return RefusedError(400, str(error)).reply()


async def _unrouted(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"{error.detail}: {request.method} {request.url.path}"
    return FrameworkError(error.status_code, message, headers=dict(error.headers or {})).reply()


async def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("unexpected failure", exc_info=error, extra=_request_id(request))
    return FrameworkError(500, "Internal server error").reply()


def _request_id(request: Request) -> dict[str, object]:
    return {"request_id": visit_of(request.scope).request_id}
