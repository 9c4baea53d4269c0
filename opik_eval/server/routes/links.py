"""Links that Opik's client prints for people."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from opik_eval.server.payloads import identifier

router = APIRouter(prefix="/v1/session/redirect", tags=["Service"])


@router.get("/projects", status_code=303)
def redirect_to_trace(request: Request, trace_id: Annotated[str, Query()]) -> Response:
    """Lead to a trace; without a user interface that is its JSON."""
    mount = request.scope.get("mount", "")
    return RedirectResponse(f"{mount}/v1/private/traces/{identifier(trace_id)}", 303)
