"""How fast a server takes traces from one client process, and how soon they can be read.

Starts ``opik-eval serve`` over a fresh file and sends traces of three spans each, first with this
package's HTTP backend (write and flush: each event goes through the outbox on disk and is durable
on the server), then as ready-made batches of Opik's own routes:

    python benchmarks/server_ingest.py --out benchmarks/results/server_ingest.json
    python benchmarks/server_ingest.py --sdk-python OTHER_VENV/bin/python   # also the real SDK

Targets on two idle cores: 30 000 events/s with our client; no slower at 400 000 events than at
40 000; a trace readable within 50 ms of its acknowledgement.

Client and server are two processes. Where other programs compete for the cores, wall-clock time
says little, so the CPU time of either side is given too: ``possible_events_per_second`` is what two
cores of their own would allow, one million divided by the CPU microseconds of the slower side.
"""

from __future__ import annotations

import argparse
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
_READS = 50
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
def running(folder: Path) -> Iterator[Server]:
    """Run a server over a fresh file."""
    begin = time.perf_counter()
    command = ["serve", "--store", f"file:{folder / 'server.db'}", "--port", "0", "--json"]
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


def readable_after(server: Server) -> dict[str, float]:
    """Return how long after the acknowledgement of a trace a reader has it, in milliseconds."""
    connection = Connection(f"{server.url}/api")
    taken = []
    for _ in range(_READS):
        trace = next(iter(records(1)))
        body = {"traces": [record_to_wire(trace)]}
        connection.ask("POST", "v1/private/traces/batch", json=body)
        begin = time.perf_counter()
        while connection.exchange("GET", f"v1/private/traces/{trace.id}").status != 200:
            pass
        taken.append((time.perf_counter() - begin) * 1000)
    taken.sort()
    return {"median": round(taken[_READS // 2], 1), "greatest": round(taken[-1], 1)}


def with_sdk(server: Server, python: str, traces: int) -> dict[str, float]:
    """Send traces with Opik's SDK, installed elsewhere."""
    before = server.cpu_seconds()
    settings = {"OPIK_URL_OVERRIDE": f"{server.url}/api/", "OPIK_SENTRY_ENABLE": "false"}
    found = subprocess.run(
        [python, "-c", _SDK, str(traces)],
        check=True,
        capture_output=True,
        text=True,
        cwd=tempfile.gettempdir(),
        env={**os.environ, **settings},
    )
    wall, cpu = json.loads(found.stdout.splitlines()[-1])
    # A trace, its root span, and three spans below that.
    return figures(traces * 5, wall, cpu, server.cpu_seconds() - before)


def main() -> None:
    """Run the benchmark and print its figures as JSON."""
    parser = argparse.ArgumentParser(description="Traces from one client to one server.")
    parser.add_argument(
        "--traces", type=int, nargs="+", default=[10_000, 100_000], help="sizes of the runs"
    )
    parser.add_argument("--sdk-python", help="Python of an environment with the opik SDK")
    parser.add_argument("--sdk-traces", type=int, default=2_000, help="traces sent with the SDK")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file, too")
    options = parser.parse_args()
    result: dict[str, object] = {"benchmark": "server_ingest", **description("opik-eval")}
    for traces in options.traces:
        with tempfile.TemporaryDirectory() as name, running(Path(name)) as server:
            result["start_seconds"] = round(server.start_seconds, 2)
            result[f"our_client_{traces}_traces"] = with_our_client(server, Path(name), traces)
            result["milliseconds_until_readable"] = readable_after(server)
    with tempfile.TemporaryDirectory() as name, running(Path(name)) as server:
        result[f"raw_batches_{options.traces[0]}_traces"] = raw_batches(server, options.traces[0])
    if options.sdk_python:
        with tempfile.TemporaryDirectory() as name, running(Path(name)) as server:
            result["opik_sdk"] = with_sdk(server, options.sdk_python, options.sdk_traces)
    print(json.dumps(result, indent=2))
    save(options.out, result)


if __name__ == "__main__":
    main()
