"""Pages of traces and spans in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from typing_extensions import override

from opik_eval.records import DatasetItem, Record, Span, Trace
from opik_eval.storage.memory_traces import MemoryTraces
from opik_eval.storage.merge import decode, project_key
from opik_eval.storage.pages import PageStore
from opik_eval.storage.query import Filter

R = TypeVar("R", Trace, Span)
K = TypeVar("K", bound=Record)


class MemoryPages(MemoryTraces, PageStore):
    """The ``PageStore`` part of the memory backend."""

    @override
    def page_traces(
        self,
        *,
        project_name: str | None = None,
        where: Filter | None = None,
        before_id: str | None = None,
        skip: int = 0,
        limit: int,
    ) -> Iterator[Trace]:
        found = self.list_traces(project_name=project_name, where=where, newest_first=True)
        return _page(found, before_id, skip, limit)

    @override
    def count_traces(self, *, project_name: str | None = None, where: Filter | None = None) -> int:
        return sum(1 for _ in self.list_traces(project_name=project_name, where=where))

    @override
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
        found = self.list_spans(
            project_name=project_name, trace_ids=trace_ids, where=where, newest_first=True
        )
        return _page(found, before_id, skip, limit)

    @override
    def count_spans(
        self,
        *,
        project_name: str | None = None,
        trace_ids: Sequence[str] | None = None,
        where: Filter | None = None,
    ) -> int:
        found = self.list_spans(project_name=project_name, trace_ids=trace_ids, where=where)
        return sum(1 for _ in found)

    @override
    def thread_keys(self) -> Iterator[tuple[str, str]]:
        found = ((project_key(t.project_name), t.thread_id) for t in self.list_traces())
        return iter({(project, thread): None for project, thread in found if thread})

    @override
    def find_by_id(self, kind: type[K], identifier: str) -> K | None:
        with self._state.locked():
            return self._state.find(kind, identifier)

    @override
    def datasets_of_items(self, item_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        wanted = set(item_ids)
        with self._state.locked():
            datasets = [key for (key,) in self._state.datasets.keys()]  # noqa: SIM118 - no mapping
            latest = {key: self._state.items[key] for key in datasets if key in self._state.items}
            texts = {key: items.texts(len(items.versions)) for key, items in latest.items()}
        ids = {key: [decode(DatasetItem, text).id for text in texts[key]] for key in texts}
        found = {key: [item for item in ids[key] if item in wanted] for key in ids}
        return {key: items for key, items in found.items() if items}


def _page(rows: Iterable[R], before_id: str | None, skip: int, limit: int) -> Iterator[R]:
    below = (row for row in rows if before_id is None or row.id < before_id)
    return islice(below, skip, skip + limit)
