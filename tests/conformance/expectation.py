"""What must be stored after a client's exchanges: each write folded into records by their ids.

An independent reading of the interface: creates merge field by field, the newest last; updates go
over creates, whichever came first; deletes take away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Payload = dict[str, Any]
_BATCH = re.compile(r"v1/private/(traces|spans)(/batch)?")
_ONE = re.compile(r"v1/private/(traces|spans)/([0-9a-f-]{36})")
_SCORES = re.compile(r"v1/private/(traces/threads|traces|spans)/feedback-scores")
_SCORE_DELETED = re.compile(r"v1/private/(traces|spans)/([0-9a-f-]{36})/feedback-scores/delete")
_KIND = {"traces": "trace", "spans": "span", "traces/threads": "thread"}


@dataclass
class Expectation:
    """Records that must be there, by kind and id.

    Attributes:
        creates: Creates of a trace or span, in the order they were sent.
        updates: The same for updates.
        deleted: Ids of deleted traces.
        scores: By entity type, entity id and name.
        experiment_items: By id.
        dataset_items: By dataset (name or id) and item id.
        assertions: By entity id and name.
    """

    creates: dict[tuple[str, str], list[Payload]] = field(default_factory=dict)
    updates: dict[tuple[str, str], list[Payload]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    scores: dict[tuple[str, str, str], Payload] = field(default_factory=dict)
    experiment_items: dict[str, Payload] = field(default_factory=dict)
    dataset_items: dict[str, dict[str, Payload]] = field(default_factory=dict)
    deleted_items: set[str] = field(default_factory=set)
    assertions: dict[tuple[str, str], Payload] = field(default_factory=dict)

    @classmethod
    def of(cls, exchanges: Iterable[Mapping[str, Any]]) -> Expectation:
        """Return what exchanges lead to."""
        expected = cls()
        for exchange in exchanges:
            if isinstance(exchange["sent"], dict) and exchange["status"] < 400:
                expected._add(exchange["method"], exchange["path"].strip("/"), exchange["sent"])
        return expected

    def traced(self, kind: str) -> dict[str, Payload]:
        """Return the final fields of all traces or spans by id, without those of deleted traces."""
        ids = {given for of, given in (*self.creates, *self.updates) if of == kind}
        found = {given: self._fold((kind, given)) for given in ids}
        return {
            given: wire
            for given, wire in found.items()
            if wire.get("trace_id", given) not in self.deleted
        }

    def _fold(self, key: tuple[str, str]) -> Payload:
        creates = sorted(
            self.creates.get(key, ()), key=lambda wire: wire.get("last_updated_at") or ""
        )
        merged: Payload = {"id": key[1]}
        for wire in (*creates, *self.updates.get(key, ())):
            merged |= {name: value for name, value in wire.items() if value is not None}
        return merged

    def _add(self, method: str, path: str, sent: Payload) -> None:
        if method == "POST" and (found := _BATCH.fullmatch(path)):
            self._create(_KIND[found[1]], sent[found[1]] if found[2] else [sent])
        elif method == "PATCH" and (found := _ONE.fullmatch(path)):
            self.updates.setdefault((_KIND[found[1]], found[2]), []).append(sent)
        elif found := _SCORES.fullmatch(path):
            for score in sent["scores"]:
                self._score(_KIND[found[1]], score.get("id") or score["thread_id"], score)
        elif found := _SCORE_DELETED.fullmatch(path):
            del self.scores[_KIND[found[1]], found[2], sent["name"]]
        else:
            self._add_other(method, path.removeprefix("v1/private/"), sent)

    def _add_other(self, method: str, path: str, sent: Payload) -> None:
        if path == "traces/delete":
            self.deleted.update(sent["ids"])
        elif path == "experiments/items" and method == "POST":
            self.experiment_items |= {item["id"]: item for item in sent["experiment_items"]}
        elif path == "datasets/items" and method == "PUT":
            of_dataset = self.dataset_items.setdefault(
                sent.get("dataset_id") or sent["dataset_name"], {}
            )
            of_dataset |= {item["id"]: item for item in sent["items"]}
        elif path == "datasets/items/delete":
            self.deleted_items.update(sent.get("item_ids") or ())
        elif path == "assertion-results":
            for result in sent["assertion_results"]:
                self.assertions[result["entity_id"], result["name"]] = result
        elif path == "experiments/items/bulk":
            self._add_bulk(sent)

    def _add_bulk(self, sent: Payload) -> None:
        for item in sent["items"]:
            trace = item.get("trace")
            if not trace or not trace.get("id"):
                continue  # the server makes the id; the test of the flow looks for these
            project = {"project_name": trace.get("project_name") or sent["project_name"]}
            self._create("trace", [{**trace, **project}])
            spans = item.get("spans") or ()
            self._create("span", [{**span, **project, "trace_id": trace["id"]} for span in spans])
            for score in item.get("feedback_scores") or ():
                self._score("trace", trace["id"], score)

    def _create(self, kind: str, payloads: Iterable[Payload]) -> None:
        for wire in payloads:
            self.creates.setdefault((kind, wire["id"]), []).append(wire)

    def _score(self, kind: str, entity_id: str, score: Payload) -> None:
        self.scores[kind, entity_id, score["name"]] = score
