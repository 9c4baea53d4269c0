"""What all drivers share: a client, a record of every exchange, and a report at the end.

A driver is a small program over the published client. It is run with the interpreter of the peers
and gets the file for its report as its argument. The report holds what the driver says it sent,
what went over the wire, and what the client says of its delivery.
"""

import asyncio
import gzip
import json
import logging
import os
import sys
import time
from pathlib import Path

import httpx

PROJECT = os.environ["OPIK_PROJECT_NAME"]
_BASE = httpx.URL(os.environ["OPIK_URL_OVERRIDE"])
_exchanges = []


def _note(request, reply):
    if (request.url.host, request.url.port) != (_BASE.host, _BASE.port):
        return
    kind = request.headers.get("content-type", "")
    sent = None
    if request.method != "GET" and "json" in kind:
        content = request.content
        if request.headers.get("content-encoding") == "gzip":
            content = gzip.decompress(content)
        sent = json.loads(content) if content else None
    _exchanges.append(
        {
            "method": request.method,
            "path": request.url.path.removeprefix(_BASE.path),
            "query": dict(request.url.params),
            "status": reply.status_code,
            "sent": sent,
        }
    )


def _watched(send):
    def watching(self, request, **options):
        reply = send(self, request, **options)
        _note(request, reply)
        return reply

    return watching


class _Notes(logging.Handler):
    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        self.lines.append(f"{record.name}: {record.getMessage()}")


def drive(flow, **options):
    """Run a flow with a client and report; ``flow`` returns what it sent and read back."""
    httpx.Client.send = _watched(httpx.Client.send)
    import opik

    notes = _Notes()
    logging.getLogger("opik").addHandler(notes)
    client = opik.Opik(project_name=PROJECT, **options)
    opik.set_global_client(client)
    said = flow(client)
    if asyncio.iscoroutine(said):
        said = asyncio.run(said)
    is_flushed = client.flush(30)
    report = {
        "said": said,
        "exchanges": _exchanges,
        "is_flushed": is_flushed,
        "lost": client.get_errors_report().total_dropped_messages,
        "warnings": notes.lines,
    }
    Path(sys.argv[1]).write_text(json.dumps(report, default=str))
    client.end()


def until(condition, seconds=20.0):
    """Wait until something is true; reads follow writes, which are in the background."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not become true")
        time.sleep(0.02)
