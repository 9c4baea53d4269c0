"""What tracing costs a program: microseconds for each span.

Two tracked functions, one calling the other, are run in the ways that matter:

- ``untraced``: the functions themselves, for scale;
- ``switched_off``: with tracing switched off;
- ``in_process``: recording alone, to a sink that forgets everything;
- ``async``: the same with coroutines;
- ``to_disk``: through the background writer into the file store, back to back, so that the two
  threads compete. ``caller`` is what the program waits for, ``total`` includes the writer's work up
  to the end of the flush; a root span's share of its trace is included.

Run it with ``PYTHONDONTWRITEBYTECODE`` unset::

    python -m benchmarks.tracing --out benchmarks/results/tracing.json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from opik_eval.tracing import (
    TraceState,
    configure_tracing,
    reset_tracing_to_config_default,
    set_tracing_active,
    trace_scope,
    track,
)
from opik_eval.tracing.sink import NullSink

SPANS_PER_CALL = 2


def search(question: str, top_k: int = 2) -> list[dict[str, object]]:
    """Find documents."""
    return [{"id": number, "text": question} for number in range(top_k)]


def answer(question: str, find: Callable[[str], list[dict[str, object]]] = search) -> str:
    """Answer a question from documents."""
    return f"{len(find(question))} documents on {question}"


tracked_search = track(type="tool")(search)


@track(tags=["benchmark"], metadata={"version": 1})
def tracked_answer(question: str) -> str:
    """Answer a question from documents, traced."""
    return answer(question, tracked_search)


@track(type="tool")
async def tracked_asearch(question: str) -> list[dict[str, object]]:
    """Find documents, traced."""
    return search(question)


@track
async def tracked_aanswer(question: str) -> str:
    """Answer a question from documents, traced."""
    return f"{len(await tracked_asearch(question))} documents on {question}"


def microseconds_per_span(
    call: Callable[[str], object], calls: int, clock: Callable[[], float] = time.process_time
) -> float:
    """Return the time of one span; CPU time, which other programs on the machine do not spoil."""
    started = clock()
    for number in range(calls):
        call(f"question {number}")
    return (clock() - started) / (calls * SPANS_PER_CALL) * 1e6


async def measure_async(calls: int) -> float:
    """Return the CPU time of one span of coroutines."""
    started = time.process_time()
    for number in range(calls):
        await tracked_aanswer(f"question {number}")
    return (time.process_time() - started) / (calls * SPANS_PER_CALL) * 1e6


def measure_disk(calls: int) -> dict[str, float]:
    """Return the time of one span (and its share of a trace) into the file store."""
    with tempfile.TemporaryDirectory() as folder:
        tracer = configure_tracing(f"file:{Path(folder) / 'traces.db'}")
        tracked_answer("warm up")
        tracer.flush()
        cpu, started = time.process_time(), time.perf_counter()
        caller = microseconds_per_span(tracked_answer, calls, time.perf_counter)
        report = tracer.flush()
        spans = calls * SPANS_PER_CALL
        total = (time.perf_counter() - started) / spans * 1e6
        cpu_total = (time.process_time() - cpu) / spans * 1e6
        tracer.close()
    expected = (calls + 1) * (SPANS_PER_CALL + 1)
    if report.delivered != expected:
        raise SystemExit(f"{expected} records were emitted, and this became of them: {report}")
    return {"caller_wall": caller, "total_wall": total, "total_cpu": cpu_total}


def measure(calls: int) -> dict[str, float]:
    """Return the figures of one round."""
    figures = {"untraced": microseconds_per_span(answer, calls)}
    set_tracing_active(False)
    figures["switched_off"] = microseconds_per_span(tracked_answer, calls)
    set_tracing_active(True)
    with trace_scope(TraceState(NullSink(), "benchmark")):
        figures["in_process"] = microseconds_per_span(tracked_answer, calls)
        figures["async"] = asyncio.run(measure_async(calls))
    figures |= {f"to_disk_{name}": value for name, value in measure_disk(calls).items()}
    reset_tracing_to_config_default()
    return figures


def main() -> None:
    """Measure some rounds and print (or save) the medians and the best."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=10_000, help="calls of two spans a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="file to write the figures to, as JSON")
    options = parser.parse_args()
    rounds = [measure(options.calls) for _ in range(options.rounds)]
    figures = {
        name: {
            "median": round(statistics.median(each[name] for each in rounds), 2),
            "best": round(min(each[name] for each in rounds), 2),
        }
        for name in rounds[0]
    }
    document = {
        "benchmark": "tracing",
        "unit": "microseconds per span",
        "calls": options.calls,
        "rounds": options.rounds,
        "figures": figures,
        "python": platform.python_version(),
        "machine": {"cpus": os.cpu_count(), "system": platform.platform()},
        "bytecode_cached": not sys.dont_write_bytecode,
    }
    text = json.dumps(document, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
