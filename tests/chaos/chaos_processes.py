"""The processes of the chaos test: a server, and a client that writes and evaluates.

They are forked from a process that has everything imported, so that one that was killed is back in
a fraction of a second.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import BinaryIO

from opik_eval import evaluate
from opik_eval.cli import main
from opik_eval.errors import StorageError
from opik_eval.metrics import Equals
from opik_eval.records import Dataset, DatasetItem, FeedbackScore, Span, Trace
from opik_eval.server import running, serving  # noqa: F401 - imported before the fork
from opik_eval.storage.http import HttpStorage
from opik_eval.storage.http_connection import Connection

ITEMS = 12
"""Items of an evaluation."""


def serve(store: str, port: int) -> None:
    """Run the server as its command does."""
    main(["serve", "--store", store, "--port", str(port), "--json"])


def work(url: str, folder: Path, seconds: float) -> None:
    """Write and evaluate for some time, and then until all is delivered.

    Each acknowledgement becomes a line of the file ``acknowledged``; the numbers of the next client
    go on where they end.
    """
    storage = HttpStorage(Connection(url), folder / "outbox.db")
    done = acknowledgements(folder)
    deadline = time.monotonic() + seconds
    with (folder / "acknowledged").open("ab", buffering=0) as log:
        others = [
            threading.Thread(target=write, args=(storage, log, next_of(done, kind), deadline))
            for write, kind in ((_write_traces, "trace"), (_change_items, "item"))
        ]
        for thread in others:
            thread.start()
        number = next_of(done, "evaluation")
        while time.monotonic() < deadline:
            try:
                _evaluate(storage, number)
            except StorageError:
                continue  # the server was away for longer than anybody waits
            log.write(f"evaluation {number}\n".encode())
            number += 1
        for thread in others:
            thread.join()
    while storage.flush(30).pending:
        pass
    storage.close()


def acknowledgements(folder: Path) -> list[tuple[str, int]]:
    """Return what was acknowledged so far."""
    path = folder / "acknowledged"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(kind, int(number)) for kind, number in map(str.split, lines)]


def next_of(done: list[tuple[str, int]], kind: str) -> int:
    """Return the number after the last acknowledged one."""
    return max((number for found, number in done if found == kind), default=-1) + 1


def records_of(number: int) -> list[Trace | Span | FeedbackScore]:
    """Return what one write consists of."""
    trace = Trace(id=f"t{number:05}", name="chaos", input={"n": number}, project_name="chaos")
    spans = [Span(id=f"{trace.id}-{k}", trace_id=trace.id, output=[number, k]) for k in range(2)]
    return [trace, *spans, FeedbackScore(entity_id=trace.id, name="n", value=number)]


def _write_traces(storage: HttpStorage, log: BinaryIO, number: int, deadline: float) -> None:
    while time.monotonic() < deadline:
        storage.write(records_of(number))
        log.write(f"trace {number}\n".encode())
        number += 1
        time.sleep(0.005)  # what waits for the server must not grow faster than it is sent


def _change_items(storage: HttpStorage, log: BinaryIO, number: int, deadline: float) -> None:
    while time.monotonic() < deadline:
        try:
            storage.write([Dataset(id="d", name="chaos")])
            storage.change_items("d", upsert=[DatasetItem(id=f"i{number:05}", data={"n": number})])
        except StorageError:
            continue  # not acknowledged
        log.write(f"item {number}\n".encode())
        number += 1


def _evaluate(storage: HttpStorage, number: int) -> None:
    evaluate(
        [{"n": n, "reference": str(n % 5)} for n in range(ITEMS)],
        lambda item: {"output": str(item["n"] % 7)},
        [Equals()],
        storage=storage,
        experiment_name=f"run {number}",
        resume=True,
        task_threads=4,
        verbose=0,
    )
