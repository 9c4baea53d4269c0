"""A server that only acknowledges, so that Opik's client can be measured without Opik's server."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

DATASET_ID = "0190b2c0-0000-7000-8000-000000000001"
DATASET = {"id": DATASET_ID, "name": "bench", "dataset_items_count": 0}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    items: list[dict[str, str]] = []
    experiments: dict[str, dict[str, Any]] = {}

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer a read."""
        path = self.path.partition("?")[0]
        if path.endswith("ping"):
            self._reply(200, {"healthy": True, "message": "ok"})
        elif path.endswith("/versions"):
            self._reply(403, {"code": 403, "message": "versioning is off"})
        elif path.endswith("/items"):
            self._reply(200, {"page": 1, "size": 0, "total": 0, "content": []})
        elif "/datasets/" in path:
            self._reply(200, DATASET)
        elif "/experiments/" in path:
            found = self.experiments.get(path.rsplit("/", 1)[-1], {})
            self._reply(200, {"dataset_name": "bench", **found})
        elif path.endswith("workspace"):
            self._reply(200, {"workspace_name": "default"})
        else:
            self._reply(404, {"code": 404, "message": "not found"})

    def do_POST(self) -> None:
        """Acknowledge a write; stream the dataset's items."""
        body = self._body()
        path = self.path.partition("?")[0]
        if path.endswith("datasets/retrieve"):
            self._reply(200, {**DATASET, "dataset_items_count": len(self.items)})
        elif path.endswith("items/stream"):
            self._stream(json.loads(body))
        elif path.endswith("projects/retrieve"):
            self._reply(200, {"id": str(uuid.UUID(int=1)), "name": "Default Project"})
        elif path.endswith("/experiments"):
            experiment = json.loads(body)
            self.experiments[experiment["id"]] = experiment
            self._reply(201, None)
        else:
            self._reply(204, None)

    do_PUT = do_PATCH = do_POST

    def _body(self) -> bytes:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data

    def _stream(self, asked: dict[str, Any]) -> None:
        last, limit = asked.get("last_retrieved_id"), asked.get("steam_limit") or 500
        rows = sorted(self.items, key=lambda row: row["id"], reverse=True)
        page = [row for row in rows if last is None or row["id"] < last][:limit]
        lines = [
            json.dumps({"id": r["id"], "source": "sdk", "data": {k: r[k] for k in r if k != "id"}})
            for r in page
        ]
        self._send(200, ("\n".join(lines) + "\n" if lines else "").encode())

    def _reply(self, status: int, content: object) -> None:
        self._send(status, b"" if content is None else json.dumps(content).encode())

    def _send(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving(items: list[dict[str, str]]) -> Iterator[Any]:
    """Serve in a process of its own and yield an Opik client that talks to it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "items.json"
        ids = [str(uuid.UUID(int=(1 << 80) + n + (7 << 76))) for n in range(len(items))]
        path.write_text(json.dumps([{"id": i, **row} for i, row in zip(ids, items, strict=True)]))
        server = subprocess.Popen(
            [sys.executable, __file__, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert server.stdout is not None
        port = int(server.stdout.readline())
        os.environ.update(
            OPIK_URL_OVERRIDE=f"http://127.0.0.1:{port}/api/",
            OPIK_ANALYTICS_ENABLE="false",
            OPIK_SENTRY_ENABLE="false",
        )
        import opik

        client = opik.Opik()
        try:
            yield client
        finally:
            client.end()
            server.terminate()
            server.wait()


def _serve(path: Path) -> None:
    _Handler.items = json.loads(path.read_text())
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
