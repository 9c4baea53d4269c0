"""The application: routes, failures and middleware put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import Depends, FastAPI

from opik_eval import __version__
from opik_eval.server import failures
from opik_eval.server.access_log import AccessLog
from opik_eval.server.audit import AuditTrail
from opik_eval.server.context import Identify, OpenAccess, context_of
from opik_eval.server.limits import RateLimits
from opik_eval.server.metrics import Metrics
from opik_eval.server.paths import PathNormalizer
from opik_eval.server.routes import OPEN_ROUTERS, ROUTERS
from opik_eval.server.settings import ServerSettings
from opik_eval.server.turns import Turns
from opik_eval.storage.workspaces import Workspaces


def create_app(
    workspaces: Workspaces,
    settings: ServerSettings | None = None,
    *,
    identify: Identify | None = None,
    audit: AuditTrail | None = None,
) -> FastAPI:
    """Return the server as an ASGI application.

    Args:
        workspaces: The workspaces; whoever opened them closes them.
        settings: Limits; the defaults if absent.
        identify: Says who makes a request and what they may touch; everybody may do everything if
            absent.
        audit: Where changes are noted; whoever made it closes it.

    Example:
        >>> from opik_eval.storage.workspaces import open_workspaces
        >>> app = create_app(open_workspaces("memory:"))
        >>> app.title
        'opik-eval'
    """
    chosen = settings or ServerSettings()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = chosen.worker_threads
        yield

    app = FastAPI(
        title="opik-eval",
        version=__version__,
        description="Opik's REST interface over the storage of opik-eval.",
        lifespan=lifespan,
        redirect_slashes=False,
        swagger_ui_parameters=None,
    )
    app.state.settings = chosen
    app.state.identify = identify or OpenAccess(workspaces)
    app.state.limits = RateLimits(chosen.key_events_per_minute, chosen.workspace_events_per_minute)
    app.state.metrics = metrics = Metrics(workspaces)
    app.state.control = workspaces.control
    app.state.turns = Turns()
    for router in OPEN_ROUTERS:
        app.include_router(router)
    for router in ROUTERS:
        app.include_router(router, dependencies=[Depends(context_of)])
    failures.install(app)
    app.add_middleware(AccessLog, metrics=metrics, audit=audit)
    app.add_middleware(PathNormalizer)
    return app
