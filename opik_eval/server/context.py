"""Who asks, and which data they may touch: the seam between routes and authentication."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from opik_eval.errors import ConfigError, NotFoundError
from opik_eval.server.failures import FrameworkError
from opik_eval.server.limits import RateLimits
from opik_eval.server.roles import Role, needed_role, only_reads, reaches
from opik_eval.server.visits import Visit, visit_of
from opik_eval.storage.attachment_files import UploadStore
from opik_eval.storage.base import DocumentStore, Storage
from opik_eval.storage.pages import PageStore
from opik_eval.storage.payload_store import PayloadStore
from opik_eval.storage.workspaces import DEFAULT_WORKSPACE, Workspaces


@dataclass(frozen=True)
class RequestContext:
    """What a route knows of a request.

    Attributes:
        workspace: Name of the workspace.
        storage: Its records.
        pages: The same records, a page at a time.
        payloads: The same records, written as they come from the wire.
        documents: What only the server keeps, such as comments and queues.
        files: Attachments whose bytes do not come through the server.
        role: What the user may do.
        lock: Held while something is read, changed and written back, by one request of all servers
            on the store.
        user: Name of the user, for audit fields.
        key: Prefix of the key that the request came with; ``""`` = none was asked for.
    """

    workspace: str
    storage: Storage
    pages: PageStore
    payloads: PayloadStore
    documents: DocumentStore
    files: UploadStore
    role: Role
    lock: AbstractContextManager[object]
    user: str = "admin"
    key: str = ""


Identify = Callable[[Request], Awaitable[RequestContext]]
"""Decides who makes a request, without blocking; raises ``FrameworkError`` 401, 403 or 404."""


class Tenants:
    """Makes contexts of workspaces.

    Args:
        workspaces: The workspaces of the server.
    """

    def __init__(self, workspaces: Workspaces) -> None:
        self._workspaces = workspaces

    def context(
        self, workspace: str, *, role: Role, user: str = "admin", key: str = ""
    ) -> RequestContext:
        """Return the context of a request in a workspace.

        Raises:
            FrameworkError: There is no such workspace (404).
        """
        try:
            store = self._workspaces.storage(workspace)
        except (ConfigError, NotFoundError):
            raise FrameworkError(404, "Workspace not found", workspace) from None
        parts = (store, store, store, store, store)
        return RequestContext(workspace, *parts, role, store.exclusive, user, key)


class OpenAccess:
    """Everybody is the administrator of the default workspace, and there is no other one.

    For a server that only loopback reaches.

    Args:
        workspaces: The workspaces of the server.
    """

    def __init__(self, workspaces: Workspaces) -> None:
        self._tenants = Tenants(workspaces)

    async def __call__(self, request: Request) -> RequestContext:
        """Return the context of the default workspace, which is always open.

        Raises:
            FrameworkError: The request names another one (404).
        """
        if (workspace_named(request) or DEFAULT_WORKSPACE) != DEFAULT_WORKSPACE:
            raise FrameworkError(404, "Workspace not found")
        return self._tenants.context(DEFAULT_WORKSPACE, role="admin")


def workspace_named(request: Request) -> str:
    """Return the workspace that a request names, in the header or the query; ``""`` for none."""
    named = request.headers.get("comet-workspace") or request.query_params.get("workspace_name")
    return (named or "").strip()


async def context_of(request: Request) -> RequestContext:
    """Return the context of a request whose maker may use the route.

    Raises:
        FrameworkError: Who makes it is unknown (401) or may not do it (403, 404).
    """
    identify: Identify = request.app.state.identify
    visit, route = visit_of(request.scope), _route(request)
    visit.route = route
    context = await identify(request)
    visit.workspace, visit.user, visit.key = context.workspace, context.user, context.key
    needed = needed_role(request.method, route)
    if not reaches(context.role, needed):
        raise FrameworkError(
            403, f"Only {needed}s may do this", f"the role of the key is {context.role}"
        )
    visit.changes = not only_reads(request.method, route)
    return context


Context = Annotated[RequestContext, Depends(context_of)]


def charge(request: Request, events: int) -> None:
    """Count the events that a request brings, if it is one that changes something.

    Raises:
        FrameworkError: They are too many now (429).
    """
    visit: Visit = visit_of(request.scope)
    if not visit.changes:
        return
    limits: RateLimits = request.app.state.limits
    visit.headers = limits.charge(visit.key, visit.workspace, events)
    visit.events = events


def _route(request: Request) -> str:
    return getattr(request.scope.get("route"), "path", "")
