"""How fast a store with a million spans answers what the pages of a server ask.

Writes traces with spans that carry metadata, scores and experiment items, then takes the median of
seven calls for each question:

    python benchmarks/store_reads.py --store file:big.db --out benchmarks/results/reads.json
    python benchmarks/store_reads.py --store postgresql://user:password@host/database

Targets with the default size (1 000 000 spans): 50 ms for each question.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from opik_eval.ids import derived_id
from opik_eval.records import Experiment, ExperimentItem, FeedbackScore, Span, SpanType, Trace
from opik_eval.storage.base import Writable
from opik_eval.storage.opening import open_storage
from opik_eval.storage.query import parse_filter

_START = datetime(2026, 1, 1, tzinfo=UTC)
_SPANS = 4
_EXPERIMENTS = 100
_CUSTOMERS = 20_000


def batches(traces: int, seed: int) -> Iterator[list[Writable]]:
    """Yield the records, those of 100 traces at a time."""
    chance = random.Random(seed)
    experiments = [derived_id("experiment", str(n), at=_START) for n in range(_EXPERIMENTS)]
    yield [Experiment(id=identifier, name="reads") for identifier in experiments]
    batch: list[Writable] = []
    for number in range(traces):
        start = _START + timedelta(milliseconds=20 * number)
        trace_id = derived_id("trace", str(number), at=start)
        stamps = {"start_time": start, "last_updated_at": start, "project_name": "reads"}
        batch.append(
            Trace(id=trace_id, name="ask", input={"n": number}, output="text " * 20, **stamps)
        )
        for step in range(_SPANS):
            metadata = {
                "customer": f"c-{chance.randrange(_CUSTOMERS)}",
                "model": {"name": chance.choice(("small", "large")), "version": 3},
                "request": f"{number}-{step}",
            }
            batch.append(
                Span(
                    id=derived_id(
                        "span", trace_id, str(step), at=start + timedelta(milliseconds=step)
                    ),
                    trace_id=trace_id,
                    name=f"step {step}",
                    type=SpanType.LLM,
                    input="text " * 20,
                    metadata=metadata,
                    usage={"total_tokens": 50},
                    **stamps,
                )
            )
        score = {"entity_id": trace_id, "name": "accuracy", "last_updated_at": start}
        batch.append(FeedbackScore(value=chance.random(), **score))
        batch.append(
            ExperimentItem(
                id=derived_id("item", str(number), at=start),
                experiment_id=experiments[number % _EXPERIMENTS],
                dataset_item_id="item",
                trace_id=trace_id,
                last_updated_at=start,
            )
        )
        if number % 100 == 99:
            yield batch
            batch = []
    yield batch


def milliseconds(question: Callable[[], object]) -> float:
    """Return the median time of seven calls."""
    taken = []
    for _ in range(7):
        start = time.perf_counter()
        question()
        taken.append((time.perf_counter() - start) * 1000)
    return round(sorted(taken)[3], 2)


def main() -> None:
    """Run the benchmark and print its figures as JSON."""
    parser = argparse.ArgumentParser(description="Reads from a large store.")
    parser.add_argument("--store", help="target of open_storage; a file that is removed if absent")
    parser.add_argument("--spans", type=int, default=1_000_000, help="spans to store")
    parser.add_argument("--seed", type=int, default=0, help="seed of metadata and scores")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _measure(options, options.store or f"file:{folder}/reads.db")


def _measure(options: argparse.Namespace, store: str) -> None:
    storage = open_storage(store)
    begin, cpu, rows = time.perf_counter(), time.process_time(), 0
    for batch in batches(options.spans // _SPANS, options.seed):
        storage.write(batch)
        rows += len(batch)
    written = {
        "rows": rows,
        "rows_per_second": round(rows / (time.perf_counter() - begin)),
        "cpu_microseconds_per_row": round((time.process_time() - cpu) / rows * 1e6, 2),
    }
    experiments = [found.id for found in storage.list_experiments()]

    def spans(text: str) -> Callable[[], object]:
        where = parse_filter(text, "span")
        return lambda: list(storage.list_spans(where=where, limit=50, newest_first=True))

    questions: dict[str, Callable[[], object]] = {
        "newest 50 traces": lambda: list(storage.list_traces(limit=50, newest_first=True)),
        "newest 50 traces of a project": lambda: list(
            storage.list_traces(project_name="reads", limit=50, newest_first=True)
        ),
        "50 spans by metadata that 1 has": spans('metadata.request = "77-3"'),
        "50 spans by metadata that 50 have": spans('metadata.customer = "c-77"'),
        "50 spans by metadata that half have": spans('metadata.model.name = "large"'),
        "50 spans by metadata that none has": spans('metadata.request = "none"'),
        "mean score of all experiments": lambda: storage.summarize_scores(experiments),
    }
    result = {
        "benchmark": "store_reads",
        "command": " ".join(["python", "benchmarks/store_reads.py"]),
        "store": storage.location.partition(":")[0],
        "spans": options.spans,
        "date": datetime.now(UTC).date().isoformat(),
        "python": sys.version.split()[0],
        "written": written,
        "milliseconds": {name: milliseconds(question) for name, question in questions.items()},
    }
    storage.close()
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
