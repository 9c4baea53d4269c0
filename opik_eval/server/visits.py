"""What becomes known of a request while it is answered, for logs, metrics and the audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.types import Scope

_KEY = "opik_eval.visit"


@dataclass
class Visit:
    """One request.

    Attributes:
        request_id: Its id, which the answer carries too.
        route: Path of the route with its parameters as ``{name}``; ``""`` until one answers.
        workspace: The workspace that it is about.
        user: Name of the key that it came with.
        key: Prefix of that key.
        changes: Whether it may change something.
        events: Records that it brought.
        headers: What the answer is to carry.
    """

    request_id: str
    route: str = ""
    workspace: str = ""
    user: str = ""
    key: str = ""
    changes: bool = False
    events: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


def begin_visit(scope: Scope, request_id: str) -> Visit:
    """Note that a request begins."""
    visit = scope[_KEY] = Visit(request_id)
    return visit


def visit_of(scope: Scope) -> Visit:
    """Return what is known of a request."""
    visit = scope[_KEY]
    assert isinstance(visit, Visit)
    return visit
