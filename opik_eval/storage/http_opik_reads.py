"""Reading from a real Opik server, by the routes that its own clients use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from opik_eval.records import Record
from opik_eval.storage.http_connection import Connection
from opik_eval.storage.http_opik_rows import Arguments, OpikRows, id_of
from opik_eval.storage.http_opik_tables import OpikTables
from opik_eval.storage.http_opik_traces import OpikTraced


class OpikReader(OpikRows):
    """Finds and lists records.

    Args:
        connection: The server.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._traced = OpikTraced(self)
        self._tables = OpikTables(self)

    def list(self, kind: str, arguments: Arguments) -> Iterator[Record]:
        """Yield records in the order that ``Storage`` promises."""
        traced, tables = self._traced, self._tables
        listers: dict[str, Callable[[Arguments], Iterable[Record]]] = {
            "trace": lambda given: traced.traced("trace", given),
            "span": lambda given: traced.traced("span", given),
            "thread": traced.threads,
            "feedback_score": traced.scores,
            "attachment": traced.attachments,
            "dataset_item": tables.items,
            "dataset_version": tables.versions,
            "experiment": tables.experiments,
            "experiment_item": tables.experiment_items,
            "prompt_version": tables.prompt_versions,
            "optimization": tables.optimizations,
            "score_summary": tables.summaries,
        }
        if kind in listers:
            yield from listers[kind](arguments)
        else:
            yield from sorted(self.pages_of(kind, {}), key=id_of)
