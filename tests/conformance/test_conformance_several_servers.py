"""Two servers on one PostgreSQL database: what both are told at once is there, whole and once."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest
from client_process import run_driver
from conformance_server import serve
from expectation import Expectation
from readback import assert_delivered, reading

from opik_eval.ids import new_id

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
START = "2026-01-01T00:00:00Z"
ROUNDS = 24


class Servers:
    """Two servers, and requests that go to both at once."""

    def __init__(self, running) -> None:
        self.running = running
        self.apis = [
            httpx.Client(base_url=f"{server.url}/api/v1/private/", trust_env=False, timeout=30)
            for server in running
        ]
        self._threads = ThreadPoolExecutor(8)

    def at_once(self, *requests):
        """Send requests, each to the server after that of the one before, and return the answers.

        A request is a tuple of method, path and body.
        """
        sent = [
            self._threads.submit(self.apis[n % 2].request, method, path, json=body)
            for n, (method, path, body) in enumerate(requests)
        ]
        return [future.result() for future in sent]

    def all_succeed(self, *requests):
        """Send requests at once that must succeed."""
        replies = self.at_once(*requests)
        assert all(reply.is_success for reply in replies), Counter(
            (reply.status_code, reply.text) for reply in replies
        )
        return replies

    def get(self, path, **query):
        """Return what both servers answer alike."""
        answers = [api.get(path, params=query) for api in self.apis]
        assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
        assert answers[0].json() == answers[1].json()
        return answers[0].json()

    def close(self):
        """End the requests."""
        self._threads.shutdown()
        for api in self.apis:
            api.close()


@pytest.fixture(scope="module")
def servers(own_database, tmp_path_factory):
    """Two servers that were started at the same moment on an empty database."""
    store = own_database()
    with ExitStack() as stack, ThreadPoolExecutor(2) as starting:
        places = [serve(store, tmp_path_factory.mktemp("server")) for _ in range(2)]
        running = list(starting.map(stack.enter_context, places))
        opened = Servers(running)
        stack.callback(opened.close)
        yield opened


def test_fields_of_one_trace_come_through_both(servers):
    """Creates, updates and tags of the same ids merge, whichever server took them."""
    ids = [new_id() for _ in range(ROUNDS)]
    spans = {trace_id: new_id() for trace_id in ids}
    for trace_id in ids:
        span = {"trace_id": trace_id, "project_name": "both"}
        path, whole = f"spans/{spans[trace_id]}", {"id": spans[trace_id], "start_time": START}
        servers.all_succeed(
            ("PATCH", f"traces/{trace_id}", {"output": {"n": 1}, "project_name": "both"}),
            *(
                ("POST", "traces/batch", {"traces": [{"id": trace_id, **fields}]})
                for fields in (
                    {"start_time": START, "project_name": "both", "name": "ask"},
                    {"start_time": START, "project_name": "both", "input": {"q": 1}},
                )
            ),
            ("PATCH", f"traces/{trace_id}", {"end_time": START, "project_name": "both"}),
            ("POST", "spans/batch", {"spans": [{**span, **whole}]}),
            ("PATCH", path, {**span, "model": "m", "usage": {"total_tokens": 3}}),
            ("PATCH", path, {**span, "output": {"a": 1}}),
        )
        servers.all_succeed(
            *(
                ("PATCH", f"{kind}/{entity}", {**more, "tags_to_add": [f"tag {n}"]})
                for kind, entity, more in (
                    ("traces", trace_id, {"project_name": "both"}),
                    ("spans", spans[trace_id], span),
                )
                for n in range(8)
            )
        )
    for trace_id in ids:
        trace, span = servers.get(f"traces/{trace_id}"), servers.get(f"spans/{spans[trace_id]}")
        assert (trace["name"], trace["input"], trace["output"]) == ("ask", {"q": 1}, {"n": 1})
        assert trace["end_time"]
        assert (span["model"], span["output"]) == ("m", {"a": 1})
        assert span["usage"] == {"total_tokens": 3}
        assert sorted(trace["tags"]) == sorted(span["tags"]) == [f"tag {n}" for n in range(8)]
    page = servers.get("traces", project_name="both", size=1000)
    assert sorted(row["id"] for row in page["content"]) == sorted(ids)
    projects = servers.get("projects", size=1000)["content"]
    assert sum(project["name"] == "both" for project in projects) == 1


def test_scores_are_there_once(servers):
    """The same scores through both servers are one each, in the means of experiments too."""
    trace_ids, experiment, item = [new_id() for _ in range(8)], new_id(), new_id()
    servers.all_succeed(
        *(("POST", "experiments", {"id": experiment, "dataset_name": "scored"}) for _ in range(4))
    )
    rows = [
        {"id": new_id(), "experiment_id": experiment, "dataset_item_id": item, "trace_id": trace}
        for trace in trace_ids
    ]
    scores = [
        {"id": trace, "name": name, "value": n % 2, "source": "sdk", "project_name": "scored"}
        for n, trace in enumerate(trace_ids)
        for name in ("a", "b")
    ]
    traces = [{"id": t, "start_time": START, "project_name": "scored"} for t in trace_ids]
    servers.all_succeed(
        *(
            request
            for _ in range(6)
            for request in (
                ("PUT", "traces/feedback-scores", {"scores": scores}),
                ("POST", "experiments/items", {"experiment_items": rows}),
                ("POST", "traces/batch", {"traces": traces}),
            )
        )
    )
    for trace_id in trace_ids:
        found = servers.get(f"traces/{trace_id}")["feedback_scores"]
        assert sorted(score["name"] for score in found) == ["a", "b"]
    seen = servers.get(f"experiments/{experiment}")
    assert {score["name"]: score["value"] for score in seen["feedback_scores"]} == {
        "a": 0.5,
        "b": 0.5,
    }
    assert seen["trace_count"] == len(trace_ids)


def test_versions_of_a_dataset(servers):
    """A dataset is made once; one group makes one version, others one each, and no item is lost."""
    group, name = new_id(), "versions"

    def change(n, group_id):
        row = {"id": new_id(), "source": "sdk", "data": {"n": n}}
        return (
            "PUT",
            "datasets/items",
            {"dataset_name": name, "batch_group_id": group_id, "items": [row]},
        )

    servers.all_succeed(*(change(n, group) for n in range(ROUNDS)))
    servers.all_succeed(*(change(n, new_id()) for n in range(ROUNDS, 2 * ROUNDS)))
    found = [d for d in servers.get("datasets", size=1000)["content"] if d["name"] == name]
    (dataset,) = found
    versions = servers.get(f"datasets/{dataset['id']}/versions", size=1000)["content"]
    assert [v["version_name"] for v in versions] == [f"v{n}" for n in range(1 + ROUNDS, 0, -1)]
    assert versions[-1]["items_total"] == ROUNDS
    rows = servers.get(f"datasets/{dataset['id']}/items", size=1000)["content"]
    assert sorted(row["data"]["n"] for row in rows) == [*range(2 * ROUNDS)]


def test_names_and_numbers_are_given_once(servers):
    """Of many creates of one name one wins; versions of a prompt are numbered without gaps."""
    taken = servers.at_once(
        *(("POST", "environments", {"name": "production"}) for _ in range(ROUNDS)),
        *(("POST", "datasets", {"name": "taken"}) for _ in range(ROUNDS)),
        *(("POST", "projects", {"name": "taken"}) for _ in range(ROUNDS)),
    )
    for kind in range(3):
        statuses = Counter(r.status_code for r in taken[kind * ROUNDS : (kind + 1) * ROUNDS])
        assert statuses == {201: 1, 409: ROUNDS - 1}, kind
    versions = servers.all_succeed(
        *(
            ("POST", "prompts/versions", {"name": "p", "version": {"template": f"text {n}"}})
            for n in range(ROUNDS)
        )
    )
    numbers = sorted(int(reply.json()["version_number"].removeprefix("v")) for reply in versions)
    assert numbers == [*range(1, ROUNDS + 1)]
    (prompt,) = servers.get("prompts", name="p")["content"]
    assert prompt["version_count"] == ROUNDS


def test_spans_of_one_otel_trace(servers):
    """Spans of a trace that OpenTelemetry sends to both servers at once are one trace."""
    for n in range(8):
        trace = f"{n + 1:032x}"  # spans have the same number in their ids
        requests = [
            {"resourceSpans": [{"scopeSpans": [{"spans": [_otel_span(trace, k)]}]}]}
            for k in range(8)
        ]
        servers.all_succeed(*(("POST", "otel/v1/traces", body) for body in requests))
    page = servers.get("traces", project_name="Default Project", size=1000)
    mine = [row for row in page["content"] if row["name"] == "root"]
    assert len(mine) == 8
    assert {row["span_count"] for row in mine} == {8}


def _otel_span(trace, number):
    return {
        "traceId": trace,
        "spanId": f"{trace[-8:]}{number + 1:08x}",
        **({"parentSpanId": f"{trace[-8:]}{1:08x}"} if number else {}),
        "name": "child" if number else "root",
        "startTimeUnixNano": str(1_767_225_600_000_000_000 + number),
        "endTimeUnixNano": str(1_767_225_601_000_000_000),
    }


def test_two_published_clients_at_once(servers, tmp_path):
    """Two processes of the published client, each at its own server, in one project."""
    homes = [tmp_path / "a", tmp_path / "b"]
    for home in homes:
        home.mkdir()

    def run(server, home):
        return run_driver("tracing.py", url=server.url, project="clients", home=home)

    with ThreadPoolExecutor(2) as both:
        reports = list(both.map(run, servers.running, homes))
    for report, server in zip(reports, servers.running, strict=True):
        sent = [e for e in server.answered() if e["status"] < 300]
        assert sent
        assert_delivered(report, ())
    expected = Expectation.of([e for report in reports for e in report["exchanges"]])
    for server in servers.running:
        with reading(server.url, server.store) as readback:
            readback.assert_traced(expected, "clients")
