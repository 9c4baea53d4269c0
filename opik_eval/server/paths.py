"""Where the interface is mounted: at the root, under ``/api`` and under ``/opik/api``."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

_SLASHES = re.compile(r"/{2,}")
_PREFIX = re.compile(r"^(/opik)?/api(?=/|$)")


class PathNormalizer:
    """Takes known prefixes and doubled slashes out of the path of a request.

    The prefix stays in the scope as ``mount``, for links that point back here.

    Args:
        app: The application inside.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "http":
            path, mount = normalized(scope["path"])
            # In place, so that whoever answers unexpected failures, outside of all this, sees it.
            scope.update(path=path, raw_path=path.encode(), mount=mount)
        await self._app(scope, receive, send)


def normalized(path: str) -> tuple[str, str]:
    """Return a path without prefix and doubled slashes, and the prefix.

    Example:
        >>> normalized("/opik/api//v1/private/traces/")
        ('/v1/private/traces', '/opik/api')
    """
    single = _SLASHES.sub("/", path)
    found = _PREFIX.match(single)
    mount = found[0] if found else ""
    rest = single[len(mount) :]
    return (rest.rstrip("/") or "/", mount)
