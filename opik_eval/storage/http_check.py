"""Checking that a URL leads to a tracing server that lets us in."""

from __future__ import annotations

from dataclasses import dataclass

from opik_eval.errors import StorageError, UnavailableError
from opik_eval.storage.http_connection import Connection, Unreachable
from opik_eval.storage.http_native import is_native

_PREFIXES = ("", "/api", "/opik/api")


@dataclass(frozen=True)
class ServerCheck:
    """A server that answers.

    Attributes:
        url: Its base URL, with the prefix that it wants.
        is_native: It is ours, so it keeps everything that a storage does.
    """

    url: str
    is_native: bool


def check_server(url: str, *, workspace: str, api_key: str | None) -> ServerCheck:
    """Find a server's base URL, and check that it takes the key for the workspace.

    Args:
        url: Base URL; the prefixes ``/api`` and ``/opik/api`` are tried if it lacks one.
        workspace: Name of the workspace.
        api_key: Key, if the server wants one.

    Raises:
        UnavailableError: Nothing answers there, or it does not let us in.
        StorageError: What answers is no tracing server.
    """
    problem: StorageError | None = None
    for prefix in _PREFIXES:
        connection = Connection(
            url.rstrip("/") + prefix, workspace=workspace, api_key=api_key, patience_seconds=0
        )
        try:
            if connection.exchange("GET", "is-alive/ping").status != 200:
                continue
            connection.ask("POST", "v1/private/auth", missing=True)
            return ServerCheck(connection.url, is_native(connection))
        except Unreachable as error:
            problem = error
        finally:
            connection.close()
    if isinstance(problem, Unreachable):
        raise UnavailableError(problem.message, remedy=problem.remedy)
    raise StorageError(
        f"{connection.url.removesuffix(_PREFIXES[-1])} answers, but not as a tracing server",
        remedy="give the URL that its documentation calls OPIK_URL_OVERRIDE; "
        "for a server on this machine it is http://localhost:5173/api",
    )
