"""Access by API key: which workspace a key opens, and what its holder may do there."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable

import anyio.to_thread
from fastapi import Request

from opik_eval.server.context import RequestContext, Tenants, workspace_named
from opik_eval.server.failures import FrameworkError
from opik_eval.server.keys import ApiKey, Keys
from opik_eval.storage.workspaces import DEFAULT_WORKSPACE, Workspaces

CACHE_SECONDS = 5.0
"""How long a key is taken for good before the store is asked again; so long a revoked one works."""

_MOST_CACHED = 4096
_LONGEST_KEY = 512


class KeyAccess:
    """Lets in who brings a key, and into the workspace of that key only.

    A request that names the workspace ``default`` means the one of its key, as clients that were
    given nothing but a key do.

    Args:
        workspaces: The workspaces of the server.
        clock: Monotonic time in seconds.
    """

    def __init__(self, workspaces: Workspaces, clock: Callable[[], float] = time.monotonic) -> None:
        self._tenants = Tenants(workspaces)
        self._keys = Keys(workspaces.control)
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[bytes, tuple[float, ApiKey]] = {}

    async def __call__(self, request: Request) -> RequestContext:
        """Return the context of a request.

        Raises:
            FrameworkError: It has no key or a wrong one (401), one that is no key (400), or names
                no workspace or another than its own (403).
        """
        return await anyio.to_thread.run_sync(self._context, request)

    def _context(self, request: Request) -> RequestContext:
        text = presented_key(request)
        if not text:
            raise FrameworkError(401, "API key should be provided", "send it as Authorization")
        if len(text) > _LONGEST_KEY or not text.isascii() or not text.isprintable():
            raise FrameworkError(400, "API key is malformed")
        key = self._find(text)
        if key is None:
            raise FrameworkError(401, "API key is unknown or revoked")
        wanted = workspace_named(request)
        if not wanted:
            raise FrameworkError(403, "Workspace name should be provided", "send Comet-Workspace")
        if wanted not in (key.workspace, DEFAULT_WORKSPACE):
            raise FrameworkError(403, "User is not allowed to access workspace")
        return self._tenants.context(key.workspace, role=key.role, user=key.name, key=key.prefix)

    def _find(self, text: str) -> ApiKey | None:
        digest = hashlib.sha256(text.encode()).digest()  # so that memory holds no keys
        now = self._clock()
        with self._lock:
            until, known = self._known.get(digest, (now, None))
        if known is not None and now < until:
            return known
        found = self._keys.check(text)
        with self._lock:
            self._known.pop(digest, None)
            if found is not None:
                if len(self._known) >= _MOST_CACHED:
                    self._known.pop(next(iter(self._known)))
                self._known[digest] = now + CACHE_SECONDS, found
        return found


def presented_key(request: Request) -> str:
    """Return the key of a request: raw as Opik's clients send it, or after ``Bearer``.

    What follows a ``*`` is not part of a key; clients may append where the server is.
    """
    text = request.headers.get("authorization", "").strip()
    scheme, _, rest = text.partition(" ")
    if scheme.lower() == "bearer":
        text = rest.strip()
    return text.partition("*")[0]
