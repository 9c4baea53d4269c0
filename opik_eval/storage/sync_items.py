"""Which items of experiments a sync sends as a whole, and which it has sent so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from opik_eval.records import Experiment, ExperimentItem, FeedbackScore, Span
from opik_eval.storage.base import Storage
from opik_eval.storage.experiment_uploads import FinishedItem
from opik_eval.storage.sync_journal import Journal, joined

_CHUNK = 200
_UPLOADED = "uploaded_item"


class FinishedItems:
    """The items in a store that can be sent with all that belongs to them.

    Args:
        source: The store.
        journal: What was sent before.
    """

    def __init__(self, source: Storage, journal: Journal) -> None:
        self._source = source
        self._journal = journal

    def unsent(self, experiment: Experiment) -> Iterator[FinishedItem]:
        """Yield the items of an experiment of which nothing was sent, if they are whole."""
        items = (
            item
            for item in self._source.list_experiment_items(experiment.id)
            if not self._journal.knows(joined(("experiment_item", item.id)))
            and not self._journal.knows(joined(("trace", item.trace_id or "")))
        )
        seen: set[str] = set()
        while chunk := list(islice(items, _CHUNK)):
            for found in self._whole(chunk):
                # Two trials may share a trace; the second one is sent as a link to it.
                if found.is_whole and found.trace.id not in seen:
                    seen.add(found.trace.id)
                    yield found

    def has(self, item: ExperimentItem) -> bool:
        """Return whether an item was sent as a whole: the server then has it by its links."""
        return self._journal.find_new_id(_UPLOADED, item.id) == _links(item)

    def mark(self, items: Iterable[ExperimentItem]) -> None:
        """Note that the server has items by their links."""
        for item in items:
            self._journal.set_new_id(_UPLOADED, item.id, _links(item))

    def _whole(self, items: Sequence[ExperimentItem]) -> Iterator[FinishedItem]:
        ids = [item.trace_id for item in items if item.trace_id is not None]
        spans: defaultdict[str, list[Span]] = defaultdict(list)
        for span in self._source.list_spans(trace_ids=ids):
            spans[span.trace_id or ""].append(span)
        scores: defaultdict[str, list[FeedbackScore]] = defaultdict(list)
        for score in self._source.list_feedback_scores("trace", ids):
            if score.author is None:  # the route has no place for authors
                scores[score.entity_id].append(score)
        for item in items:
            trace = self._source.find_trace(item.trace_id or "")
            if trace is not None:
                yield FinishedItem(item, trace, spans[trace.id], scores[trace.id])


def _links(item: ExperimentItem) -> str:
    return joined((item.experiment_id or "", item.dataset_item_id or "", item.trace_id or ""))
