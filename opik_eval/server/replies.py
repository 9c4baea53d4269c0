"""Answers: JSON, NDJSON, created, nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from starlette.responses import Response

from opik_eval.serialization import dumps


def json_reply(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an answer with a JSON body."""
    return Response(dumps(value, sort_keys=False), status, headers, media_type="application/json")


def lines_reply(values: Iterable[object]) -> Response:
    """Return an answer with one JSON value a line."""
    body = b"".join(dumps(value, sort_keys=False) + b"\n" for value in values)
    return Response(body, media_type="application/octet-stream")


def created(location: str) -> Response:
    """Return the answer to a creation.

    Args:
        location: Path of what was created, relative to the root of the interface.
    """
    return Response(status_code=201, headers={"Location": f"/{location}"})


def done() -> Response:
    """Return the answer to a change: no content."""
    return Response(status_code=204)
