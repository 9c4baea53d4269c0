"""Whole experiments to a real Opik server: items with their traces, spans and scores at once.

The route gives items ids of the server's own, so the same request made twice doubles them. Before
items are sent for the first time, and whenever it is not known what became of a request, the server
is asked which ones it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import cast

from opik_eval.records import Experiment, ExperimentItem, FeedbackScore, Span, Trace
from opik_eval.serialization import dumps
from opik_eval.storage.experiment_uploads import FinishedItem, UploadedItems
from opik_eval.storage.http_connection import Connection, Reply, retryable_raised
from opik_eval.storage.http_opik_rows import OpikRows
from opik_eval.storage.http_opik_tables import OpikTables
from opik_eval.storage.wire import record_to_wire

_PATH = "v1/private/experiments/items/bulk"
_MOST_ITEMS = 1000
_MOST_BYTES = 3_500_000  # the server takes four million, with what is around the items
_NO_ACCESS = (401, 403)
_NO_ROUTE = (404, 405)

_Batch = list[tuple[FinishedItem, bytes]]
_Pair = tuple[str | None, str | None]


class _NoSuchRoute(Exception):  # noqa: N818 - no error: the items go another way
    """The server is too old for this."""


class ExperimentUpload:
    """One upload of items to one experiment. For one thread.

    Args:
        connection: The server.
        rows: Reads from it.
        experiment: What the items belong to; it is there already.
    """

    def __init__(self, connection: Connection, rows: OpikRows, experiment: Experiment) -> None:
        self._connection = connection
        self._tables = OpikTables(rows)
        self._experiment = experiment
        self._present: set[_Pair] | None = None

    def send(self, items: Iterable[FinishedItem]) -> Iterator[UploadedItems]:
        """Send items; see ``ExperimentUploads``."""
        with suppress(_NoSuchRoute):
            for batch in _batches(items):
                yield from self._batch(batch)

    def _batch(self, batch: _Batch) -> Iterator[UploadedItems]:
        """Send a batch; if the server does not take it, its halves."""
        parts: list[_Batch] = [[], []]

        def once() -> Reply:
            present = self._known()
            parts[:] = [], []
            for item, body in batch:
                parts[_pair(item.item) in present].append((item, body))
            if not parts[0]:
                return Reply(204)
            self._present = None  # until the answer says what has become of them
            reply = retryable_raised(self._put([body for _, body in parts[0]]))
            self._present = present
            return reply

        reply = self._connection.retried(once)
        if reply.is_success:
            sent, known = ([item for item, _ in part] for part in parts)
            self._known().update(_pair(item.item) for item in sent)
            yield UploadedItems(sent, known)
        elif reply.status in _NO_ACCESS:
            raise self._connection.refusal(reply, f"PUT {_PATH}")
        elif reply.status in _NO_ROUTE:
            raise _NoSuchRoute
        elif len(batch) > 1:
            middle = len(batch) // 2
            yield from self._batch(batch[:middle])
            yield from self._batch(batch[middle:])

    def _known(self) -> set[_Pair]:
        """Return what the experiment has."""
        if self._present is None:
            found = self._tables.experiment_items({"experiment_id": self._experiment.id})
            self._present = {_pair(cast("ExperimentItem", item)) for item in found}
        return self._present

    def _put(self, bodies: Sequence[bytes]) -> Reply:
        about = {
            "experiment_id": self._experiment.id,
            "experiment_name": self._experiment.name,
            "dataset_name": self._experiment.dataset_name,
            "project_name": self._experiment.project_name,
        }
        named = dumps({name: value for name, value in about.items() if value is not None})
        content = named[:-1] + b',"items":[' + b",".join(bodies) + b"]}"
        return self._connection.exchange("PUT", _PATH, body=content)


def _batches(items: Iterable[FinishedItem]) -> Iterator[_Batch]:
    """Yield items with their payloads, as many at once as the server takes."""
    batch: _Batch = []
    size = 0
    for item in items:
        body = dumps(_payload(item), sort_keys=False)
        if batch and (len(batch) == _MOST_ITEMS or size + len(body) > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((item, body))
        size += len(body)
    if batch:
        yield batch


def _pair(item: ExperimentItem) -> _Pair:
    return item.dataset_item_id, item.trace_id


def _payload(item: FinishedItem) -> dict[str, object]:
    """Return an element of the request; what belongs to the trace need not name it."""
    body: dict[str, object] = {
        "dataset_item_id": item.item.dataset_item_id,
        "trace": _part(item.trace),
    }
    if item.spans:
        body["spans"] = [_part(span) for span in item.spans]
    if item.scores:
        body["feedback_scores"] = [{"source": s.source, **_part(s)} for s in item.scores]
    return body


def _part(record: Trace | Span | FeedbackScore) -> dict[str, object]:
    implied = ["kind", "trace_id"] if isinstance(record, Span) else ["kind"]
    if isinstance(record, FeedbackScore):
        implied += ["id", "entity_type", "entity_id", "project_name"]
    return {name: value for name, value in record_to_wire(record).items() if name not in implied}
