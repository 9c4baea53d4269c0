"""The dialect of our own server: the storage interface route by route, without loss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Literal, cast
from urllib.parse import quote

from typing_extensions import override

from opik_eval.records import DatasetItem, DatasetVersion, Record
from opik_eval.serialization import loads
from opik_eval.storage.http_connection import (
    Connection,
    Reply,
    Unreachable,
    retryable_raised,
)
from opik_eval.storage.http_dialect import Dialect
from opik_eval.storage.outbox import Entry
from opik_eval.storage.query import Filter, format_filter
from opik_eval.storage.wire import (
    dataset_item_to_wire,
    dataset_version_from_wire,
    record_from_wire,
    record_to_wire,
)

ROOT = "v1/private/opik-eval"
"""Where our server's own routes begin."""

PRODUCT = "opik-eval"
_GROUPS_SINCE = 2
"""Version of the interface that takes groups of records."""
_NAMED = frozenset({"project", "dataset", "prompt"})


def wire_version(connection: Connection) -> int:
    """Ask a server, once, which version of our interface it has; 0 = it is not ours.

    Raises:
        Unreachable: There was no answer.
        StorageError: It refuses the key or workspace.
    """
    reply = retryable_raised(connection.exchange("GET", f"{ROOT}/info"))
    if reply.status in (404, 405):
        return 0
    if not reply.is_success:
        raise connection.refusal(reply, f"GET {ROOT}/info")
    content = reply.json()
    if not isinstance(content, dict) or content.get("product") != PRODUCT:
        return 0
    return int(content.get("wire_version", 1))


def is_native(connection: Connection) -> bool:
    """Ask a server, once, whether it is ours; raises what ``wire_version`` does."""
    return wire_version(connection) > 0


class NativeDialect(Dialect):
    """Speaks to our server.

    Args:
        connection: The server.
        version: What ``wire_version`` returned.
    """

    def __init__(self, connection: Connection, version: int = _GROUPS_SINCE) -> None:
        self._connection = connection
        self._takes_groups = version >= _GROUPS_SINCE

    @override
    def deliver(self, batch: Sequence[Entry]) -> Reply:
        first = batch[0]
        if first.content is not None:
            return self._connection.exchange(
                "PUT",
                f"{ROOT}/attachments/{quote(first.key, safe='')}",
                body=first.content,
                params={"record": first.payload.decode()},
                content_type="application/octet-stream",
            )
        payloads = (
            entry.payload if self._takes_groups else entry.ungrouped().payload for entry in batch
        )
        body = b'{"records":[%b]}' % b",".join(payloads)
        return self._connection.exchange("PUT", f"{ROOT}/records", body=body)

    @override
    def write_now(self, records: Sequence[Record]) -> None:
        payloads = [record_to_wire(record) for record in records]
        self._connection.ask("PUT", f"{ROOT}/records", json={"records": payloads})

    @override
    def find(self, kind: str, value: str) -> Record | None:
        key = "name" if kind in _NAMED else "id"
        body = {"kind": kind, key: value}
        reply = self._connection.ask("POST", f"{ROOT}/records/find", json=body, missing=True)
        if reply.status == 404:
            return None
        return record_from_wire({**cast("dict[str, object]", reply.json()), "kind": kind})

    @override
    def list(self, kind: str, arguments: dict[str, object]) -> Iterator[Record]:
        if "where" in arguments:
            text = format_filter(cast("Filter", arguments["where"]))
            arguments = {**arguments, "where": text}
        body = {"kind": kind, "arguments": arguments}
        with self._connection.download(f"{ROOT}/records/list", body, check=_check_end) as lines:
            for line in lines:
                payload = cast("dict[str, object]", loads(line))
                if payload.get("kind") == "end":
                    return
                yield record_from_wire(payload)

    @override
    def delete(self, kind: str, ids: Sequence[str]) -> None:
        self._connection.ask("POST", f"{ROOT}/records/delete", json={"kind": kind, "ids": [*ids]})

    @override
    def delete_scores(self, arguments: dict[str, object]) -> None:
        body = {"kind": "feedback_score", **arguments}
        self._connection.ask("POST", f"{ROOT}/records/delete", json=body)

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
        body = {
            "dataset_id": dataset_id,
            "upsert": [dataset_item_to_wire(item) for item in upsert],
            "delete": delete if isinstance(delete, str) else [*delete],
            "skip_known": skip_known,
            "change_description": change_description,
            "changed_at": changed_at,
            "group_id": group_id,
            "base_version": base_version,
        }
        reply = self._connection.ask("POST", f"{ROOT}/dataset-changes", json=body)
        version = cast("dict[str, object]", reply.json()).get("version")
        if version is not None:
            return dataset_version_from_wire(cast("dict[str, object]", version))
        return self._latest(dataset_id, changed_at) if reply.attempts > 1 else None

    @override
    def read_attachment(self, attachment: str) -> bytes:
        path = f"{ROOT}/attachments/{quote(attachment, safe='')}"
        return self._connection.ask("GET", path).body

    def _latest(self, dataset_id: str, changed_at: datetime) -> DatasetVersion | None:
        """Return the version of a change that was made, but whose first answer got lost."""
        versions = self.list("dataset_version", {"dataset_id": dataset_id})
        found = [cast("DatasetVersion", version) for version in versions]
        return found[-1] if found and found[-1].created_at == changed_at else None


def _check_end(last_line: bytes) -> None:
    try:
        payload = loads(last_line)
    except ValueError:
        payload = None
    if not isinstance(payload, dict) or payload.get("kind") != "end":
        raise Unreachable("the server's reply was cut off before its end")
