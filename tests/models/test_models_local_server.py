"""What the child process of a local model does, run here with a stand-in for its library."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import ModuleType, SimpleNamespace

import pytest

from opik_eval.models import local_server

ORDER: local_server.Order = {
    "library_path": "/library",
    "weights": "/weights/model.gguf",
    "api_key": "secret",
    "slots": 2,
    "threads": 1,
    "context_tokens": 64,
    "cache_mib": 8,
}


@pytest.fixture
def properties_address() -> Iterator[str]:
    """Address of a server that tells about a chat template with tools."""

    class Properties(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"chat_template_caps": {"supports_tools": true}}'
            self.send_response(200 if self.headers["Authorization"] == "Bearer secret" else 401)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Stay silent."""

    with HTTPServer(("127.0.0.1", 0), Properties) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_server_serves_until_its_lifeline_ends(properties_address, monkeypatch):
    """The child reads one order, answers once and returns at the end of its input."""
    library = ModuleType("xllamacpp")
    library.llama_pooling_type = SimpleNamespace(LLAMA_POOLING_TYPE_MEAN=1)
    parts = ("model", "cpuparams", "cpuparams_batch")
    library.CommonParams = lambda: SimpleNamespace(**{part: SimpleNamespace() for part in parts})
    seen = []

    def listen(params: object) -> SimpleNamespace:
        seen.append(params)
        return SimpleNamespace(listening_address=properties_address)

    library.Server = listen
    monkeypatch.setitem(sys.modules, "xllamacpp", library)
    monkeypatch.setattr(sys, "path", list(sys.path))
    answers = _Kept()
    lifeline = io.BytesIO(json.dumps(ORDER).encode() + b"\n..")
    assert local_server.serve(lifeline, answers) == 0
    assert json.loads(answers.text) == {"address": properties_address, "takes_tools": True}
    assert seen[0].n_ctx == 128
    assert seen[0].api_keys == ["secret"]
    assert seen[0].cache_ram_mib == 8


def test_server_that_cannot_load_answers_why(monkeypatch):
    """The child answers with the library's words and a status that is not zero."""

    def fail(_order: object) -> None:
        raise RuntimeError("no such model")

    monkeypatch.setattr(local_server, "start_server", fail)
    answers = _Kept()
    assert local_server.serve(io.BytesIO(json.dumps(ORDER).encode() + b"\n"), answers) == 1
    assert json.loads(answers.text) == {"error": "RuntimeError: no such model"}


class _Kept(io.BytesIO):
    """Remembers what was written after it is closed."""

    text = b""

    def close(self) -> None:
        self.text = self.text or self.getvalue()
        super().close()
