"""Writing to a real Opik server: complete rows, by the routes that its own clients use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar, cast
from urllib.parse import quote

from opik_eval.errors import ConfigError, ConflictError, StorageError
from opik_eval.ids import time_of
from opik_eval.records import (
    Dataset,
    Experiment,
    ExperimentItem,
    FeedbackScore,
    Optimization,
    Project,
    Prompt,
    PromptVersion,
    Record,
    Span,
    Trace,
    utc_now,
)
from opik_eval.serialization import dumps
from opik_eval.storage.http_connection import Connection, Reply
from opik_eval.storage.merge import ArrivalClock, Merged, key_of, merge, merged
from opik_eval.storage.wire import record_to_wire

R = TypeVar("R", bound=Record)
Find = Callable[[str, str], Record | None]

_STATUSES = {"stopped": "cancelled"}
_SCORES = {"trace": "traces", "span": "spans", "thread": "traces/threads"}


class OpikWriter:
    """Sends records. Every method sends each request once and returns the first refusal.

    Args:
        connection: The server.
        find: Reads a record back, for updates that do not name all fields.
    """

    def __init__(self, connection: Connection, find: Find) -> None:
        self._connection = connection
        self._find = find

    def write(self, records: Iterable[Record]) -> Reply:
        """Send records of any types but datasets and prompts, in an order that the server takes."""
        groups: defaultdict[type[Record], list[Record]] = defaultdict(list)
        for record in coalesced(records):
            groups[type(record)].append(record)
        for kind, send in self._senders().items():
            reply = send(groups[kind]) if kind in groups else Reply(204)
            if not reply.is_success:
                return reply
        return Reply(204)

    def _senders(self) -> Mapping[type[Record], Callable[[list[Record]], Reply]]:
        return cast(
            "Mapping[type[Record], Callable[[list[Record]], Reply]]",
            {
                Project: self._projects,
                Trace: lambda rows: self._rows("traces", rows),
                Span: lambda rows: self._rows("spans", rows),
                FeedbackScore: self._scores,
                Optimization: lambda rows: self._each(rows, self._optimization),
                Experiment: lambda rows: self._each(rows, self._experiment),
                ExperimentItem: self._items,
                PromptVersion: lambda rows: self._each(rows, self._prompt_version),
            },
        )

    def _each(self, records: Sequence[R], send: Callable[[R], Reply]) -> Reply:
        for record in records:
            reply = send(record)
            if not reply.is_success:
                return reply
        return Reply(204)

    def _projects(self, records: Sequence[Project]) -> Reply:
        return self._each(records, self._project)

    def _project(self, record: Project) -> Reply:
        body = {"name": record.name, "description": record.description}
        reply = self._post("projects", body)
        if reply.status != 409:
            return reply
        present = cast("Project | None", self._find("project", record.name))
        if present is None or record.description is None:
            return Reply(204)
        return self._send("PATCH", f"projects/{present.id}", body)

    def _rows(self, plural: str, records: Sequence[Trace | Span]) -> Reply:
        return self._post(f"{plural}/batch", {plural: [payload(self._whole(r)) for r in records]})

    def _scores(self, records: Sequence[FeedbackScore]) -> Reply:
        for entity, plural in _SCORES.items():
            scores = [_score(record) for record in records if record.entity_type == entity]
            if scores:
                reply = self._send("PUT", f"{plural}/feedback-scores", {"scores": scores})
                if not reply.is_success:
                    return reply
        return Reply(204)

    def _optimization(self, record: Optimization) -> Reply:
        whole = self._over("optimization", record)
        return self._send("PUT", "optimizations", payload(whole))

    def _experiment(self, record: Experiment) -> Reply:
        whole = self._over("experiment", record)
        body = payload(whole)
        if "status" in body:
            body["status"] = _STATUSES.get(str(body["status"]), body["status"])
        if self._find("experiment", record.id) is None:
            reply = self._post("experiments", body)
            if reply.status != 409 and not reply.is_success:
                return reply
        changes = {
            name: body[name]
            for name in ("name", "metadata", "tags", "status", "experiment_scores")
            if name in body
        }
        reply = self._send("PATCH", f"experiments/{record.id}", changes) if changes else Reply(204)
        if reply.is_success and record.status not in (None, "running"):
            return self._post("experiments/finish", {"ids": [record.id]})
        return reply

    def _items(self, records: Sequence[ExperimentItem]) -> Reply:
        return self._post("experiments/items", {"experiment_items": [*map(payload, records)]})

    def _prompt_version(self, record: PromptVersion) -> Reply:
        prompt = cast("Prompt | None", self._find("prompt_by_id", record.prompt_id))
        if prompt is None:
            return Reply(422, f"there is no prompt {record.prompt_id}".encode())
        body = {"name": prompt.name, "version": {"type": record.type, **payload(record)}}
        if prompt.template_structure is not None:
            body["template_structure"] = prompt.template_structure
        reply = self._post("prompts/versions", body)
        return Reply(204) if reply.status == 409 else reply

    def _whole(self, record: R) -> R:
        """Return a trace or span with all that is known of it: batches replace whole rows."""
        if getattr(record, "start_time", None) is not None:
            return record
        whole = self._over("trace" if isinstance(record, Trace) else "span", record)
        if getattr(whole, "start_time", None) is not None:
            return whole
        try:
            started = time_of(cast("Trace", record).id)
        except ConfigError:
            started = utc_now()
        return whole.model_copy(update={"start_time": started})

    def _over(self, kind: str, record: R) -> R:
        """Return a record on top of what the server has of it."""
        present = self._find(kind, cast("Trace", record).id)
        if present is None:
            return record
        named = {n: v for n in record.model_fields_set if (v := getattr(record, n)) is not None}
        return cast("R", present.model_copy(update=named))

    def _post(self, path: str, body: object) -> Reply:
        return self._send("POST", path, body)

    def _send(self, method: str, path: str, body: object) -> Reply:
        return self._connection.exchange(
            method, f"v1/private/{path}", body=dumps(body, sort_keys=False)
        )


def put_named(connection: Connection, find: Find, record: Dataset | Prompt) -> None:
    """Create or update a dataset or prompt.

    Raises:
        ConflictError: Its name belongs to another one.
    """
    kind = "dataset" if isinstance(record, Dataset) else "prompt"
    path = f"v1/private/{kind}s"
    body = payload(record)
    reply = connection.exchange("POST", path, body=dumps(body, sort_keys=False))
    if reply.is_success:
        return
    if reply.status != 409:
        raise connection.refusal(reply, f"POST {path}")
    present = find(kind, record.name)
    if present is not None and cast("Dataset", present).id != record.id:
        raise ConflictError(
            f"there is another {kind} named {record.name!r}",
            remedy="use that one, or choose another name",
        )
    connection.ask("PUT", f"{path}/{record.id}", json=body)


def coalesced(records: Iterable[Record]) -> list[Record]:
    """Return one record for each that is written, with all that the writes say of it."""
    clock, states = ArrivalClock(), dict[tuple[object, ...], Merged[Record]]()
    for record in records:
        key = (type(record), *key_of(record))
        state = merged(record, clock.next())
        states[key] = merge(states[key], state) if key in states else state
    return [state.record() for state in states.values()]


def payload(record: Record) -> dict[str, object]:
    """Return the payload of a record as its own route takes it."""
    body = record_to_wire(record)
    del body["kind"]
    return body


def _score(record: FeedbackScore) -> dict[str, object]:
    return {"source": record.source, **payload(record)}


def check(reply: Reply, connection: Connection, what: str) -> None:
    """Raise the error that a refusal stands for.

    Raises:
        StorageError: The reply is no success.
    """
    if not reply.is_success:
        error: StorageError = connection.refusal(reply, what)
        raise error


def path_part(identifier: str) -> str:
    """Return an id as part of a path."""
    return quote(identifier, safe="")
