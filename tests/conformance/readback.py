"""Reads back what a client wrote, over REST and from the store, and compares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from expectation import Expectation, Payload

from opik_eval.storage.opening import open_storage
from opik_eval.storage.wire import record_to_wire

_TIMES = ("start_time", "end_time")
_NOT_READ_BACK = frozenset({"last_updated_at", "total_estimated_cost_version", "batch_group_id"})


def assert_delivered(report: Mapping[str, Any], answers: Iterable[Mapping[str, Any]]) -> None:
    """Check that no write failed, as the client, the wire and the server tell it.

    Args:
        report: Of the driver.
        answers: Of the server, from its access log.
    """
    sent = [
        f"{e['method']} {e['path']} {e['status']}" for e in report["exchanges"] if is_refused(e)
    ]
    assert sent == []
    logged = [f"{e['method']} {e['path']} {e['status']}" for e in answers if is_refused(e)]
    assert logged == []
    assert report["is_flushed"], report["warnings"]
    assert report["lost"] == 0, report["warnings"]


def is_refused(answer: Mapping[str, Any]) -> bool:
    """Return whether something failed; that a name is not there yet is what clients ask for."""
    return answer["status"] >= 400 and not (
        answer["status"] == 404 and answer["path"].endswith("/retrieve")
    )


@dataclass
class ReadBack:
    """Both views of what is stored.

    Attributes:
        api: Client of the routes under ``v1/private``.
        storage: The store of the server, opened beside it.
    """

    api: httpx.Client
    storage: Any

    def get(self, path: str, **query: object) -> Any:
        """Return the JSON answer of a GET that must succeed."""
        reply = self.api.get(path, params={k: v for k, v in query.items() if v is not None})
        assert reply.status_code == 200, (path, reply.status_code, reply.text)
        return reply.json()

    def post(self, path: str, body: object) -> Any:
        """Return the JSON answer of a POST that must succeed."""
        reply = self.api.post(path, json=body)
        assert reply.is_success, (path, reply.status_code, reply.text)
        return reply.json() if reply.content else None

    def assert_traced(self, expected: Expectation, project: str) -> None:
        """Check all traces and spans: each is there as it was sent, and there are no others."""
        for kind, find in (("trace", self.storage.find_trace), ("span", self.storage.find_span)):
            wanted = expected.traced(kind)
            for entity_id, sent in wanted.items():
                stored = find(entity_id)
                assert stored is not None, f"{kind} {entity_id} is lost"
                assert_same(sent, record_to_wire(stored), f"stored {kind} {entity_id}")
                assert_same(sent, self.get(f"{kind}s/{entity_id}"), f"{kind} {entity_id} over REST")
            listed = self.storage.list_traces if kind == "trace" else self.storage.list_spans
            there = {record.id for record in listed(project_name=project)}
            in_project = {i for i, sent in wanted.items() if sent.get("project_name") == project}
            assert there >= in_project
            assert there - in_project == set(), f"{kind}s that nobody sent"
        for trace_id in expected.deleted:
            assert self.storage.find_trace(trace_id) is None
            assert self.api.get(f"traces/{trace_id}").status_code == 404

    def assert_scored(self, expected: Expectation, project: str) -> None:
        """Check all feedback scores of traces, spans and threads."""
        for (kind, entity_id, name), sent in expected.scores.items():
            scores = self.storage.list_feedback_scores(kind, [entity_id], project_name=project)
            found = [record_to_wire(score) for score in scores if score.name == name]
            assert len(found) == 1, f"score {name} of {kind} {entity_id}: {len(found)} stored"
            assert_same(sent, found[0], f"stored score {name} of {kind} {entity_id}")
            if kind == "thread":
                thread = {"project_name": project, "thread_id": entity_id}
                view = self.post("traces/threads/retrieve", thread)
            else:
                view = self.get(f"{kind}s/{entity_id}")
            (shown,) = [score for score in view["feedback_scores"] if score["name"] == name]
            wanted = _fields(sent, "name", "value", "reason", "category_name", "source")
            assert_same(wanted, shown, f"score {name} of {kind} {entity_id} over REST")

    def assert_experiment_items(self, expected: Expectation) -> None:
        """Check the items of experiments."""
        stored = {
            item.id: record_to_wire(item)
            for experiment_id in {
                item["experiment_id"] for item in expected.experiment_items.values()
            }
            for item in self.storage.list_experiment_items(experiment_id)
        }
        assert stored.keys() >= expected.experiment_items.keys()
        for item_id, sent in expected.experiment_items.items():
            wanted = _fields(sent, "experiment_id", "dataset_item_id", "trace_id")
            assert_same(wanted, stored[item_id], f"experiment item {item_id}")
            view = self.get(f"experiments/items/{item_id}")
            assert_same(wanted, view, f"experiment item {item_id} over REST")

    def assert_dataset_items(self, expected: Expectation) -> None:
        """Check the items of datasets in their latest versions."""
        for named, sent in expected.dataset_items.items():
            wanted = {i: item for i, item in sent.items() if i not in expected.deleted_items}
            dataset = self.dataset(named)
            stored = {
                item.id: record_to_wire(item)
                for item in self.storage.list_dataset_items(dataset["id"])
            }
            shown = {item["id"]: item for item in self.pages(f"datasets/{dataset['id']}/items")}
            assert stored.keys() == shown.keys() == wanted.keys(), named
            for item_id, item in wanted.items():
                fields = _fields(item, "data", "source", "tags", "description", "trace_id")
                assert_same(fields, stored[item_id], f"dataset item {item_id}")
                assert_same(fields, shown[item_id], f"dataset item {item_id} over REST")

    def assert_experiment(self, told: Payload, *, count: int) -> None:
        """Check that an experiment holds what its result says."""
        experiment = self.storage.find_experiment(told["id"])
        assert experiment.name == told.get("name", experiment.name)
        stored = list(self.storage.list_experiment_items(told["id"]))
        assert len(stored) == count
        items = {item.trace_id: item.dataset_item_id for item in stored}
        rows = self.pages(
            f"datasets/{experiment.dataset_id}/items/experiments/items",
            experiment_ids=f'["{experiment.id}"]',
        )
        shown = {item["trace_id"]: item for row in rows for item in row["experiment_items"]}
        assert shown.keys() == items.keys()
        for item in told["items"]:
            trace_id = item["trace_id"]
            assert items[trace_id] == shown[trace_id]["dataset_item_id"] == item["item_id"]
            assert self.storage.find_trace(trace_id).output == item["output"]
            assert shown[trace_id]["output"] == item["output"]
            scores = self.storage.list_feedback_scores("trace", entity_ids=[trace_id])
            assert {s.name: s.value for s in scores}.items() >= item["scores"].items()
            over_rest = {s["name"]: s["value"] for s in shown[trace_id]["feedback_scores"]}
            assert over_rest.items() >= item["scores"].items()

    def dataset(self, named: str) -> Any:
        """Return a dataset by its name or id."""
        for dataset in self.pages("datasets"):
            if named in (dataset["name"], dataset["id"]):
                return dataset
        raise AssertionError(f"dataset {named} is lost")

    def pages(self, path: str, **query: object) -> Iterator[Any]:
        """Yield all rows of a list."""
        page, count = 1, 0
        while True:
            reply = self.get(path, page=page, size=1000, **query)
            yield from reply["content"]
            count += len(reply["content"])
            if not reply["content"] or count >= reply["total"]:
                assert count == reply["total"]
                return
            page += 1


@contextmanager
def reading(url: str, store: str) -> Iterator[ReadBack]:
    """Open both views of a server's records."""
    with (
        httpx.Client(base_url=f"{url}/api/v1/private/", trust_env=False, timeout=30) as api,
        closing(open_storage(store)) as storage,
    ):
        yield ReadBack(api, storage)


def assert_same(sent: Payload, found: Mapping[str, Any], what: str) -> None:
    """Check that every field that was sent is found with its value."""
    for name, value in sent.items():
        if name in _NOT_READ_BACK or value is None:
            continue
        there, wanted = found.get(name), _as_kept(value)
        if name in _TIMES:
            there, wanted = datetime.fromisoformat(str(there)), datetime.fromisoformat(value)
        assert there == wanted, f"{what}: {name} was {value!r} and is {there!r}"


def _as_kept(value: Any) -> Any:
    """Return a JSON value as the store keeps it: numbers that JSON lacks become their names."""
    if isinstance(value, dict):
        return {name: _as_kept(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_as_kept(part) for part in value]
    if isinstance(value, float) and value != value:
        return "NaN"
    return value


def _fields(payload: Payload, *names: str) -> Payload:
    return {name: payload[name] for name in names if payload.get(name) is not None}
