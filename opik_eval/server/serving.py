"""A server from its store to its socket: access, audit trail, retention, and their end."""

from __future__ import annotations

from contextlib import ExitStack, closing

from opik_eval.server.access import KeyAccess
from opik_eval.server.app import create_app
from opik_eval.server.audit import AuditTrail
from opik_eval.server.context import OpenAccess
from opik_eval.server.retention import Housekeeping, Retention
from opik_eval.server.running import Listener, make_server, tuned_interpreter
from opik_eval.server.settings import MEBIBYTE, ServerSettings
from opik_eval.storage.workspaces import Workspaces

__all__ = ["MEBIBYTE", "Retention", "ServerSettings", "serve"]


def serve(
    workspaces: Workspaces,
    listener: Listener,
    settings: ServerSettings,
    *,
    with_keys: bool,
    retention: Retention,
) -> None:
    """Answer requests until the process is told to stop.

    What was accepted is answered first. Changes are noted in the audit trail if keys are demanded;
    without keys nobody could be named.

    Args:
        workspaces: The workspaces; whoever opened them closes them.
        listener: Where requests come in.
        settings: Limits.
        with_keys: Demand API keys.
        retention: How long and how much is kept.
    """
    with ExitStack() as stack:
        audit = None
        if with_keys:
            audit = stack.enter_context(closing(AuditTrail(workspaces.control)))
        housekeeping = stack.enter_context(closing(Housekeeping(workspaces, retention)))
        housekeeping.start()
        identify = KeyAccess(workspaces) if with_keys else OpenAccess(workspaces)
        app = create_app(workspaces, settings, identify=identify, audit=audit)
        stack.enter_context(tuned_interpreter())
        make_server(app).run(sockets=[listener.socket])
