"""What a deterministic metric costs: microseconds for one call of ``score``.

Every metric scores the same inputs, some of which are good answers and some bad. Where Opik has a
metric of that name, it scores them too, untracked, in the interpreter where it is installed; the
ratio says how many times longer Opik's takes. Metrics whose libraries are missing are left out, and
named. The time is CPU time of the best of several rounds.

    python -m benchmarks.metrics_speed --out benchmarks/results/metrics_speed.json
    python -m benchmarks.metrics_speed --peer-python ~/opik-venv/bin/python

Opik's METEOR, Readability and sentiments need NLTK's data (NLTK_DATA says where).
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Protocol

ROUND_SECONDS = 0.05
ROUNDS = 5
SLOWER_ALLOWED = 1.2

Inputs = Mapping[str, object]


class Metric(Protocol):
    """What is measured."""

    def score(self, **inputs: object) -> object:
        """Score one answer."""
        ...


QUESTION = "The observatory was opened in 1912 by the city's astronomical society."
# More than a library's cache of texts holds: in an evaluation every text is a new one.
TEXTS: Sequence[Inputs] = [
    {"output": f"{output} {n}", "reference": f"{reference} {n}"}
    for n in range(100)
    for output, reference in (
        ("It was opened in 1912.", QUESTION),
        (QUESTION, QUESTION),
        (QUESTION * 8, QUESTION[::-1] * 8),
    )
]
ORDER = {
    "id": 7,
    "customer": {"name": "Ann"},
    "items": [{"sku": f"x{i}", "n": i} for i in range(5)],
}
CHANGED = {**ORDER, "items": [{"sku": "new", "n": 1}, *ORDER["items"][:4]]}  # type: ignore[index]
JSONS: Sequence[Inputs] = [
    {"output": json.dumps(ORDER), "reference": ORDER},
    {"output": json.dumps(CHANGED), "reference": ORDER},
]
NUMBERS: Sequence[Inputs] = [{"output": "so she pays $1,166.", "reference": "#### 1166"}]
RANKINGS: Sequence[Inputs] = [
    {"retrieved": [f"d{i}" for i in range(20)], "relevant": {"d3": 2, "d11": 1, "d40": 3}}
]
RANKS: Sequence[Inputs] = [{"output": list("abcdefgh"), "reference": list("badcfehg")}]
CALLS = [{"name": "search", "arguments": {"query": f"q{i}", "limit": 3}} for i in range(4)]
TRAJECTORIES: Sequence[Inputs] = [{"tool_calls": CALLS, "expected_tool_calls": CALLS[::-1]}]
START = datetime(2026, 1, 1, tzinfo=UTC)
CALL = SimpleNamespace(
    name="gpt", type="llm", usage={"total_tokens": 30}, total_cost=0.001, spans=[],
    start_time=START, end_time=START + timedelta(seconds=1),
)  # fmt: skip
RUNS: Sequence[Inputs] = [{"task_span": SimpleNamespace(**{**vars(CALL), "spans": [CALL] * 5})}]
CHAT: Sequence[Inputs] = [
    {
        "conversation": [
            {"role": role, "content": f"{QUESTION} {turn}"}
            for turn in range(4)
            for role in ("user", "assistant")
        ]
    }
]

CORPUS: Sequence[Inputs] = [
    {"output": [t["output"] for t in part], "reference": [t["reference"] for t in part]}
    for part in (TEXTS[:3], TEXTS[3:6])
]


def detect(text: str) -> tuple[str, float]:
    """Stand in for the detection of a language, which is not the metric's own work."""
    return "en", 1.0


def embed(texts: Sequence[str]) -> list[list[float]]:
    """Stand in for an embedding model."""
    return [[float(len(text)), 1.0] for text in texts]


def same(outputs: Sequence[str], references: object) -> tuple[list[float], ...]:
    """Stand in for the network behind BERTScore."""
    return [0.5], [0.5], [0.5]


def two_metrics(package: ModuleType) -> dict[str, object]:
    """Return the options of a metric that is made of two others."""
    metrics = [package.Equals(track=False), package.Contains(track=False)]
    return {"name": "both", "metrics": metrics, "aggregator": lambda scores: scores[0]}


# Name of the metric, which is the class in both packages, with its options (or how to make them
# from the package) and inputs.
Options = Mapping[str, object] | Callable[[ModuleType], Mapping[str, object]]
CASES: Sequence[tuple[str, Options, Sequence[Inputs]]] = [
    ("Equals", {}, TEXTS),
    ("Contains", {}, TEXTS),
    ("RegexMatch", {"regex": r"\b\d{4}\b"}, TEXTS),
    ("IsJson", {}, JSONS),
    ("LevenshteinRatio", {}, TEXTS),
    ("SentenceBLEU", {}, TEXTS),
    ("CorpusBLEU", {}, CORPUS),
    ("GLEU", {}, TEXTS),
    ("METEOR", {}, TEXTS),
    ("ChrF", {}, TEXTS),
    ("ROUGE", {}, TEXTS),
    ("BERTScore", {"scorer_fn": same}, TEXTS),
    ("JSDivergence", {}, TEXTS),
    ("JSDistance", {}, TEXTS),
    ("KLDivergence", {}, TEXTS),
    ("SpearmanRanking", {}, RANKS),
    ("Readability", {}, TEXTS),
    ("Tone", {}, TEXTS),
    ("PromptInjection", {}, TEXTS),
    ("LanguageAdherenceMetric", {"expected_language": "en", "detector": detect}, TEXTS),
    ("Sentiment", {}, TEXTS),
    ("VADERSentiment", {}, TEXTS),
    ("ConversationDegenerationMetric", {}, CHAT),
    ("KnowledgeRetentionMetric", {}, CHAT),
    ("AggregatedMetric", two_metrics, TEXTS),
    ("ExactMatch", {}, TEXTS),
    ("TokenF1", {}, TEXTS),
    ("NumericMatch", {}, NUMBERS),
    ("JsonSchema", {"schema": {"type": "object", "required": ["id"]}}, JSONS),
    ("JsonFieldMatch", {}, JSONS),
    ("JsonDiff", {}, JSONS),
    ("EmbeddingSimilarity", {"function": embed}, TEXTS),
    ("PrecisionAtK", {"k": 10}, RANKINGS),
    ("RecallAtK", {"k": 10}, RANKINGS),
    ("ReciprocalRank", {}, RANKINGS),
    ("NDCG", {"k": 10}, RANKINGS),
    ("AveragePrecision", {}, RANKINGS),
    ("ToolCallCorrectness", {}, TRAJECTORIES),
    ("TrajectoryMatch", {}, TRAJECTORIES),
    ("Latency", {}, RUNS),
    ("TokenUsage", {}, RUNS),
    ("Cost", {}, RUNS),
    ("OutputLength", {}, TEXTS),
]
# What ours do besides, where that costs more than a fifth of the peer's time.
COMPUTES_MORE = {
    "BERTScore": "composes letters (NFC) and asks no network about equal or empty texts; the case "
    "leaves the network out, beside which neither counts",
    "ConversationDegenerationMetric": "reads messages of several parts, and finds phrases as whole "
    "words whatever their quotes and spaces",
    "Equals": "composes letters (NFC), and compares values by their JSON",
    "KLDivergence": "makes the smoothed probabilities sum to 1 again",
    "LanguageAdherenceMetric": "takes en-US or EN for en, refuses texts without letters, and warns "
    "of short ones; the case leaves the detection out",
    "Tone": "looks for negations, and finds phrases as whole words",
}
PEER_COMPUTES_MORE = {"METEOR": "looks for synonyms, which ours does only where it is told to"}
ELSEWHERE = {
    "CodeExecution": "starts a process for each call",
    "RagasMetricWrapper": "takes what the wrapped metric takes",
}


def microseconds_per_call(metric: Metric, inputs: Sequence[Inputs]) -> float:
    """Return the CPU time of one call, averaged over the inputs; the best of several rounds."""

    def run(rounds: int) -> float:
        started = time.process_time()
        for _ in range(rounds):
            for values in inputs:
                metric.score(**values)
        return time.process_time() - started

    run(2)  # imports and caches
    rounds = 1
    while (seconds := run(rounds)) < ROUND_SECONDS:
        rounds = max(2 * rounds, int(rounds * ROUND_SECONDS / max(seconds, 1e-4)))
    best = min([seconds, *(run(rounds) for _ in range(ROUNDS - 1))])
    return best / rounds / len(inputs) * 1e6


def best_of(
    runs: Sequence[Mapping[str, float | str] | None],
) -> dict[str, float | str] | None:
    """Return the shortest time of every metric over several runs; the machine does other things."""
    best: dict[str, float | str] = {}
    for run in runs:
        if run is None:
            return None
        for name, found in run.items():
            known = best.get(name, found)
            both = isinstance(known, float) and isinstance(found, float)
            best[name] = min(known, found) if both else known
    return best


def measure(package: str) -> dict[str, float | str]:
    """Return the microseconds of every metric that a package has, or why it cannot be run."""
    module = importlib.import_module(package)
    measured: dict[str, float | str] = {}
    for name, options, inputs in CASES:
        kind: Callable[..., Metric] | None = getattr(module, name, None)
        if kind is None:
            continue
        try:
            chosen = options(module) if callable(options) else options
            measured[name] = round(microseconds_per_call(kind(**chosen, track=False), inputs), 2)
        except Exception as error:  # noqa: BLE001 - whatever keeps a peer's metric from running
            measured[name] = f"{type(error).__name__}: {error}".partition("\n")[0][:120]
    return measured


def measure_peer(python: str | None) -> dict[str, float | str] | None:
    """Return Opik's figures, from its own interpreter or from this one; ``None`` without Opik."""
    if python is None:
        return measure("opik.evaluation.metrics") if importlib.util.find_spec("opik") else None
    command = [python, str(Path(__file__).resolve()), "--only", "opik.evaluation.metrics"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, float | str] = json.loads(done.stdout.splitlines()[-1])
    return figures


def version_of_peer(python: str | None) -> str | None:
    """Return the version of Opik in another interpreter; ``None`` without one."""
    if python is None:
        return None
    ask = "import importlib.metadata as m; print(m.version('opik'))"
    done = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def compared(
    ours: Mapping[str, float | str], peer: Mapping[str, float | str] | None
) -> dict[str, dict[str, object]]:
    """Return both figures of every metric, and how many times longer the peer takes."""
    rows: dict[str, dict[str, object]] = {}
    for name, _, _ in CASES:
        mine, theirs = ours.get(name), (peer or {}).get(name)
        row: dict[str, object] = {"opik_eval_microseconds": mine, "opik_microseconds": theirs}
        if isinstance(mine, float) and isinstance(theirs, float):
            row["times_faster"] = round(theirs / mine, 2)
            if theirs * SLOWER_ALLOWED < mine:
                row["computes_more"] = COMPUTES_MORE.get(name, "UNEXPLAINED")
            if name in PEER_COMPUTES_MORE:
                row["opik_computes_more"] = PEER_COMPUTES_MORE[name]
        rows[name] = {key: value for key, value in row.items() if value is not None}
    return rows


def main() -> None:
    """Measure, print a table, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, help="write the result here, as JSON")
    parser.add_argument("--peer-python", help="interpreter in which opik is installed")
    parser.add_argument("--only", metavar="PACKAGE", help="measure one package, print JSON")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options.only)))
        return
    from benchmarks import machine

    # Taken in turn, so that a busy minute of the machine strikes both alike.
    runs = [(measure("opik_eval.metrics"), measure_peer(options.peer_python)) for _ in range(3)]
    rows = compared(best_of([ours for ours, _ in runs]) or {}, best_of([peer for _, peer in runs]))
    for name, row in rows.items():
        cells = [row.get(key, "-") for key in ("opik_eval_microseconds", "opik_microseconds")]
        print(f"{name:32} {cells[0]!s:>10} {cells[1]!s:>10.40} {row.get('times_faster', '')!s:>7}")
    facts: dict[str, object] = {"metrics": rows, "not_measured": ELSEWHERE}
    if options.peer_python:
        facts["peer"] = f"opik {version_of_peer(options.peer_python)}"
    machine.save(options.out, {**machine.description("opik-eval", "opik"), **facts})


if __name__ == "__main__":
    main()
