"""Finished experiments on their way to an Opik server: in bulk, and never twice."""

from __future__ import annotations

import gzip
import json
from contextlib import closing

import httpx
import pytest
from test_storage_http_server import running_server

from opik_eval.errors import UnavailableError
from opik_eval.ids import new_id
from opik_eval.records import (
    Dataset,
    Experiment,
    ExperimentItem,
    FeedbackScore,
    Span,
    Trace,
)
from opik_eval.storage.http import HttpStorage
from opik_eval.storage.http_connection import Connection
from opik_eval.storage.http_opik import OpikDialect
from opik_eval.storage.memory import MemoryStorage
from opik_eval.storage.sync import sync_store
from opik_eval.testing.storage_cases import day, item

COUNT = 25


class Watched(httpx.BaseTransport):
    """Hands requests on, notes them, and does to bulk requests what it is told."""

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport()
        self.sent = []
        self.faults = []

    def handle_request(self, request):
        path = request.url.path.partition("/v1/private/")[2]
        content = request.read()
        if request.headers.get("content-encoding") == "gzip":
            content = gzip.decompress(content)
        self.sent.append((request.method, path, content))
        fault = self.faults.pop(0) if path.endswith("items/bulk") and self.faults else None
        if isinstance(fault, int):
            return httpx.Response(fault, json={"errors": ["made up"]})
        reply = self._inner.handle_request(request)
        if fault == "lost":
            reply.read()
            raise httpx.ReadError("the reply is lost")
        return reply

    def count(self, path):
        """Return how many requests went to a path."""
        return sum(sent == path for _, sent, _ in self.sent)

    def bulk_sizes(self):
        """Return the numbers of items of the bulk requests."""
        bodies = (content for _, path, content in self.sent if path == "experiments/items/bulk")
        return [len(json.loads(body)["items"]) for body in bodies]

    def close(self):
        self._inner.close()


@pytest.fixture(scope="module")
def url():
    """A server that is treated as if it were Opik's: it gives items of bulks ids of its own."""
    with running_server("memory:") as running:
        yield running


@pytest.fixture
def watched():
    """What goes to the server."""
    return Watched()


@pytest.fixture
def target(url, watched, tmp_path):
    """A storage on that server."""
    connection = Connection(f"{url}/api", transport=watched, sleep=lambda _: None)
    dialect = OpikDialect(connection)
    with closing(HttpStorage(connection, tmp_path / "o.db", dialect=dialect)) as opened:
        yield opened


@pytest.fixture
def source():
    """A store with one finished experiment."""
    storage, name = MemoryStorage(), f"bulk {new_id()}"
    dataset, experiment = Dataset(id=new_id(), name=name), new_id()
    storage.write([dataset])
    items = [item(new_id(), n=n) for n in range(COUNT)]
    storage.change_items(dataset.id, upsert=items)
    storage.write(
        [
            Experiment(
                id=experiment,
                name=name,
                dataset_id=dataset.id,
                dataset_name=name,
                project_name=name,
                status="completed",
            )
        ]
    )
    for n, row in enumerate(items):
        trace = new_id()
        fields = {"project_name": name, "start_time": day(0), "end_time": day(1)}
        storage.write(
            [
                Trace(id=trace, output=n, name="task", **fields),
                *(Span(id=new_id(), trace_id=trace, name=f"{k}", **fields) for k in range(2)),
                FeedbackScore(entity_id=trace, name="right", value=n % 2, project_name=name),
                FeedbackScore(
                    entity_id=trace, name="judged", value=1, author="someone", project_name=name
                ),
                ExperimentItem(
                    id=new_id(),
                    experiment_id=experiment,
                    dataset_item_id=row.id,
                    trace_id=trace,
                    project_name=name,
                ),
            ]
        )
    return storage


@pytest.fixture
def journal(tmp_path):
    """Where the sync keeps what it has done."""
    return tmp_path / "journal.db"


def sync(source, target, journal, **options):
    """Send everything, as to a server that takes no old ids; those of here are young."""
    return sync_store(source, target, journal, fresh_ids=True, **options)


def assert_there_once(source, target):
    """Check that a target has the experiment of a store with all that belongs to it, once."""
    (experiment,) = source.list_experiments()
    links, wanted = (
        sorted((i.dataset_item_id, i.trace_id) for i in s.list_experiment_items(experiment.id))
        for s in (target, source)
    )
    assert links == wanted
    name = experiment.project_name
    for method in ("list_traces", "list_spans"):
        there = {found.id: found for found in getattr(target, method)(project_name=name)}
        for record in getattr(source, method)(project_name=name):
            found = there.pop(record.id)
            assert (found.name, found.start_time) == (record.name, record.start_time)
            if method == "list_traces":
                assert found.output == record.output
        assert there == {}
    scores = {
        (s.entity_id, s.name): s.value
        for s in target.list_feedback_scores("trace", project_name=name)
    }
    assert scores == {(s.entity_id, s.name): s.value for s in source.list_feedback_scores("trace")}


def test_an_experiment_goes_in_one_request(source, target, watched, journal):
    """Items with traces, spans and scores are one request, which a repeated sync does not make."""
    report = sync(source, target, journal)
    assert report.complete
    assert watched.bulk_sizes() == [COUNT]
    assert watched.count("traces/batch") == watched.count("spans/batch") == 0
    assert watched.count("experiments/items") == 0
    assert (report.sent["trace"], report.sent["span"]) == (COUNT, 2 * COUNT)
    assert (report.sent["experiment_item"], report.sent["feedback_score"]) == (COUNT, 2 * COUNT)
    assert_there_once(source, target)
    assert sync(source, target, journal).sent == {}
    assert sync(source, target, journal, again=True).complete
    assert watched.bulk_sizes() == [COUNT]
    assert_there_once(source, target)


def test_what_changes_later_goes_by_itself(source, target, watched, journal):
    """A changed trace, a new score and a changed item are sent without the rest, and once."""
    sync(source, target, journal)
    trace = next(iter(source.list_traces()))
    (experiment,) = source.list_experiments()
    changed = next(iter(source.list_experiment_items(experiment.id)))
    source.write(
        [
            Trace(id=trace.id, output="changed"),
            FeedbackScore(entity_id=trace.id, name="late", value=1),
            changed.model_copy(update={"trial_id": 3}),
        ]
    )
    assert sync(source, target, journal).sent == {"trace": 1, "feedback_score": 1}
    assert watched.bulk_sizes() == [COUNT]
    assert_there_once(source, target)


@pytest.mark.parametrize("faults", [["lost"], [503, "lost"], ["lost", "lost"], [429, 500]])
def test_a_lost_reply_doubles_nothing(source, target, watched, journal, faults):
    """When it is not known what became of a request, the server is asked before it is repeated."""
    watched.faults = list(faults)
    assert sync(source, target, journal).complete
    assert_there_once(source, target)


def test_a_sync_that_broke_off_goes_on(source, target, url, watched, journal):
    """Items that arrived although the sync did not learn of it are not sent again."""
    watched.faults = ["lost"]
    connection = Connection(f"{url}/api", transport=watched, patience_seconds=0)
    dialect = OpikDialect(connection)
    with (
        closing(HttpStorage(connection, journal.with_name("p.db"), dialect=dialect)) as impatient,
        pytest.raises(UnavailableError, match="lost"),
    ):
        sync(source, impatient, journal)
    assert sync(source, target, journal).complete
    assert watched.bulk_sizes() == [COUNT]
    assert_there_once(source, target)


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused(source, target, watched, journal, status):
    """Where the key does not do the sync ends and says so."""
    watched.faults = [status]
    with pytest.raises(UnavailableError, match=f"{status}"):
        sync(source, target, journal)
    assert sync(source, target, journal).complete
    assert_there_once(source, target)


def test_a_refused_item_does_not_hold_up_others(source, target, watched, journal):
    """What the server refuses is halved until the culprit is alone, which is reported."""
    trace = next(iter(source.list_traces()))
    source.write([FeedbackScore(entity_id=trace.id, name="huge", value=1e12)])
    report = sync(source, target, journal)
    assert not report.complete
    assert any("huge" in reason for reason in report.flush.rejected), report
    assert max(watched.bulk_sizes()[1:]) < COUNT
    (experiment,) = source.list_experiments()
    links = [i.trace_id for i in target.list_experiment_items(experiment.id)]
    assert sorted(links) == sorted(t.id for t in source.list_traces())


def test_servers_without_the_route(source, target, watched, journal):
    """Where there is no such route all goes by the others."""
    watched.faults = [404]
    assert sync(source, target, journal).complete
    assert watched.count("experiments/items") == 1
    assert_there_once(source, target)


def test_large_experiments_go_in_parts(source, target, watched, journal):
    """Requests stay below the size that the server takes."""
    for trace in list(source.list_traces()):
        source.write([Trace(id=trace.id, input="x" * 400_000)])
    assert sync(source, target, journal).complete
    assert watched.bulk_sizes() == [8, 8, 8, 1]
    assert_there_once(source, target)


def test_what_is_not_whole_goes_by_itself(source, target, watched, journal):
    """Items without start, with very many spans, or sharing a trace are not part of a bulk."""
    (experiment,) = source.list_experiments()
    shared, many, *_ = source.list_experiment_items(experiment.id)
    fields = {"project_name": experiment.project_name, "start_time": day(0)}
    spans = [Span(id=new_id(), trace_id=many.trace_id, name="s", **fields) for _ in range(100)]
    second = ExperimentItem(**{**dict(shared), "id": new_id(), "dataset_item_id": new_id()})
    source.write([*spans, second])
    assert sync(source, target, journal).complete
    assert watched.bulk_sizes() == [COUNT - 1]
    (sent,) = (c for _, path, c in watched.sent if path == "experiments/items")
    assert len(json.loads(sent)["experiment_items"]) == 2
