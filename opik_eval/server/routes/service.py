"""Is the server alive, which version it is, and who asks."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from opik_eval.server.context import Context
from opik_eval.server.replies import done, json_reply

open_router = APIRouter(tags=["Service"])
router = APIRouter(tags=["Service"])

_PERMISSIONS = {
    "viewer": ("workspace_view",),
    "editor": ("workspace_view", "workspace_edit"),
    "admin": ("workspace_view", "workspace_edit", "workspace_administer"),
}


@open_router.get("/is-alive/ping")
async def ping() -> Response:
    """Tell that the server is there; clients send nothing to one that does not answer."""
    return json_reply({"message": "Healthy Server", "healthy": True})


@open_router.get("/is-alive/ver")
async def version(request: Request) -> Response:
    """Tell the version of the interface."""
    return json_reply({"version": request.app.state.settings.api_version})


@router.post("/v1/private/auth", status_code=204)
def check_access(context: Context) -> Response:  # noqa: ARG001 - making the context is the check
    """Check the key of a request."""
    return done()


@router.get("/v1/private/auth/workspace")
def workspace(context: Context) -> Response:
    """Tell the name of the workspace that a request is about."""
    return json_reply({"workspace_name": context.workspace})


@router.get("/v1/private/workspace-permissions")
def permissions(context: Context) -> Response:
    """Tell what the user may do in the workspace."""
    return json_reply(
        {
            "userName": context.user,
            "workspaceName": context.workspace,
            "permissions": [
                {"permission_name": name, "permission_value": "true"}
                for name in _PERMISSIONS[context.role]
            ],
        }
    )
