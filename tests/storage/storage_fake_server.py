"""A tracing server for tests: the native routes over a storage in memory, with faults on demand."""

from __future__ import annotations

import gzip
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import httpx

from opik_eval.errors import ConflictError, NotFoundError, OpikEvalError
from opik_eval.serialization import dumps, loads
from opik_eval.storage import wire
from opik_eval.storage.memory import MemoryStorage
from opik_eval.storage.query import parse_filter

ROOT = "/v1/private/opik-eval/"
FILTERED = {"trace": "trace", "span": "span", "thread": "thread", "dataset_item": "dataset_item"}
LISTS = {
    "score_summary": "summarize_scores",
    **{kind: f"list_{kind}s" for kind in wire.KINDS if kind != "score_summary"},
}


class NativeServer:
    """Answers requests as our server does. ``faults`` holds what to do instead, one a request."""

    def __init__(self, storage=None, *, wire_version=2):
        self.storage = storage or MemoryStorage()
        self.wire_version = wire_version
        self.requests = []
        self.faults = []
        self.lock = threading.Lock()

    def answer(self, method, target, headers, body):
        """Return status, headers and body of the reply."""
        with self.lock:
            parts = urlsplit(target)
            self.requests.append((method, parts.path, dict(headers), body))
            fault = self.faults.pop(0) if self.faults else None
            if callable(fault):
                fault = fault(method, parts.path)
            if fault is not None and fault != "after":
                return fault
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        path = unquote(parts.path)
        name = path[path.index(ROOT) + len(ROOT) :] if ROOT in path else ""
        query = {key: found[0] for key, found in parse_qs(parts.query).items()}
        try:
            content = self.route(method, name, query, body)
        except NotFoundError as error:
            return 404, {}, dumps({"errors": [str(error)]})
        except ConflictError as error:
            return 409, {}, dumps({"errors": [str(error)]})
        except OpikEvalError as error:
            return 400, {}, dumps({"errors": [str(error)]})
        if fault == "after":
            return 503, {}, b""
        return (200, {}, content) if content is not None else (204, {}, b"")

    def route(self, method, name, query, body):
        """Do what a request asks for and return the body of the reply."""
        if name == "info":
            return dumps({"product": "opik-eval", "wire_version": self.wire_version})
        if name.startswith("attachments/"):
            if method == "GET":
                return self.storage.read_attachment(name.removeprefix("attachments/"))
            record = wire.attachment_from_wire(loads(query["record"]))
            return self.storage.put_attachment(record, body)
        given = loads(body) if body else {}
        doers = {
            "records": self.write,
            "records/find": self.find,
            "records/list": self.list,
            "records/delete": self.delete,
            "dataset-changes": self.change,
        }
        if name not in doers:
            raise NotFoundError(f"no route {name!r}")
        return doers[name](given)

    def write(self, given):
        if self.wire_version < 2:
            self.storage.write([wire.record_from_wire(payload) for payload in given["records"]])
        else:
            self.storage.write_payloads(given["records"])

    def find(self, given):
        kind = given.pop("kind")
        found = getattr(self.storage, f"find_{kind}")(*given.values())
        if found is None:
            raise NotFoundError("not there")
        return dumps(wire.record_to_wire(found), sort_keys=False)

    def list(self, given):
        kind, arguments = given["kind"], given["arguments"]
        if "where" in arguments:
            arguments["where"] = parse_filter(arguments["where"], FILTERED[kind])
        if kind == "feedback_score":
            positional = [arguments.pop("entity_type"), arguments.pop("entity_ids", None)]
        elif kind in ("dataset_item", "dataset_version", "experiment_item", "prompt_version"):
            positional = [arguments.pop(next(n for n in arguments if n.endswith("_id")))]
        elif kind == "attachment":
            positional = [arguments["entity_type"], arguments.pop("entity_id")]
            del arguments["entity_type"]
        elif kind == "score_summary":
            positional = [arguments.pop("experiment_ids")]
        else:
            positional = []
        found = list(getattr(self.storage, LISTS[kind])(*positional, **arguments))
        lines = [dumps(wire.record_to_wire(record), sort_keys=False) for record in found]
        return b"".join(
            line + b"\n" for line in (*lines, dumps({"kind": "end", "count": len(lines)}))
        )

    def delete(self, given):
        kind = given.pop("kind")
        if kind == "feedback_score":
            self.storage.delete_feedback_scores(
                given["entity_type"],
                given["entity_id"],
                given["names"],
                project_name=given.get("project_name"),
            )
        elif kind == "dataset":
            for dataset_id in given["ids"]:
                self.storage.delete_dataset(dataset_id)
        else:
            getattr(self.storage, f"delete_{kind}s")(given["ids"])

    def change(self, given):
        items = [wire.dataset_item_from_wire(payload) for payload in given["upsert"]]
        made = self.storage.change_items(
            given["dataset_id"],
            **{
                **{k: v for k, v in given.items() if k != "dataset_id"},
                "upsert": items,
                "changed_at": wire.dataset_version_from_wire(
                    {
                        "id": "",
                        "dataset_id": "",
                        "version_name": "v1",
                        "items_total": 0,
                        "created_at": given["changed_at"],
                    }
                ).created_at,
            },
        )
        return dumps({"version": made and wire.dataset_version_to_wire(made)})


class ServerTransport(httpx.BaseTransport):
    """Takes the network's place between a client and a server in the same process."""

    def __init__(self, server):
        self.server = server

    def handle_request(self, request):
        status, headers, body = self.server.answer(
            request.method, str(request.url), request.headers, request.read()
        )
        if isinstance(status, Exception):
            raise status
        return httpx.Response(status, headers=headers, content=body)


@contextmanager
def served(server, port=0):
    """Yield the URL of a server that listens on this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, extra, content = server.answer(self.command, self.path, headers, body)
            if status == "drop":
                self.close_connection = True
                return
            self.send_response(status if isinstance(status, int) else 200)
            for name, value in extra.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content) + (status == "cut") * 9))
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = self.close_connection or status == "cut"

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

        def log_message(self, *arguments):
            """Stay silent."""

    listening = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    listening.daemon_threads = True
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_address[1]}"
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
