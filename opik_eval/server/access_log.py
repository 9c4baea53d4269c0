"""One structured line per request, with an id that the answer carries too. No secrets.

Headers, query strings and bodies are never logged: keys and user data are in them.
"""

from __future__ import annotations

import json
import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opik_eval.ids import new_id
from opik_eval.server.audit import AuditLine, AuditTrail
from opik_eval.server.metrics import Metrics
from opik_eval.server.visits import Visit, begin_visit

_log = logging.getLogger("opik_eval.server.access")


class AccessLog:
    """Gives each request an id, and logs and counts it when it is answered.

    Args:
        app: The application inside.
        metrics: What counts requests.
        audit: What keeps changes, if anything does.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, audit: AuditTrail | None = None) -> None:
        self._app = app
        self._metrics = metrics
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = begin_visit(scope, new_id())
        began = time.perf_counter()
        status = 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = {"x-request-id": visit.request_id, **visit.headers}
                message["headers"].extend((k.encode(), v.encode()) for k, v in headers.items())
                if self._audit is not None and visit.changes:
                    await self._audit.note(_audit_line(visit, scope, status))
            await send(message)

        try:
            with self._metrics.open_requests.track_inprogress():
                await self._app(scope, receive, noted)
        except Exception:
            status = status or 500  # what the framework answers around us
            raise
        finally:
            seconds = time.perf_counter() - began
            self._metrics.observe(visit, scope["method"], status, seconds)
            _write_line(visit, scope, status, seconds)


def _audit_line(visit: Visit, scope: Scope, status: int) -> AuditLine:
    return AuditLine(
        key=visit.key,
        user=visit.user,
        workspace=visit.workspace,
        method=scope["method"],
        route=visit.route,
        status=status,
        request_id=visit.request_id,
        target=scope["path"],
    )


def _write_line(visit: Visit, scope: Scope, status: int, seconds: float) -> None:
    fields = {
        "request_id": visit.request_id,
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "milliseconds": round(seconds * 1000, 3),
        "workspace": visit.workspace or None,
        "key": visit.key or None,
    }
    _log.info("%s %s %d", scope["method"], scope["path"], status, extra=fields)


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON."""

    _FIELDS = (
        *("request_id", "method", "path", "route", "status", "milliseconds"),
        *("workspace", "user", "key"),
    )

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields = ((name, getattr(record, name, None)) for name in self._FIELDS)
        line |= {name: value for name, value in fields if value is not None}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
