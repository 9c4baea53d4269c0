"""How fast a server takes traces from one client process, and how soon they can be read.

Starts ``opik-eval serve`` over a fresh file and sends traces of three spans each, first with this
package's HTTP backend (write and flush: each event goes through the outbox on disk and is durable
on the server), then as ready-made batches of Opik's own routes:

    python benchmarks/server_ingest.py --out benchmarks/results/server_ingest.json
    python benchmarks/server_ingest.py --sdk-python OTHER_VENV/bin/python   # also the real SDK

    python benchmarks/server_ingest.py --store postgresql://...   # an empty database; it is filled

Targets on two idle cores: 30 000 events/s with our client, ten times what Opik's makers publish for
their local stack; no slower at 400 000 events than at 40 000, within 10 %; a trace readable within
50 ms of its acknowledgement, while others are written, too; Opik's SDK limited by itself alone.
``targets`` in the result says for each what was found.

Client and server are two processes. Where other programs compete for the cores, wall-clock time
says little, so the CPU time of either side is given too: ``possible_events_per_second`` is what two
cores of their own would allow, one million divided by the CPU microseconds of the slower side.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue

from machine import description, save

from opik_eval.ids import new_id
from opik_eval.records import Span, SpanType, Trace
from opik_eval.serialization import dumps
from opik_eval.storage.http import HttpStorage
from opik_eval.storage.http_connection import Connection
from opik_eval.storage.wire import record_to_wire

_WRITE_RECORDS = 500
_RAW_RECORDS = 1000
_RAW_THREADS = 4
_READS = 200
_BUSY_TRACES = 20_000
_TRIES = 3
"""Runs of each size, in turn with those of the others; the median counts."""
_TARGET_EVENTS_PER_SECOND = 30_000
_TARGET_MILLISECONDS = 50
_TARGET_RATIO = 0.9
_TEXT = "What is the capital of France, and why is it not on the coast? "
_SDK = """
import json, sys, time
import opik
count, text = int(sys.argv[1]), "What is the capital of France, and why is it not on the coast? "

@opik.track(type="llm")
def step(prompt):
    return {"answer": text}

@opik.track(name="ask")
def ask(question, number):
    for _ in range(2):
        step(question)
    return step(question)

begin, cpu = time.perf_counter(), time.process_time()
for number in range(count):
    ask(text, number)
opik.flush_tracker()
print(json.dumps([time.perf_counter() - begin, time.process_time() - cpu]))
"""


@dataclass
class Server:
    """A running server."""

    url: str
    process: subprocess.Popen[str]
    start_seconds: float

    def cpu_seconds(self) -> float:
        """Return the CPU time that it has used (Linux)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(store: str | None = None) -> Iterator[tuple[Server, Path]]:
    """Run a server over a store, or a fresh file; yield it with a folder for temporary files."""
    with (
        tempfile.TemporaryDirectory() as name,
        _serving(store or f"file:{name}/server.db") as server,
    ):
        yield server, Path(name)


@contextmanager
def _serving(store: str) -> Iterator[Server]:
    begin = time.perf_counter()
    command = ["serve", "--store", store, "--port", "0", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "opik_eval", *command], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["url"]
    Connection(url).ask("GET", "is-alive/ping")
    try:
        yield Server(url, process, time.perf_counter() - begin)
    finally:
        process.terminate()
        process.wait()


def records(traces: int) -> Iterator[Trace | Span]:
    """Yield traces, each followed by its spans."""
    for number in range(traces):
        now = datetime.now(UTC)
        trace = Trace(
            id=new_id(),
            project_name="ingest",
            name="ask",
            start_time=now,
            end_time=now,
            input={"question": _TEXT, "number": number},
            output={"answer": _TEXT},
            metadata={"customer": f"c-{number % 1000}"},
            last_updated_at=now,
        )
        yield trace
        for _ in range(3):
            yield Span(
                id=new_id(),
                trace_id=trace.id,
                project_name="ingest",
                name="step",
                type=SpanType.LLM,
                start_time=now,
                end_time=now,
                input={"messages": [{"role": "user", "content": _TEXT}]},
                output={"content": _TEXT},
                model="echo",
                provider="fake",
                usage={"prompt_tokens": 25, "completion_tokens": 25, "total_tokens": 50},
                last_updated_at=now,
            )


def figures(events: int, wall: float, client_cpu: float, server_cpu: float) -> dict[str, float]:
    """Return the figures of a run."""
    slower = max(client_cpu, server_cpu)
    return {
        "events": events,
        "wall_seconds": round(wall, 2),
        "events_per_second": round(events / wall),
        "client_cpu_microseconds_per_event": round(client_cpu / events * 1e6, 1),
        "server_cpu_microseconds_per_event": round(server_cpu / events * 1e6, 1),
        "possible_events_per_second": round(events / slower),
        "load": round(os.getloadavg()[0], 1),
    }


def with_our_client(server: Server, folder: Path, traces: int) -> dict[str, float]:
    """Send traces with the HTTP backend, made beforehand."""
    storage = HttpStorage(Connection(f"{server.url}/api"), folder / f"outbox-{traces}.db")
    storage.find_trace("none")  # connects
    made = list(records(traces))
    before, cpu, begin = server.cpu_seconds(), time.process_time(), time.perf_counter()
    for start in range(0, len(made), _WRITE_RECORDS):
        storage.write(made[start : start + _WRITE_RECORDS])
    report = storage.flush()
    wall = time.perf_counter() - begin
    result = figures(len(made), wall, time.process_time() - cpu, server.cpu_seconds() - before)
    assert (report.pending, report.rejected) == (0, ()), report
    storage.close()
    return result


def raw_batches(server: Server, traces: int) -> dict[str, float]:
    """Send bodies of Opik's batch routes, made beforehand, on four connections."""
    bodies: Queue[tuple[str, bytes]] = Queue()
    made = list(records(traces))
    for name, kind in (("traces", Trace), ("spans", Span)):
        found = [record_to_wire(record) for record in made if isinstance(record, kind)]
        for start in range(0, len(found), _RAW_RECORDS):
            bodies.put((name, dumps({name: found[start : start + _RAW_RECORDS]})))
    connection = Connection(f"{server.url}/api")

    def send() -> None:
        while not bodies.empty():
            name, body = bodies.get()
            connection.ask("POST", f"v1/private/{name}/batch", body=body)

    before, cpu, begin = server.cpu_seconds(), time.process_time(), time.perf_counter()
    threads = [threading.Thread(target=send) for _ in range(_RAW_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall = time.perf_counter() - begin
    return figures(len(made), wall, time.process_time() - cpu, server.cpu_seconds() - before)


def milliseconds_until_readable(connection: Connection) -> float:
    """Write a trace and return how long after its acknowledgement a reader has it."""
    trace = next(iter(records(1)))
    body = {"traces": [record_to_wire(trace)]}
    connection.ask("POST", "v1/private/traces/batch", json=body)
    begin = time.perf_counter()
    while connection.exchange("GET", f"v1/private/traces/{trace.id}").status != 200:
        pass
    return (time.perf_counter() - begin) * 1000


def spread(taken: list[float]) -> dict[str, float]:
    """Return how some milliseconds are spread."""
    taken.sort()
    places = {"median": len(taken) // 2, "percentile_99": len(taken) * 99 // 100, "greatest": -1}
    found = {name: round(taken[place], 1) for name, place in places.items()}
    return {**found, "reads": len(taken)}


def readable_after(server: Server) -> dict[str, float]:
    """Return the milliseconds until traces can be read while nothing else happens."""
    connection = Connection(f"{server.url}/api")
    gc.freeze()  # this program's own pauses are none of the server's
    return spread([milliseconds_until_readable(connection) for _ in range(_READS)])


def readable_while_busy(server: Server, folder: Path) -> dict[str, float]:
    """Return the same while another process sends traces as fast as it can."""
    connection = Connection(f"{server.url}/api")
    command = [sys.executable, __file__, "--send", server.url, str(folder / "outbox-busy.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sender:
        assert sender.stdout is not None
        sender.stdout.readline()
        gc.freeze()  # as above
        taken = []
        while sender.poll() is None:
            taken.append(milliseconds_until_readable(connection))
    assert sender.returncode == 0
    return spread(taken)


def send(url: str, outbox: str) -> None:
    """Send traces to a server, for ``readable_while_busy``; a line tells that it begins."""
    storage = HttpStorage(Connection(f"{url}/api"), Path(outbox))
    made = list(records(_BUSY_TRACES))
    print(len(made), flush=True)
    for start in range(0, len(made), _WRITE_RECORDS):
        storage.write(made[start : start + _WRITE_RECORDS])
    report = storage.flush()
    assert (report.pending, report.rejected) == (0, ()), report
    storage.close()


def run_sdk(url: str, python: str, traces: int) -> tuple[float, float]:
    """Send traces with Opik's SDK, installed elsewhere; return its wall and CPU seconds."""
    settings = {"OPIK_URL_OVERRIDE": f"{url}/api/", "OPIK_SENTRY_ENABLE": "false"}
    found = subprocess.run(
        [python, "-c", _SDK, str(traces)],
        check=True,
        capture_output=True,
        text=True,
        cwd=tempfile.gettempdir(),
        env={**os.environ, **settings},
    )
    wall, cpu = json.loads(found.stdout.splitlines()[-1])
    return wall, cpu


def with_sdk(server: Server, python: str, traces: int) -> dict[str, float]:
    """Return the figures of Opik's SDK, and how they compare to a server that does nothing."""
    before = server.cpu_seconds()
    wall, cpu = run_sdk(server.url, python, traces)
    server_cpu = server.cpu_seconds() - before
    with acknowledging() as url:
        wall_without, _ = run_sdk(url, python, traces)
    return {
        # A trace, its root span, and three spans below that.
        **figures(traces * 5, wall, cpu, server_cpu),
        "sdk_cpu_share_of_wall": round(cpu / wall, 3),
        "server_cpu_share_of_wall": round(server_cpu / wall, 3),
        "wall_seconds_where_a_server_only_acknowledges": round(wall_without, 2),
        "slower_than_that_by_percent": round((wall / wall_without - 1) * 100, 1),
    }


class _Acknowledge(BaseHTTPRequestHandler):
    """Reads requests and answers that all is well."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Answer a request."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b'{"healthy": true}' if self.command == "GET" else b""
        self.send_response(200 if body else 204)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = answer

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def acknowledge() -> None:
    """Run a server that does nothing but acknowledge; the first line says its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Acknowledge)
    print(server.server_port, flush=True)
    server.serve_forever()


@contextmanager
def acknowledging() -> Iterator[str]:
    """Run such a server in a process of its own; yield its URL."""
    command = [sys.executable, __file__, "--acknowledge"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.terminate()


def targets(runs: list[dict[str, float]], waits: list[dict[str, float]]) -> dict[str, object]:
    """Return what was found for each target.

    Args:
        runs: The runs with our client, the smallest first.
        waits: Milliseconds until traces could be read.
    """
    speeds = [run["events_per_second"] for run in runs]
    ratio = round(speeds[-1] / speeds[0], 3)
    slowest = max(wait["greatest"] for wait in waits)
    return {
        "events_per_second": {
            "target": _TARGET_EVENTS_PER_SECOND,
            "found": min(speeds),
            "is_met": min(speeds) >= _TARGET_EVENTS_PER_SECOND,
        },
        "speed_of_largest_run_over_smallest": {
            "target": _TARGET_RATIO,
            "found": ratio,
            "is_met": ratio >= _TARGET_RATIO,
        },
        "greatest_milliseconds_until_readable": {
            "target": _TARGET_MILLISECONDS,
            "found": slowest,
            "is_met": slowest <= _TARGET_MILLISECONDS,
        },
    }


def main() -> None:
    """Run the benchmark and print its figures as JSON."""
    parser = argparse.ArgumentParser(description="Traces from one client to one server.")
    parser.add_argument(
        "--traces", type=int, nargs="+", default=[10_000, 100_000], help="sizes of the runs"
    )
    parser.add_argument("--store", help="what the server stores in; absent: a fresh file each time")
    parser.add_argument("--sdk-python", help="Python of an environment with the opik SDK")
    parser.add_argument("--sdk-traces", type=int, default=2_000, help="traces sent with the SDK")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file, too")
    parser.add_argument("--send", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--acknowledge", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.acknowledge:
        acknowledge()
    if options.send:
        send(*options.send)
        return
    runs, waits = list[dict[str, float]](), list[dict[str, float]]()
    result: dict[str, object] = {"benchmark": "server_ingest", **description("opik-eval")}
    tries: dict[int, list[dict[str, float]]] = {traces: [] for traces in options.traces}
    for traces in options.traces * _TRIES:
        with running(options.store) as (server, folder):
            result["start_seconds"] = round(server.start_seconds, 2)
            tries[traces].append(with_our_client(server, folder, traces))
            waits += [readable_after(server), readable_while_busy(server, folder)]
        result[f"milliseconds_until_readable_after_{traces}_traces"] = {
            "idle": waits[-2],
            "while_others_write": waits[-1],
        }
    for traces, found in tries.items():
        found.sort(key=lambda run: run["events_per_second"])
        runs.append(found[len(found) // 2])
        result[f"our_client_{traces}_traces"] = runs[-1]
    with running(options.store) as (server, _):
        result[f"raw_batches_{options.traces[0]}_traces"] = raw_batches(server, options.traces[0])
    if options.sdk_python:
        with running(options.store) as (server, _):
            result["opik_sdk"] = with_sdk(server, options.sdk_python, options.sdk_traces)
    result["targets"] = targets(runs, waits)
    print(json.dumps(result, indent=2))
    save(options.out, result)


if __name__ == "__main__":
    main()
