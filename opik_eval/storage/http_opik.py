"""The dialect of a real Opik server: what its own clients can say, and nothing else.

What its routes cannot express is refused with a remedy rather than approximated in silence. Its
experiment items keep the link to dataset item and trace only; input, output, scores and usage come
back from the trace, while ``trial_id``, ``resume_key`` and timings stay behind. The bulk route is
for experiments that are over (``http_opik_bulk``); one that runs writes items with ids of ours, so
that a repeated delivery doubles nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Literal, TypeVar, cast

from typing_extensions import override

from opik_eval.errors import NotFoundError, PayloadError, StorageError
from opik_eval.ids import new_id
from opik_eval.records import Dataset, DatasetItem, DatasetVersion, Experiment, Prompt, Record
from opik_eval.storage.experiment_uploads import FinishedItem, UploadedItems
from opik_eval.storage.http_connection import Connection, Reply
from opik_eval.storage.http_dialect import Dialect
from opik_eval.storage.http_opik_bulk import ExperimentUpload
from opik_eval.storage.http_opik_reads import OpikReader
from opik_eval.storage.http_opik_uploads import upload
from opik_eval.storage.http_opik_writes import (
    OpikWriter,
    check,
    path_part,
    payload,
    put_named,
)
from opik_eval.storage.items import check_base, item_hash, plan_change
from opik_eval.storage.outbox import Entry
from opik_eval.storage.wire import record_from_wire

T = TypeVar("T")
_PRIVATE = "v1/private"
_CHUNK = 1000


class OpikDialect(Dialect):
    """Speaks to a real Opik server.

    Args:
        connection: The server.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._reader = OpikReader(connection)
        self._writer = OpikWriter(connection, self._reader.find)

    @override
    def deliver(self, batch: Sequence[Entry]) -> Reply:
        if batch[0].content is not None:
            return upload(self._connection, batch[0])
        payloads = (payload for entry in batch for payload in entry.payloads())
        try:
            records = [record_from_wire(payload) for payload in payloads if payload is not None]
        except PayloadError as error:  # a value that no server takes must not hold up the others
            return Reply(422, str(error).encode())
        return self._writer.write(records)

    @override
    def write_now(self, records: Sequence[Record]) -> None:
        for record in records:
            if isinstance(record, Dataset | Prompt):
                put_named(self._connection, self._reader.find, record)
        others = [record for record in records if not isinstance(record, Dataset | Prompt)]
        reply = self._connection.retried(lambda: self._writer.write(others))
        check(reply, self._connection, "a write")

    @override
    def find(self, kind: str, value: str) -> Record | None:
        return self._reader.find(kind, value)

    @override
    def list(self, kind: str, arguments: dict[str, object]) -> Iterator[Record]:
        return self._reader.list(kind, arguments)

    @override
    def delete(self, kind: str, ids: Sequence[str]) -> None:
        if kind in ("dataset", "prompt"):
            for identifier in ids:
                path = f"{_PRIVATE}/{kind}s/{path_part(identifier)}"
                self._connection.ask("DELETE", path, missing=True)
            return
        path = "experiments/items" if kind == "experiment_item" else f"{kind}s"
        for chunk in _chunks(ids):
            self._connection.ask("POST", f"{_PRIVATE}/{path}/delete", json={"ids": chunk})

    @override
    def delete_scores(self, arguments: dict[str, object]) -> None:
        entity, identifier = arguments["entity_type"], cast("str", arguments["entity_id"])
        names = cast("Sequence[str]", arguments["names"])
        if entity == "thread":
            body = {
                "thread_id": identifier,
                "names": names,
                "project_name": arguments.get("project_name"),
            }
            path = f"{_PRIVATE}/traces/threads/feedback-scores/delete"
            self._connection.ask("POST", path, json=body, missing=True)
            return
        path = f"{_PRIVATE}/{entity}s/{path_part(identifier)}/feedback-scores/delete"
        for name in names:
            self._connection.ask("POST", path, json={"name": name}, missing=True)

    @override
    def change_items(
        self,
        dataset_id: str,
        *,
        upsert: Iterable[DatasetItem],
        delete: Iterable[str] | Literal["all"],
        skip_known: bool,
        change_description: str | None,
        changed_at: datetime,
        group_id: str | None,
        base_version: int | None,
    ) -> DatasetVersion | None:
        dataset = cast("Dataset | None", self._reader.by_id("dataset", dataset_id))
        if dataset is None:
            raise NotFoundError(f"there is no dataset {dataset_id!r}")
        check_base(dataset_id, self._latest(dataset_id), base_version)
        present = _Present(self.list("dataset_item", {"dataset_id": dataset_id}))
        change = plan_change(
            present, upsert=upsert, delete=delete, skip_known=skip_known, changed_at=changed_at
        )
        if not change:
            return None
        about = {"dataset_id": dataset_id, "batch_group_id": group_id or new_id()}
        for ids in _chunks(change.deleted):
            body = {"item_ids": ids, "batch_group_id": about["batch_group_id"]}
            self._connection.ask("POST", f"{_PRIVATE}/datasets/items/delete", json=body)
        for items in _chunks((*change.added, *change.modified)):
            rows = [{"source": item.source, **payload(item)} for item in items]
            self._connection.ask("PUT", f"{_PRIVATE}/datasets/items", json={**about, "items": rows})
        return self._latest(dataset_id)

    takes_experiments = True

    def upload_experiment(
        self, experiment: Experiment, items: Iterable[FinishedItem]
    ) -> Iterator[UploadedItems]:
        """Send finished items; see ``ExperimentUploads``."""
        return ExperimentUpload(self._connection, self._reader, experiment).send(items)

    @override
    def read_attachment(self, attachment: str) -> bytes:
        if not attachment.startswith(("http://", "https://")):
            raise StorageError(
                "an Opik server gives out attachments by their links only",
                remedy="read the ids that list_attachments gives; they are the links",
            )
        reply = self._connection.exchange_elsewhere("GET", attachment)
        check(reply, self._connection, "an attachment")
        return reply.body

    def _latest(self, dataset_id: str) -> DatasetVersion | None:
        versions = list_of(self._reader.list("dataset_version", {"dataset_id": dataset_id}))
        return cast("DatasetVersion", versions[-1]) if versions else None


class _Present:
    """The items of a dataset, as ``plan_change`` asks for them."""

    def __init__(self, items: Iterator[Record]) -> None:
        found = cast("Iterator[DatasetItem]", items)
        self._items = {
            item.id: item.model_copy(update={"content_hash": item_hash(item)}) for item in found
        }

    def find_item(self, item_id: str) -> DatasetItem | None:
        """Return the item of that id."""
        return self._items.get(item_id)

    def count_hash(self, content_hash: str) -> int:
        """Return the number of items with that content."""
        return sum(item.content_hash == content_hash for item in self._items.values())

    def item_ids(self) -> Iterable[str]:
        """Return all ids."""
        return tuple(self._items)


def list_of(records: Iterable[T]) -> list[T]:
    """Return a list; inside a dialect ``list`` is a method."""
    return list(records)


def _chunks(values: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(values)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
