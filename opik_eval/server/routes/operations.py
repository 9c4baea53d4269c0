"""For whoever runs the server: its figures and its audit trail."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from opik_eval.server.audit import audited
from opik_eval.server.context import Context
from opik_eval.server.failures import FrameworkError
from opik_eval.server.replies import json_reply
from opik_eval.storage.wire import wire_time
from opik_eval.storage.workspaces import DEFAULT_WORKSPACE

router = APIRouter(tags=["Operations"])
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/metrics")
async def metrics(request: Request, context: Context) -> Response:
    """Return the figures of the server in the format of Prometheus.

    They are about all workspaces, so where keys are demanded only an admin of the default one
    gets them.
    """
    if context.workspace != DEFAULT_WORKSPACE:
        raise FrameworkError(403, "Only admins of the default workspace may do this")
    waiting = anyio.to_thread.current_default_thread_limiter().statistics().tasks_waiting
    waiting += request.app.state.turns.waiting
    text = await anyio.to_thread.run_sync(request.app.state.metrics.text, waiting)
    return Response(text, media_type=_PROMETHEUS)


@router.get("/v1/private/opik-eval/audit")
def audit(
    request: Request, context: Context, limit: Annotated[int, Query(ge=1, le=10_000)] = 100
) -> Response:
    """List the latest changes of the workspace, oldest first."""
    found = audited(request.app.state.control, workspace=context.workspace, limit=limit)
    return json_reply([{"at": wire_time(past.at), **asdict(past.line)} for past in found])
