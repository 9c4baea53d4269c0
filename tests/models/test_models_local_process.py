"""The child process of a local model, with a stand-in for the inference library."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from opik_eval.concurrency import run_sync
from opik_eval.config import Settings
from opik_eval.errors import ConfigError, ModelError
from opik_eval.models import local, local_process, local_server
from opik_eval.models.base import ModelRequest
from opik_eval.models.local import LocalTransport
from opik_eval.models.local_process import LocalProcess, ServerOptions

LIBRARY = """
import json, pathlib, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

llama_pooling_type = SimpleNamespace(LLAMA_POOLING_TYPE_MEAN=1)

def CommonParams():
    return SimpleNamespace(
        model=SimpleNamespace(), cpuparams=SimpleNamespace(), cpuparams_batch=SimpleNamespace()
    )

class Server:
    def __init__(self, params):
        self.order = pathlib.Path(params.model.path).read_text()
        if self.order == "broken":
            print("bad magic", file=sys.stderr, flush=True)
            raise RuntimeError("Failed to init server")
        if self.order == "stuck":
            threading.Event().wait()
        server = HTTPServer(("127.0.0.1", 0), handler_for(params, self.order))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.listening_address = f"http://127.0.0.1:{server.server_port}"

def handler_for(params, order):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            assert self.headers["Authorization"] == "Bearer " + params.api_keys[0]
            self.reply({"chat_template_caps": {"supports_tools": order == "tools"}})

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            message = {"role": "assistant", "content": f"{params.n_ctx} tokens"}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self.reply({"choices": [choice], "usage": {}})

        def reply(self, value):
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    return Handler
"""
ONE_SLOT = ServerOptions(slots=1, threads=1, context_tokens=64, cache_mib=0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the stand-in library, found by import, and weights ``model.gguf``."""
    (tmp_path / "xllamacpp").mkdir()
    (tmp_path / "xllamacpp" / "__init__.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "model.gguf").write_text("fine")
    yield tmp_path
    local.stop()


@pytest.fixture
def process(folder: Path) -> Iterator[LocalProcess]:
    process = LocalProcess("local/fake", folder / "model.gguf", folder, ONE_SLOT)
    yield process
    process.stop()


def wait_for_end(pid: int, *, seconds: float = 10) -> bool:
    """Wait until a process has ended; False if it outlives the time."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    ended = bool(poll.poll(seconds * 1000))
    os.close(handle)
    return ended


def kill(process: LocalProcess) -> None:
    pid = process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert wait_for_end(pid)


@contextmanager
def run_script(text: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a process that has a local model, ``process``, and then does what ``text`` says."""
    start = f"""
import os, sys, time
from pathlib import Path
from opik_eval.models.local_process import ServerOptions, process_of
folder = Path({str(folder)!r})
options = ServerOptions(slots=1, threads=1, context_tokens=64, cache_mib=0)
process = process_of("local/fake", folder / "model.gguf", folder, options)
"""
    with subprocess.Popen(
        [sys.executable, "-c", start + text],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    ) as script:
        try:
            yield script
        finally:
            script.kill()


SERVE_AND_WAIT = """
process.endpoint()
print(process.pid, flush=True)
sys.stdin.read()
"""


def test_endpoint_starts_one_child_for_all_threads(process):
    """Threads that ask at the same time get one and the same child."""
    found = []
    threads = [threading.Thread(target=lambda: found.append(process.endpoint())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert process.running_endpoint == found[0]
    assert found[0].api_base.startswith("http://127.0.0.1:")
    assert found[0].api_key not in repr(found[0])


def test_child_survives_the_thread_that_started_it(process):
    """The kernel's death signal belongs to a thread that lasts, not to the caller's."""
    thread = threading.Thread(target=process.endpoint)
    thread.start()
    thread.join()
    assert not wait_for_end(process.pid, seconds=0.2)


def test_child_does_not_hear_the_terminal(process):
    """The child has a session of its own, so that Ctrl-C does not reach it."""
    process.endpoint()
    assert os.getsid(process.pid) == process.pid


def test_dead_child_is_restarted_once(process):
    """The first death is repaired, the second is an error, and stop() allows a fresh start."""
    first = process.endpoint()
    kill(process)
    assert process.running_endpoint is None
    assert process.endpoint() != first
    kill(process)
    for _ in range(2):
        with pytest.raises(ModelError, match=r"died 2 times, last: signal 9") as caught:
            process.endpoint()
        assert not caught.value.retryable
    process.stop()
    assert process.endpoint()


def test_stop_ends_the_child(process):
    """After stop() no child runs, and a second stop() does nothing."""
    process.endpoint()
    pid = process.pid
    process.stop()
    process.stop()
    assert process.pid is None
    assert wait_for_end(pid)


def test_failed_start_says_why(folder, process):
    """A library that cannot load the weights is an error with its own words and its output."""
    (folder / "model.gguf").write_text("broken")
    with pytest.raises(ModelError, match=r"RuntimeError: Failed to init server; .*bad magic"):
        process.endpoint()
    assert process.pid is None


def test_missing_library_in_the_child_is_an_error(folder, tmp_path_factory):
    """A folder without the library ends in an error that names it."""
    elsewhere = tmp_path_factory.mktemp("empty")
    process = LocalProcess("local/fake", folder / "model.gguf", elsewhere, ONE_SLOT)
    with pytest.raises(ModelError, match="No module named 'xllamacpp'"):
        process.endpoint()


def test_start_that_takes_too_long_is_ended(folder):
    """A child that does not answer in time is killed and reported."""
    (folder / "model.gguf").write_text("stuck")
    options = ServerOptions(slots=1, threads=1, context_tokens=64, start_timeout_seconds=0.3)
    process = LocalProcess("local/fake", folder / "model.gguf", folder, options)
    with pytest.raises(ModelError, match=r"no answer within 0\.3 s"):
        process.endpoint()


def test_child_that_cannot_even_begin_is_an_error(process, monkeypatch):
    """A child that ends before it reads its order is reported with its error output."""
    monkeypatch.setattr(local_server, "__file__", "/nowhere/local_server.py")
    with pytest.raises(ModelError, match="No such file"):
        process.endpoint()


@pytest.mark.parametrize("how", ["exit", "exception", "killed"])
def test_child_never_outlives_its_parent(folder, how):
    """However the parent ends, the child ends too."""
    after = {"exit": "", "exception": "raise SystemExit(3)", "killed": ""}[how]
    with run_script(SERVE_AND_WAIT + after, folder) as parent:
        pid = int(parent.stdout.readline())
        if how == "killed":
            parent.kill()
        parent.stdin.close()
        assert wait_for_end(pid)


def test_orphan_of_a_slow_start_ends(folder):
    """A parent killed while the weights load takes the child along."""
    (folder / "model.gguf").write_text("stuck")
    script = """
import threading
threading.Thread(target=process.endpoint, daemon=True).start()
children = []
while not children:
    time.sleep(0.01)
    lists = Path("/proc/self/task").glob("*/children")
    children = [pid for path in lists for pid in path.read_text().split()]
print(children[0], flush=True)
sys.stdin.read()
"""
    with run_script(script, folder) as parent:
        pid = int(parent.stdout.readline())
        parent.kill()
        assert wait_for_end(pid)


def test_forked_process_has_a_child_of_its_own(folder):
    """After a fork the old child belongs to the old process alone, which still ends it."""
    script = """
process.endpoint()
before = process.pid
forked = os.fork()
if forked == 0:
    assert process.pid is None
    process.endpoint()
    print(process.pid, flush=True)
    sys.exit(0)
assert os.waitpid(forked, 0)[1] == 0
assert process.pid == before
print(before, flush=True)
sys.stdin.read()
os.kill(os.getpid(), 9)
"""
    with run_script(script, folder) as parent:
        of_fork, of_parent = int(parent.stdout.readline()), int(parent.stdout.readline())
        assert of_fork != of_parent
        assert wait_for_end(of_fork)
        parent.stdin.close()
        assert wait_for_end(of_parent)


def test_child_that_dies_before_its_order_gives_no_answer():
    """A child that is gone before it can be asked answers nothing."""
    child = local_process._Child()
    os.kill(child.pid, signal.SIGKILL)
    assert wait_for_end(child.pid)
    assert child.ask({}, 5) == {}
    assert child.bury().startswith("signal 9")


def test_interrupted_start_leaves_no_child(process, monkeypatch):
    """Ctrl-C while the weights load ends the child and is raised again."""
    asked = []

    def interrupt(child: local_process._Child, *_arguments: object) -> None:
        asked.append(child.pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(local_process._Child, "ask", interrupt)
    with pytest.raises(KeyboardInterrupt):
        process.endpoint()
    assert wait_for_end(asked[0])


def test_forgetting_lets_the_child_go(folder):
    """What a forked process does first: drop the child without waiting for it."""
    running = local_process.process_of("local/a", folder / "model.gguf", folder, ONE_SLOT)
    idle = local_process.process_of("local/b", folder / "b.gguf", folder, ONE_SLOT)
    running.endpoint()
    pid = running.pid
    local_process._forget_after_fork()
    assert running.pid is None
    assert idle.pid is None
    assert os.waitpid(pid, 0) == (pid, 0)  # its lifeline has ended


def test_transport_follows_a_restarted_child(folder):
    """After the child's death the next request goes to the new one."""
    transport = LocalTransport(f"local/{folder / 'model.gguf'}", slots=1, context_tokens=64)
    request = ModelRequest(model="m", messages=[{"role": "user", "content": "hi"}])
    options = transport.options
    for _ in range(2):
        reply = run_sync(lambda: transport.send(request))
        assert reply.text == "64 tokens"
        kill(local._process(transport.account, options))
    assert reply.cost_usd == 0.0
    run_sync(transport.aclose)
    run_sync(transport.aclose)


def test_tools_depend_on_the_chat_template(folder):
    """A model whose template knows tools gets them."""
    (folder / "model.gguf").write_text("tools")
    transport = LocalTransport(f"local/{folder / 'model.gguf'}", slots=1)
    assert not transport.supports("tools")
    request = ModelRequest(
        model="m", messages=[{"role": "user", "content": "hi"}], params={"tools": [{}]}
    )
    assert run_sync(lambda: transport.send(request)).text
    assert transport.supports("tools")
    assert transport.supports("json_schema")
    assert not transport.supports("images")
    run_sync(transport.aclose)


def test_options_must_be_positive():
    """A server without slots is refused before anything starts."""
    with pytest.raises(ConfigError, match="positive"):
        ServerOptions(slots=0)


def test_cores_are_those_we_may_use(monkeypatch):
    """Where the system tells, only the cores of this process count."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 3, 5}, raising=False)
    assert ServerOptions().threads == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert (ServerOptions().threads, ServerOptions().slots) == (1, 4)


def test_configured_file_comes_first(folder, monkeypatch):
    """The file that the settings name is found by its name and listed first."""
    path = folder / "model.gguf"
    monkeypatch.setattr(local, "settings", lambda: Settings(local_model_path=str(path)))
    assert local.list_local_models()[0] == "local/model"
    assert local.is_available("local/model")
    assert local.endpoint("local/model", options=ONE_SLOT).api_base
