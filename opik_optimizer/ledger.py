"""The ledger: every value a run paid for, stored as it comes. Cache, checkpoint and replay in one.

A value belongs to a key, the hash of all that determines it. Who made it matters too: what *this*
run made, in an earlier attempt that was interrupted, is charged to its budget again, so that the
run goes exactly as it did; what *another* run made is free.

Where the values are, in the storage's ``CacheStore``: the first run that makes the value of a key
keeps it under the key; a run that makes it as well (both were at it, or it was told not to resume)
keeps its own beside it, under a key of its own. So nobody's replay ever changes. Failures are kept
under the run's own key alone: they are part of its history, but nothing others should rely on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, cast

from opik_eval.serialization import content_hash, dumps, loads
from opik_eval.storage.base import CacheStore

T = TypeVar("T")

Origin = Literal["new", "own", "foreign"]
"""Made just now, by an earlier attempt of this run, or by another run."""

_PREFIX = "optimizer-ledger/1/"
_INSTANT = "memory:"


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """A value and where it comes from."""

    value: T
    origin: Origin


@dataclass(frozen=True, kw_only=True)
class Codec(Generic[T]):
    """How values of one kind are stored.

    Attributes:
        encode: Value to JSON types.
        decode: JSON types to value.
        is_shared: Whether other runs may use it.
    """

    encode: Callable[[T], object]
    decode: Callable[[Mapping[str, object]], T]
    is_shared: Callable[[T], bool] = lambda value: True  # noqa: ARG005 - any value


@dataclass(slots=True)
class LedgerCounts:
    """How often a value was made, replayed, taken from other runs, or waited for."""

    new: int = 0
    own: int = 0
    foreign: int = 0
    joined: int = 0


class Ledger(Generic[T]):
    """The values of one kind of one run. For one event loop; runs share the store.

    Args:
        store: Where values are kept; must be a storage whose ``location`` is known.
        run: Id of the run: the same when it is started again, different for any other.
        codec: How values are stored.
        resume: Read what the store has; ``False`` = make everything anew.
        is_new: No earlier attempt of this run is known, so nothing of its own is looked for.

    Example:
        >>> import asyncio
        >>> from opik_eval.storage.opening import open_storage
        >>> async def make() -> dict[str, object]:
        ...     return {"score": 1.0}
        >>> store = open_storage("memory:")
        >>> codec = Codec(encode=dict, decode=dict)
        >>> asyncio.run(Ledger(store, "run-1", codec).get("key", make)).origin
        'new'
        >>> asyncio.run(Ledger(store, "run-1", codec).get("key", make)).origin
        'own'
        >>> asyncio.run(Ledger(store, "run-2", codec).get("key", make)).origin
        'foreign'
    """

    def __init__(
        self,
        store: CacheStore,
        run: str,
        codec: Codec[T],
        *,
        resume: bool = True,
        is_new: bool = False,
    ) -> None:
        self.counts = LedgerCounts()
        self._store = store
        self._run = run
        self._codec = codec
        self._resumes = resume
        self._is_new = is_new
        self._known: dict[str, Found[T]] = {}
        self._missed: set[str] = set()
        self._making: dict[str, asyncio.Future[Found[T] | None]] = {}
        self._pending: dict[str, T] = {}
        self._writer: asyncio.Task[None] | None = None
        self._writes_at_once = str(getattr(store, "location", "")).startswith(_INSTANT)

    def find(self, key: str) -> Found[T] | None:
        """Return what is known of a key, in this process or in the store, which is read once."""
        found = self._known.get(key)
        if found is None and self._resumes and key not in self._missed:
            found = self._read(key)
            if found is None:
                self._missed.add(key)
            else:
                self._known[key] = found
        return found

    async def get(self, key: str, make: Callable[[], Awaitable[T]]) -> Found[T]:
        """Return the value of a key, made now if nobody has it yet.

        Callers that want the same value at the same time share one call of ``make``. A caller that
        is cancelled while it makes the value leaves the work to the next one in line.

        Raises:
            Exception: Whatever ``make`` raises; then nothing is stored.
        """
        while True:
            found = self.find(key)
            if found is not None:
                self._count(found.origin)
                return found
            waiting = self._making.get(key)
            if waiting is None:
                return await self._make(key, make)
            shared = await asyncio.shield(waiting)
            if shared is not None:
                self.counts.joined += 1
                return shared

    async def flush(self) -> None:
        """Wait until all values made so far are in the store.

        Raises:
            StorageError: The store refused one.
        """
        while self._pending or self._writer is not None:
            writer = self._writer = self._writer or asyncio.create_task(self._write_pending())
            try:
                await asyncio.shield(writer)
            finally:
                if writer.done() and self._writer is writer:
                    self._writer = None

    def forget(self, keys: Iterable[str]) -> None:
        """Remove what this run made of some keys, so that it is made anew when asked for again."""
        for key in keys:
            self._known.pop(key, None)
            self._pending.pop(key, None)
            if self._store.read_cached(self._own(key)) is not None:
                self._store.write_cached(self._own(key), b"")

    def _count(self, origin: Origin) -> None:
        setattr(self.counts, origin, getattr(self.counts, origin) + (origin != "new"))

    async def _make(self, key: str, make: Callable[[], Awaitable[T]]) -> Found[T]:
        future: asyncio.Future[Found[T] | None] = asyncio.get_running_loop().create_future()
        self._making[key] = future
        try:
            found = Found(await make(), "new")
        except asyncio.CancelledError:
            future.set_result(None)  # the next in line makes it
            raise
        except BaseException as error:
            future.set_exception(error)
            future.exception()  # seen, even if nobody waits
            raise
        finally:
            del self._making[key]
        self.counts.new += 1
        self._known[key] = found
        future.set_result(found)
        self._put(key, found.value)
        return found

    def _put(self, key: str, value: T) -> None:
        if self._writes_at_once:
            self._write(key, value)
            return
        self._pending[key] = value
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_pending())

    async def _write_pending(self) -> None:
        while self._pending:
            batch, self._pending = self._pending, {}
            await asyncio.to_thread(self._write_all, batch)

    def _write_all(self, batch: Mapping[str, T]) -> None:
        for key, value in batch.items():
            self._write(key, value)

    def _write(self, key: str, value: T) -> None:
        place = self._shared(key)
        if not self._codec.is_shared(value) or self._store.read_cached(place) is not None:
            place = self._own(key)
        document = {"run": self._run, "value": self._codec.encode(value)}
        self._store.write_cached(place, dumps(document))

    def _read(self, key: str) -> Found[T] | None:
        shared = self._document(self._shared(key))
        if shared is not None and shared["run"] == self._run:
            return Found(self._decoded(shared), "own")
        own = None if self._is_new else self._document(self._own(key))
        if own is not None:
            return Found(self._decoded(own), "own")
        return None if shared is None else Found(self._decoded(shared), "foreign")

    def _document(self, place: str) -> Mapping[str, object] | None:
        stored = self._store.read_cached(place)
        return cast("Mapping[str, object]", loads(stored)) if stored else None

    def _decoded(self, document: Mapping[str, object]) -> T:
        return self._codec.decode(cast("Mapping[str, object]", document["value"]))

    def _shared(self, key: str) -> str:
        return f"{_PREFIX}{key}"

    def _own(self, key: str) -> str:
        return f"{_PREFIX}{key}/{self._run}"


def ledger_key(*parts: object) -> str:
    """Return the key of a value: 64 hex digits of everything that determines it."""
    return content_hash(parts)
