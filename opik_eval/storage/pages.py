"""Pages of long lists, and records by id, for servers that show them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from opik_eval.records import Record, Span, Trace
from opik_eval.storage.query import Filter

R = TypeVar("R", bound=Record)


class PageStore(Protocol):
    """Pages of traces and spans, newest (greatest id) first, at a cost that the page decides.

    And, by id, records that ``Storage`` finds by name or by what owns them.

    Not part of ``Storage``: what a server needs to show long lists. Backends in memory, in files
    and in databases have it; the one over HTTP has not.
    """

    def page_traces(
        self,
        *,
        project_name: str | None = None,
        where: Filter | None = None,
        before_id: str | None = None,
        skip: int = 0,
        limit: int,
    ) -> Iterator[Trace]:
        """Yield the next ``limit`` traces with ids below ``before_id``, after ``skip`` of them."""
        ...

    def count_traces(self, *, project_name: str | None = None, where: Filter | None = None) -> int:
        """Return the number of traces."""
        ...

    def page_spans(
        self,
        *,
        project_name: str | None = None,
        trace_ids: Sequence[str] | None = None,
        where: Filter | None = None,
        before_id: str | None = None,
        skip: int = 0,
        limit: int,
    ) -> Iterator[Span]:
        """Yield the next ``limit`` spans with ids below ``before_id``, after ``skip`` of them."""
        ...

    def count_spans(
        self,
        *,
        project_name: str | None = None,
        trace_ids: Sequence[str] | None = None,
        where: Filter | None = None,
    ) -> int:
        """Return the number of spans."""
        ...

    def thread_keys(self) -> Iterator[tuple[str, str]]:
        """Yield what names each thread: the key of its project and its id."""
        ...

    def find_by_id(self, kind: type[R], identifier: str) -> R | None:
        """Return the dataset, prompt, prompt version or experiment item of an id."""
        ...

    def datasets_of_items(self, item_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return, by dataset, which of some items the latest versions of the datasets hold."""
        ...
