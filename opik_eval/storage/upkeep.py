"""What keeps a store from growing for ever."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class UpkeepStore(Protocol):
    """Retention by age and by size. Not part of ``Storage``: for whoever runs a store.

    Backends in memory, in files and in databases have it; the one over HTTP has not. Deletes go in
    many short transactions, oldest traces first, so that writers need not wait.
    """

    def delete_traces_before(self, moment: datetime) -> int:
        """Delete the traces that started before a time, with all that belongs to them.

        A trace without a start counts by when it was written.

        Returns:
            How many there were.
        """
        ...

    def shrink_to(self, size_bytes: int) -> int:
        """Delete the oldest traces (smallest ids) until the store has at most a size.

        Returns:
            How many were deleted; the store may still be larger if other records fill it.
        """
        ...

    def collect_garbage(self) -> int:
        """Delete bytes that no record refers to any more, and return how many pieces there were.

        Young ones stay, since their records may be on the way. The deletes above do it by
        themselves; it is for what ``delete_traces`` and other writes leave behind.
        """
        ...

    def size_bytes(self) -> int:
        """Return how much room the records take."""
        ...
