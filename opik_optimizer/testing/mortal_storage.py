"""A store that dies at a chosen write, as a process does, and can be opened again."""

from __future__ import annotations

from collections.abc import Iterable

from opik_eval.storage.base import Storage, Writable
from opik_eval.storage.opening import open_storage

LEDGER_PREFIX = "optimizer-ledger/"


class Killed(BaseException):
    """The process is gone."""


class MortalStorage:
    """Wraps a memory storage; from a given write on, every write ends in ``Killed``.

    Attributes:
        writes: Writes that arrived.
        dies_at: Number of the first write that fails, from 1; ``None`` = it lives.
        ledger_writes: How often each key of a ledger was written.
    """

    def __init__(self) -> None:
        self._inner: Storage = open_storage("memory:")
        self.writes = 0
        self.dies_at: int | None = None
        self.ledger_writes: dict[str, int] = {}

    @property
    def location(self) -> str:
        """Where the data is."""
        return self._inner.location

    def value(self, key: str) -> bytes:
        """Return a value of the cache; empty if there is none."""
        return self._inner.read_cached(key) or b""

    def revived(self) -> MortalStorage:
        """Return a store that lives on with what was written.

        This one stays dead: threads of the run that died may still try to write to it.
        """
        successor = MortalStorage()
        successor._inner = self._inner
        successor.ledger_writes = dict(self.ledger_writes)
        return successor

    def write_cached(self, key: str, value: bytes) -> None:
        """Write a value, or die."""
        self._breathe()
        self._inner.write_cached(key, value)
        if key.startswith(LEDGER_PREFIX):
            self.ledger_writes[key] = self.ledger_writes.get(key, 0) + 1

    def write(self, records: Iterable[Writable]) -> None:
        """Write records, or die."""
        self._breathe()
        self._inner.write(records)

    def _breathe(self) -> None:
        self.writes += 1
        if self.dies_at is not None and self.writes >= self.dies_at:
            raise Killed

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


__all__ = ["LEDGER_PREFIX", "Killed", "MortalStorage"]
