"""How fast the file backend takes records and sums up scores.

Writes traces with spans, feedback scores and experiment items in batches, as a tracer and an
evaluation would, then asks for the mean of every score of every experiment:

    python benchmarks/store.py --out benchmarks/results/store.json

Targets with the default sizes (100 000 traces of 3 spans, so 400 000 rows): at most 20 s and 12
microseconds of CPU a row for the traces and spans, and 100 ms for the summary of an experiment.

The floor is what bare SQLite needs to insert the finished rows into the same tables. On a machine
whose speed changes from minute to minute the ratio to it says more than the microseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from opik_eval.ids import derived_id
from opik_eval.records import (
    Experiment,
    ExperimentItem,
    FeedbackScore,
    ItemScore,
    Span,
    SpanType,
    Trace,
)
from opik_eval.storage.base import Writable
from opik_eval.storage.file import FileStorage
from opik_eval.storage.file_dialect import SqliteDialect
from opik_eval.storage.query import parse_filter
from opik_eval.storage.schema import migrate
from opik_eval.storage.sql_dialect import Row
from opik_eval.storage.sql_tables import SPANS, TRACES, RowCodec

_START = datetime(2026, 1, 1, tzinfo=UTC)
_METRICS = ("accuracy", "relevance")
_WORDS = ("quick", "model", "answers", "a", "long", "question", "about", "some", "short", "text")


@dataclass
class Timer:
    """Adds up wall-clock and CPU time of the calls it makes."""

    rows: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0

    def call(self, function: Callable[[], object], rows: int) -> None:
        """Call ``function``, which handles so many rows."""
        wall, cpu = time.perf_counter(), time.process_time()
        function()
        self.wall_seconds += time.perf_counter() - wall
        self.cpu_seconds += time.process_time() - cpu
        self.rows += rows

    def report(self) -> dict[str, float]:
        """Return the figures."""
        return {
            "rows": self.rows,
            "wall_seconds": round(self.wall_seconds, 3),
            "rows_per_second": round(self.rows / self.wall_seconds),
            "cpu_microseconds_per_row": round(self.cpu_seconds / self.rows * 1e6, 2),
        }


class Workload:
    """The records of the benchmark, made from a seed."""

    def __init__(self, traces: int, experiments: int, seed: int) -> None:
        self.random = random.Random(seed)
        self.trace_count = traces
        self.experiment_ids = [
            derived_id("experiment", str(n), at=_START) for n in range(experiments)
        ]
        self.traced: list[str] = []

    def traces_and_spans(self) -> Iterator[Writable]:
        """Yield every trace, followed by its spans."""
        for number in range(self.trace_count):
            start = _START + timedelta(milliseconds=20 * number)
            trace_id = derived_id("trace", str(number), at=start)
            self.traced.append(trace_id)
            yield Trace(
                id=trace_id,
                project_name="benchmark",
                name="evaluation_task",
                start_time=start,
                end_time=start + timedelta(milliseconds=15),
                input={"question": self._text(20), "number": number},
                output={"answer": self._text(30)},
                tags=("benchmark",),
                source="experiment",
                last_updated_at=start,
            )
            yield from (self._span(trace_id, start, step) for step in range(3))

    def results(self) -> Iterator[Writable]:
        """Yield the scores and the experiment item of every trace made so far."""
        for number, trace_id in enumerate(self.traced):
            values = [self.random.random() for _ in _METRICS]
            for name, value in zip(_METRICS, values, strict=True):
                yield FeedbackScore(
                    entity_id=trace_id,
                    name=name,
                    value=value,
                    reason=self._text(10),
                    project_name="benchmark",
                    last_updated_at=_START,
                )
            yield ExperimentItem(
                id=derived_id("item", str(number), at=_START + timedelta(milliseconds=20 * number)),
                experiment_id=self.experiment_ids[number % len(self.experiment_ids)],
                dataset_item_id=derived_id("dataset item", str(number), at=_START),
                trace_id=trace_id,
                scores=tuple(
                    ItemScore(name=name, value=value)
                    for name, value in zip(_METRICS, values, strict=True)
                ),
                task_seconds=0.015,
                last_updated_at=_START,
            )

    def experiments(self) -> list[Writable]:
        """Return the experiments that the items belong to."""
        return [Experiment(id=identifier, name="benchmark") for identifier in self.experiment_ids]

    def _span(self, trace_id: str, start: datetime, step: int) -> Span:
        return Span(
            id=derived_id("span", trace_id, str(step), at=start + timedelta(milliseconds=step)),
            trace_id=trace_id,
            project_name="benchmark",
            name=f"step {step}",
            type=SpanType.LLM,
            start_time=start + timedelta(milliseconds=5 * step),
            end_time=start + timedelta(milliseconds=5 * step + 5),
            input={"messages": [{"role": "user", "content": self._text(20)}]},
            output={"content": self._text(20)},
            model="echo",
            provider="fake",
            usage={"prompt_tokens": 25, "completion_tokens": 25, "total_tokens": 50},
            cost_usd=0.0001,
            last_updated_at=start,
        )

    def _text(self, words: int) -> str:
        return " ".join(self.random.choices(_WORDS, k=words))


def batches(records: Iterator[Writable], size: int) -> Iterator[list[Writable]]:
    """Yield the records in lists of at most ``size``."""
    batch: list[Writable] = []
    for record in records:
        batch.append(record)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def measure(path: Path, workload: Workload, batch_size: int) -> dict[str, object]:
    """Write the workload to a fresh file and return the figures."""
    storage = FileStorage(path)
    storage.write(workload.experiments())
    report: dict[str, object] = {}
    for name, records in (
        ("traces_and_spans", workload.traces_and_spans()),
        ("scores_and_items", workload.results()),
    ):
        timer = Timer()
        for batch in batches(records, batch_size):
            timer.call(lambda batch=batch: storage.write(batch), len(batch))  # type: ignore[misc]
        report[name] = timer.report()
    one, every = workload.experiment_ids[:1], workload.experiment_ids
    report["summary_of_one_experiment_ms"] = _milliseconds(lambda: storage.summarize_scores(one))
    report["summary_of_all_experiments_ms"] = _milliseconds(lambda: storage.summarize_scores(every))
    for text in ('name = "missing"', "input.number = 5", "feedback_scores.accuracy > 2"):
        where = parse_filter(text, "trace")
        milliseconds = _milliseconds(lambda where=where: list(storage.list_traces(where=where)))  # type: ignore[misc]
        report[f"traces where {text} ms"] = milliseconds
    storage.close()
    report["file_megabytes"] = round(path.stat().st_size / 1e6, 1)
    return report


def measure_floor(path: Path, workload: Workload, batch_size: int) -> dict[str, float]:
    """Insert finished rows of traces and spans with nothing but ``sqlite3``."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA page_size = 8192")
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("PRAGMA synchronous = FULL")
    migrate(connection, path)
    codecs = {table.kind: RowCodec(table, SqliteDialect()) for table in (TRACES, SPANS)}
    timer = Timer()
    for batch in batches(workload.traces_and_spans(), batch_size):
        rows = [
            (codec, codec.encode(found, [0] * len(found), [None] * len(found)))
            for kind, codec in codecs.items()
            if (found := [record for record in batch if isinstance(record, kind)])
        ]
        timer.call(lambda rows=rows: _insert(connection, rows), len(batch))  # type: ignore[misc]
    connection.close()
    return timer.report()


def _insert(
    connection: sqlite3.Connection, rows: Sequence[tuple[RowCodec[Any], Sequence[Row]]]
) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for codec, table_rows in rows:
        columns, places = ", ".join(codec.columns), ", ".join("?" * len(codec.columns))
        sql = f"INSERT INTO {codec.table.name} ({columns}) VALUES ({places})"
        connection.executemany(sql, table_rows)
    connection.execute("COMMIT")


def _milliseconds(function: Callable[[], object]) -> float:
    """Return the median of five calls."""
    taken: list[float] = []
    for _ in range(5):
        start = time.perf_counter()
        function()
        taken.append((time.perf_counter() - start) * 1000)
    return round(sorted(taken)[2], 2)


def main() -> None:
    """Run the benchmark and print its figures as JSON."""
    parser = argparse.ArgumentParser(description="Speed of the file backend.")
    parser.add_argument("--traces", type=int, default=100_000, help="traces, of 3 spans each")
    parser.add_argument("--experiments", type=int, default=100, help="experiments over the traces")
    parser.add_argument("--batch", type=int, default=1_000, help="records per write")
    parser.add_argument("--seed", type=int, default=0, help="seed of texts and scores")
    parser.add_argument(
        "--folder", type=Path, help="where to put the file; a temporary folder if absent"
    )
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        workload = Workload(options.traces, options.experiments, options.seed)
        figures = measure(Path(folder) / "opik.db", workload, options.batch)
        workload = Workload(options.traces, options.experiments, options.seed)
        figures["floor_of_traces_and_spans"] = measure_floor(
            Path(folder) / "floor.db", workload, options.batch
        )
    result = {
        "benchmark": "store",
        "command": " ".join(["python", *sys.argv]),
        "seed": options.seed,
        "traces": options.traces,
        "experiments": options.experiments,
        "batch": options.batch,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "date": datetime.now(UTC).date().isoformat(),
        **figures,
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
