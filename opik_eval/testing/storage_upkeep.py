"""Contract of retention: what is old goes, with all that belongs to it."""

from __future__ import annotations

from typing import cast

from opik_eval.records import FeedbackScore, Span, Trace
from opik_eval.storage.base import Storage
from opik_eval.storage.upkeep import UpkeepStore
from opik_eval.testing.storage_cases import StorageCase, day


class UpkeepContract(StorageCase):
    """Retention by age and by size. Not part of ``StorageContract``."""

    def test_traces_before_a_time_are_deleted(self, storage: Storage) -> None:
        """The start decides, or the time of the write; spans and scores go, the rest stays."""
        storage.write(
            [
                Trace(id="1", start_time=day(0), last_updated_at=day(9)),
                Trace(id="2", start_time=day(5), last_updated_at=day(5)),
                Trace(id="3", last_updated_at=day(1)),
                Trace(id="4", last_updated_at=day(6)),
                Span(id="s1", trace_id="1"),
                Span(id="s2", trace_id="2"),
                FeedbackScore(entity_id="1", name="n", value=1),
            ]
        )
        upkeep = cast("UpkeepStore", storage)
        assert upkeep.delete_traces_before(day(5)) == 2
        assert upkeep.delete_traces_before(day(5)) == 0
        seen = self.reopen(storage)
        assert [trace.id for trace in seen.list_traces()] == ["2", "4"]
        assert [span.id for span in seen.list_spans()] == ["s2"]
        assert list(seen.list_feedback_scores("trace")) == []

    def test_a_store_shrinks_from_its_oldest_end(self, storage: Storage) -> None:
        """The oldest traces go until the size fits; nothing goes while it does."""
        upkeep = cast("UpkeepStore", storage)
        storage.write([Trace(id=f"{n:04}", input="x" * 2000) for n in range(1200)])
        size = upkeep.size_bytes()
        assert size > 1200 * 100
        assert upkeep.shrink_to(size) == 0
        deleted = upkeep.shrink_to(size // 2)
        assert 300 <= deleted <= 900
        left = [trace.id for trace in storage.list_traces()]
        assert left == [f"{n:04}" for n in range(deleted, 1200)]
        upkeep.shrink_to(0)
        assert list(storage.list_traces()) == []
