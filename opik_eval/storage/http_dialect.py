"""What the HTTP backend asks of a server, whichever kind of server it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Literal, Protocol, cast

from opik_eval.records import Attachment, DatasetItem, DatasetVersion, Record
from opik_eval.serialization import loads
from opik_eval.storage.http_connection import Reply
from opik_eval.storage.outbox import Entry
from opik_eval.storage.wire import Payload, attachment_from_wire


class Dialect(Protocol):
    """Storage as requests: ``http_native`` speaks to our server, ``http_opik`` to Opik's.

    Operations raise what ``Connection.ask`` raises.
    """

    def deliver(self, batch: Sequence[Entry]) -> Reply:
        """Take a batch of the outbox to the server, once; every retry is the caller's.

        Raises:
            Unreachable: There was no complete answer.
        """
        ...

    def write_now(self, records: Sequence[Record]) -> None:
        """Write records that include datasets or prompts, whose names the server arbitrates.

        Raises:
            ConflictError: A name is taken; nothing is written.
        """
        ...

    def find(self, kind: str, value: str) -> Record | None:
        """Return the record of that name (project, dataset, prompt) or id (all other kinds)."""
        ...

    def list(self, kind: str, arguments: dict[str, object]) -> Iterator[Record]:
        """Yield records of a kind as the method ``list_...`` of ``Storage`` does.

        Args:
            kind: Type of the records, as the wire names it.
            arguments: Arguments of the method by name, but for those that are ``None``.
        """
        ...

    def delete(self, kind: str, ids: Sequence[str]) -> None:
        """Delete records by id."""
        ...

    def delete_scores(self, arguments: dict[str, object]) -> None:
        """Delete scores; the arguments are those of ``delete_feedback_scores``."""
        ...

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
        """Apply one change to a dataset's items; doing it again changes nothing."""
        ...

    def read_attachment(self, attachment: str) -> bytes:
        """Return the bytes of an attachment."""
        ...


def attachment_of(entry: Entry) -> tuple[Attachment, bytes]:
    """Return what an entry of the outbox with content holds."""
    return attachment_from_wire(cast("Payload", loads(entry.payload))), entry.content or b""
