"""Finished experiments as a whole: each item with its trace, spans and scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from opik_eval.records import Experiment, ExperimentItem, FeedbackScore, Record, Span, Trace

MOST_PARTS = 100
"""Most spans, and most scores, that an item may have to be uploaded so."""


@dataclass(frozen=True)
class FinishedItem:
    """An item of an experiment with all that was recorded of it.

    Attributes:
        item: The link between experiment, item of the dataset and trace.
        trace: What the task did; it has a start.
        spans: Its spans; they have starts.
        scores: Scores of the trace that name no author.
    """

    item: ExperimentItem
    trace: Trace
    spans: Sequence[Span] = ()
    scores: Sequence[FeedbackScore] = ()

    @property
    def records(self) -> Iterator[Record]:
        """All records."""
        yield from (self.item, self.trace, *self.spans, *self.scores)

    @property
    def is_whole(self) -> bool:
        """True if it can be uploaded: nothing is missing, and there is not too much of it."""
        starts = [self.trace.start_time, *(span.start_time for span in self.spans)]
        timed = all(start is not None for start in starts)
        few = max(len(self.spans), len(self.scores)) <= MOST_PARTS
        return timed and few and self.item.dataset_item_id is not None


@dataclass(frozen=True)
class UploadedItems:
    """What became of some items.

    Attributes:
        sent: Those that have arrived with all that belongs to them.
        present: Those that the experiment had already, by item of the dataset and trace.
    """

    sent: Sequence[FinishedItem]
    present: Sequence[FinishedItem]


@runtime_checkable
class ExperimentUploads(Protocol):
    """A storage on a server that may take finished experiments. Not part of ``Storage``."""

    @property
    def takes_experiments(self) -> bool:
        """True if ``upload_experiment`` is to be used; else ``write`` does as well."""
        ...

    def upload_experiment(
        self, experiment: Experiment, items: Iterable[FinishedItem]
    ) -> Iterator[UploadedItems]:
        """Send items that are whole, a request for many of them; yield those that have arrived.

        An upload that broke off may be made again: what the experiment has is not sent. What the
        server refuses, and all items if it has no such route, is not yielded; ``write`` is left.

        Args:
            experiment: What they belong to; it is on the server already.
            items: The items; read a batch at a time.

        Raises:
            UnavailableError: The server cannot be reached, or refuses the key or workspace.
        """
        ...
