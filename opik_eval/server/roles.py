"""What the holders of a key may do."""

from __future__ import annotations

from typing import Literal, get_args

Role = Literal["viewer", "editor", "admin"]
"""A viewer reads; an editor also writes and deletes; an admin also deletes whole projects and reads
the audit trail and the metrics."""

ROLES: tuple[Role, ...] = get_args(Role)

_READING_METHODS = frozenset({"GET", "HEAD"})
_QUESTIONS = frozenset({"auth", "find", "list", "retrieve", "search", "stream"})
"""Last words of the routes that are asked with POST because the question has a body."""
_ADMINISTRATION = frozenset(
    {
        ("DELETE", "/v1/private/projects/{project_id}"),
        ("POST", "/v1/private/projects/delete"),
        ("GET", "/v1/private/opik-eval/audit"),
        ("GET", "/metrics"),
    }
)


def only_reads(method: str, route: str) -> bool:
    """Return whether a route changes nothing; one that is not known to is taken for a change.

    Args:
        method: Method of the request.
        route: Path of the route, with its parameters as ``{name}``.

    Example:
        >>> only_reads("POST", "/v1/private/traces/search")
        True
        >>> only_reads("POST", "/v1/private/traces/batch")
        False
    """
    if method in _READING_METHODS:
        return True
    return method == "POST" and route.rsplit("/", 1)[-1] in _QUESTIONS


def needed_role(method: str, route: str) -> Role:
    """Return the least role that may use a route."""
    if (method, route) in _ADMINISTRATION:
        return "admin"
    return "viewer" if only_reads(method, route) else "editor"


def reaches(role: Role, needed: Role) -> bool:
    """Return whether a role may do what another one is needed for."""
    return ROLES.index(role) >= ROLES.index(needed)
