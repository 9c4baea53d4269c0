"""Client and server killed a hundred times: what was acknowledged is there, once."""

from __future__ import annotations

import multiprocessing
import random
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import chaos_processes as chaos
import pytest

from opik_eval.experiments.loading import load_result
from opik_eval.storage.base import Storage
from opik_eval.storage.workspaces import DEFAULT_WORKSPACE, open_workspaces

KILLS = 100
SHORT_LIFE_SECONDS = 0.5
LONG_LIFE_SECONDS = 10.0
"""Every fifth life is so long, if need be, that even a busy machine gets something done."""
FOREVER_SECONDS = 10_000.0


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Starts processes that have everything imported already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["chaos_processes"])
    return context


@pytest.fixture(params=["file", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store of either kind."""
    if request.param == "file":
        return f"file:{tmp_path / 'chaos.db'}"
    return str(request.getfixturevalue("postgres_url"))


def free_port() -> int:
    """Return a port that nobody listens on."""
    with closing(socket.socket()) as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_hundred_kills_lose_and_double_nothing(
    processes: ForkServerContext, store: str, tmp_path: Path
) -> None:
    """After the last restart traces, dataset items and evaluations are there as acknowledged."""
    seeds = random.Random(14)
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"

    def start(target: Callable[..., None], *arguments: object) -> BaseProcess:
        process = processes.Process(target=target, args=arguments, daemon=True)
        process.start()
        return process

    server = start(chaos.serve, store, port)
    client = start(chaos.work, url, tmp_path, FOREVER_SECONDS)
    for number in range(KILLS):
        wait_for(tmp_path, seeds, SHORT_LIFE_SECONDS if number % 5 else LONG_LIFE_SECONDS)
        if seeds.random() < 0.5:
            server.kill()
            server.join()
            server = start(chaos.serve, store, port)
        else:
            client.kill()
            client.join()
            client = start(chaos.work, url, tmp_path, FOREVER_SECONDS)
    client.kill()
    client.join()
    last = start(chaos.work, url, tmp_path, 2.0)
    last.join(120)
    assert last.exitcode == 0
    server.terminate()
    server.join(60)
    with closing(open_workspaces(store)) as workspaces:
        check(workspaces.storage(DEFAULT_WORKSPACE), chaos.acknowledgements(tmp_path))


def wait_for(folder: Path, seeds: random.Random, longest_seconds: float) -> None:
    """Wait for one more acknowledgement of some kind, unless it takes long, and a moment longer."""
    kind = seeds.choice(("trace", "item", "evaluation"))
    before = chaos.next_of(chaos.acknowledgements(folder), kind)
    deadline = time.monotonic() + longest_seconds
    while time.monotonic() < deadline:
        if chaos.next_of(chaos.acknowledgements(folder), kind) > before:
            break
        time.sleep(0.005)
    time.sleep(seeds.random() * 0.05)


def check(storage: Storage, done: list[tuple[str, int]]) -> None:
    """Check that a store holds what was acknowledged, once."""
    count = Counter(kind for kind, _ in done)
    print(f"acknowledged: {dict(count)}")
    assert min(count["trace"], count["item"], count["evaluation"]) > 0, count
    traces = {trace.id: trace for trace in storage.list_traces(project_name="chaos")}
    spans = Counter(span.trace_id for span in storage.list_spans())
    scores = Counter(score.entity_id for score in storage.list_feedback_scores("trace"))
    items = Counter(item.id for item in storage.list_dataset_items("d"))
    for kind, number in done:
        if kind == "trace":
            trace, *_ = chaos.records_of(number)
            assert traces[trace.id] == trace
            assert (spans[trace.id], scores[trace.id]) == (2, 1)
        elif kind == "item":
            assert items[f"i{number:05}"] == 1
        else:
            check_evaluation(storage, f"run {number}")


def check_evaluation(storage: Storage, name: str) -> None:
    """Check that an evaluation is there once, with one result for each item."""
    (experiment,) = storage.list_experiments(name=name)
    results = load_result(storage, experiment.id).test_results
    found = {
        result.test_case.dataset_item_content["n"]: result.score_results[0].value
        for result in results
    }
    assert len(results) == chaos.ITEMS
    assert found == {n: float(n % 7 == n % 5) for n in range(chaos.ITEMS)}
