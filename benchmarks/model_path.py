"""What a call to a model costs on the client's side: calls a second and CPU milliseconds a call.

Every client sends the same requests to a fake OpenAI-compatible server with a fixed latency. The
server runs in another process, so that its CPU time is not counted. Run it with::

    python -m benchmarks.model_path --out benchmarks/results/model_path.json

Imports are warmed up and not counted; unset ``PYTHONDONTWRITEBYTECODE`` all the same.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.metadata
import json
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from opik_eval.models.base import ModelRequest
from opik_eval.models.direct_transport import DirectTransport
from opik_eval.testing.fake_server import FakeServer

MODEL = "openai/fake"
KEY = "sk-benchmark"
MESSAGES = [
    {"role": "system", "content": "Answer in one word."},
    {"role": "user", "content": "What is the capital of France?"},
]
PACKAGES = ("opik-eval", "aiohttp", "orjson", "litellm", "openai")

Call = Callable[[], Awaitable[object]]


@asynccontextmanager
async def direct(base_url: str) -> AsyncIterator[Call]:
    """Our transport alone."""
    transport = DirectTransport(MODEL, api_base=base_url, api_key=KEY)
    request = ModelRequest(model=MODEL, messages=MESSAGES)
    yield lambda: transport.send(request)
    await transport.aclose()


@asynccontextmanager
async def client(base_url: str) -> AsyncIterator[Call]:
    """Our whole client: transport, retries, limiter, budget, and no cache."""
    get_model = importlib.import_module("opik_eval.models.client").get_model
    model = get_model(MODEL, api_base=base_url, api_key=KEY)
    yield lambda: model.generate(MESSAGES)
    if hasattr(model, "aclose"):
        await model.aclose()


@asynccontextmanager
async def bare_aiohttp(base_url: str) -> AsyncIterator[Call]:
    """The floor: post, read, parse."""
    import aiohttp
    import orjson

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call() -> object:
            body = orjson.dumps({"model": "fake", "messages": MESSAGES})
            headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
            async with session.post(
                f"{base_url}/chat/completions", data=body, headers=headers
            ) as response:
                return orjson.loads(await response.read())

        yield call


@asynccontextmanager
async def bare_litellm(base_url: str) -> AsyncIterator[Call]:
    """The usual way: litellm."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    yield lambda: litellm.acompletion(
        model=MODEL, messages=MESSAGES, api_base=base_url, api_key=KEY, num_retries=0
    )


CLIENTS = {"aiohttp": bare_aiohttp, "direct": direct, "client": client, "litellm": bare_litellm}


async def measure(name: str, base_url: str, *, calls: int, in_flight: int) -> dict[str, object]:
    """Return the figures of one client at one concurrency."""
    async with CLIENTS[name](base_url) as call:
        await _run(call, calls=2 * in_flight, in_flight=in_flight)  # connections, imports, caches
        started, cpu_started = time.perf_counter(), time.process_time()
        await _run(call, calls=calls, in_flight=in_flight)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    return {
        "client": name,
        "in_flight": in_flight,
        "calls": calls,
        "calls_per_second": round(calls / seconds, 1),
        "cpu_ms_per_call": round(1000 * cpu / calls, 3),
        "seconds": round(seconds, 3),
    }


async def _run(call: Call, *, calls: int, in_flight: int) -> None:
    remaining = iter(range(calls))

    async def work() -> None:
        for _ in remaining:
            await call()

    await asyncio.gather(*(work() for _ in range(in_flight)))


def serve(pipe: Connection, latency_seconds: float) -> None:
    """Serve until the other end of the pipe is closed (runs in a process of its own)."""
    with FakeServer("Paris.", latency_seconds=latency_seconds) as server:
        pipe.send(server.base_url)
        try:
            pipe.recv()
        except EOFError:
            return


def run(
    clients: Sequence[str], concurrencies: Sequence[int], *, calls: int, latency_seconds: float
) -> list[dict[str, object]]:
    """Measure every client at every concurrency, with ratios to bare aiohttp."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, latency_seconds), daemon=True)
    process.start()
    theirs.close()
    base_url = ours.recv()
    results = []
    for in_flight in concurrencies:
        rows = [
            asyncio.run(measure(name, base_url, calls=calls, in_flight=in_flight))
            for name in clients
        ]
        floor = next((row for row in rows if row["client"] == "aiohttp"), rows[0])
        for row in rows:
            ratio = float(str(row["cpu_ms_per_call"])) / float(str(floor["cpu_ms_per_call"]))
            results.append({**row, "cpu_ratio_to_floor": round(ratio, 2)})
            print(
                f"{row['client']:>8}  {in_flight:4d} in flight  "
                f"{row['calls_per_second']:8} calls/s  "
                f"{row['cpu_ms_per_call']:6.3f} CPU ms/call  x{ratio:.2f}"
            )
    ours.close()
    process.join()
    return results


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _importable(name: str) -> bool:
    if name != "client":
        return True
    try:
        return hasattr(importlib.import_module("opik_eval.models.client"), "get_model")
    except ImportError:
        return False


def main() -> None:
    """Parse the command line, measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[16, 100])
    parser.add_argument("--clients", nargs="+", choices=CLIENTS, default=list(CLIENTS))
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    options = parser.parse_args()
    clients = [name for name in options.clients if _importable(name)]
    results = run(
        clients, options.in_flight, calls=options.calls, latency_seconds=options.latency_ms / 1000
    )
    if options.out is not None:
        report = {
            "benchmark": "model_path",
            "command": "python -m benchmarks.model_path " + " ".join(sys.argv[1:]),
            "latency_ms": options.latency_ms,
            "python": platform.python_version(),
            "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {platform.system()}",
            "versions": {package: _version(package) for package in PACKAGES},
            "results": results,
        }
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
