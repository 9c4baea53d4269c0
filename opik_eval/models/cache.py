"""Replies of models, kept in the store under a hash of everything that determines them.

The key is the SHA-256 of the canonical JSON of model, endpoint, messages, parameters, schema and
repeat index (the seed is a parameter). Keys, passwords and the like never enter it. Equal requests
that are in flight at the same time become one. Failures and empty replies are never stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from opik_eval.errors import CacheMissError, ConfigError, ModelError, StorageError
from opik_eval.models.base import Completion, ModelRequest
from opik_eval.models.completion_codec import decode_completion, encode_completion
from opik_eval.serialization import content_hash
from opik_eval.storage.base import CacheStore
from opik_eval.tracing.capture import looks_secret

CacheMode = Literal["off", "read_write", "replay"]
"""``read_write`` reads and records, ``replay`` reads alone and fails on a miss."""

_KEY_VERSION = 1
_log = logging.getLogger(__name__)


def cache_key(request: ModelRequest, *, endpoint: str | None = None, repeat: int = 0) -> str:
    """Return the key of a request, 64 hex digits.

    Args:
        request: The request as it would be sent; its time-out does not count.
        endpoint: Base URL, where the model's name alone does not say who answers.
        repeat: Which of several equal requests this is.
    """
    identity = {
        "version": _KEY_VERSION,
        "model": request.model,
        "messages": request.messages,
        "params": without_secrets(request.params),
        "repeat": repeat,
    }
    if endpoint is not None:
        identity["endpoint"] = endpoint
    if request.json_schema is not None:
        identity["json_schema"] = request.json_schema
    return content_hash(identity)


def without_secrets(params: Mapping[str, object]) -> dict[str, object]:
    """Return parameters without those that carry credentials, in headers and nested objects too.

    Example:
        >>> without_secrets({"seed": 1, "api_key": "k", "extra_headers": {"Authorization": "k"}})
        {'seed': 1, 'extra_headers': {}}
    """
    return {
        name: without_secrets(value) if isinstance(value, Mapping) else value
        for name, value in params.items()
        if not looks_secret(str(name))
    }


def is_empty(completion: Completion) -> bool:
    """Tell whether a reply has neither text nor tool calls."""
    return not completion.tool_calls and not completion.text.strip()


@dataclass(frozen=True, kw_only=True)
class CacheStats:
    """What a cache has done so far.

    Attributes:
        hits: Replies read from the store.
        coalesced: Requests that shared the reply of an equal one in flight.
        misses: Requests that had to be sent or, in ``replay`` mode, failed.
        failed_writes: Replies that the store refused; they were used but are not recorded.
    """

    hits: int = 0
    coalesced: int = 0
    misses: int = 0
    failed_writes: int = 0


@dataclass(eq=False)
class _Flight:
    """One request on its way, and those who wait for it, each on the event loop of its own.

    The outcome is a reply, an error, or ``None`` if the task was cancelled before it had either.
    """

    waiting: list[asyncio.Future[Completion | Exception | None]] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    def land(self, outcome: Completion | Exception | None) -> None:
        """Hand the outcome to everyone who waits; nobody may board any more."""
        here = asyncio.get_running_loop()
        for future in tuple(self.waiting):
            if future.get_loop() is here:
                _resolve(future, outcome)
                continue
            with contextlib.suppress(RuntimeError):  # that loop is closed, and nobody waits on it
                future.get_loop().call_soon_threadsafe(_resolve, future, outcome)

    def cancel(self) -> None:
        """Cancel the request."""
        if self.task is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed, and it gone with it
                self.task.get_loop().call_soon_threadsafe(self.task.cancel)


def _resolve(
    future: asyncio.Future[Completion | Exception | None], outcome: Completion | Exception | None
) -> None:
    if not future.done():
        future.set_result(outcome)


class ResponseCache:
    """A response cache over a store. Usable from many threads and event loops at once.

    Args:
        store: Where the replies are.
        mode: What to do with hits and misses.
    """

    def __init__(self, store: CacheStore, mode: CacheMode = "read_write") -> None:
        self.mode = checked_mode(mode)
        self._store = store
        self._stats = CacheStats()
        self._flights: dict[str, _Flight] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, object]:
        return {"mode": self.mode, "_store": self._store}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__(state["_store"], state["mode"])  # type: ignore[misc]

    @property
    def stats(self) -> CacheStats:
        """What the cache has done so far."""
        return self._stats

    async def get_or_call(
        self,
        key: str,
        call: Callable[[], Awaitable[Completion]],
        *,
        model: str,
        mode: CacheMode | None = None,
    ) -> Completion:
        """Return the reply recorded under a key, else that of ``call``, which is then recorded.

        A reply that was paid for before, or by an equal request in flight, has ``cached=True`` and
        costs nothing. A caller that is cancelled does not disturb the others that wait for the
        same reply; if nobody waits any more, the request is cancelled.

        Args:
            key: What ``cache_key`` returned.
            call: Sends the request.
            model: Name of the model, for messages.
            mode: Replaces the cache's own mode for this request.

        Raises:
            CacheMissError: ``replay`` mode, and nothing is recorded.
            StorageError: The store could not be read.
        """
        mode = mode or self.mode
        if mode == "off":
            return await call()
        while True:
            flight, landing, is_leader = self._board(key)
            if is_leader:
                fly = self._fly(key, flight, call, model if mode == "replay" else None)
                flight.task = asyncio.create_task(fly)
            try:
                outcome = await landing
            except asyncio.CancelledError:
                await self._leave(key, flight, landing)
                raise
            if isinstance(outcome, Completion):
                return outcome if is_leader else _as_cached(outcome)
            # An equal request fails for the same reason; another caller's budget is not ours.
            if outcome is not None and (is_leader or isinstance(outcome, ModelError)):
                raise outcome

    def _board(
        self, key: str
    ) -> tuple[_Flight, asyncio.Future[Completion | Exception | None], bool]:
        landing = asyncio.get_running_loop().create_future()
        with self._lock:
            flight = self._flights.get(key)
            is_leader = flight is None
            if flight is None:
                flight = self._flights[key] = _Flight()
            else:
                self._stats = replace(self._stats, coalesced=self._stats.coalesced + 1)
            flight.waiting.append(landing)
        return flight, landing, is_leader

    async def _leave(
        self, key: str, flight: _Flight, landing: asyncio.Future[Completion | Exception | None]
    ) -> None:
        with self._lock:
            flight.waiting.remove(landing)
            if flight.waiting or self._flights.get(key) is not flight:
                return
            del self._flights[key]
        flight.cancel()
        if flight.task is not None and flight.task.get_loop() is asyncio.get_running_loop():
            await asyncio.wait([flight.task])  # whoever cancels us expects that all has wound up

    async def _fly(
        self,
        key: str,
        flight: _Flight,
        call: Callable[[], Awaitable[Completion]],
        replayed_model: str | None,
    ) -> None:
        outcome: Completion | Exception | None = None
        try:
            outcome = await self._find_or_call(key, call, replayed_model)
        except Exception as error:  # noqa: BLE001 - handed to everyone who waits
            outcome = error
        finally:
            with self._lock:
                if self._flights.get(key) is flight:
                    del self._flights[key]
            flight.land(outcome)

    async def _find_or_call(
        self, key: str, call: Callable[[], Awaitable[Completion]], replayed_model: str | None
    ) -> Completion:
        recorded = await asyncio.to_thread(self._store.read_cached, key)
        found = None if recorded is None else decode_completion(recorded)
        if found is not None:
            self._count(hits=1)
            return _as_cached(found)
        self._count(misses=1)
        if replayed_model is not None:
            raise CacheMissError(
                f"replay: no reply of {replayed_model} is recorded under key {key}",
                remedy="run once with cache_mode='read_write' against the same store to record it; "
                "any change of messages, parameters, schema or repeat index needs a new recording",
            )
        completion = await call()
        if not is_empty(completion):
            await self._record(key, completion)
        return completion

    async def _record(self, key: str, completion: Completion) -> None:
        try:
            await asyncio.to_thread(self._store.write_cached, key, encode_completion(completion))
        except StorageError as error:
            # The reply is paid for and good; losing it too would make things worse.
            self._count(failed_writes=1)
            _log.warning("a reply of %s could not be recorded: %s", completion.model, error)

    def _count(self, *, hits: int = 0, misses: int = 0, failed_writes: int = 0) -> None:
        with self._lock:
            self._stats = replace(
                self._stats,
                hits=self._stats.hits + hits,
                misses=self._stats.misses + misses,
                failed_writes=self._stats.failed_writes + failed_writes,
            )


def checked_mode(mode: CacheMode) -> CacheMode:
    """Return ``mode`` if it is one.

    Raises:
        ConfigError: It is not.
    """
    if mode not in get_args(CacheMode):
        raise ConfigError(f"cache mode {mode!r} is none of {', '.join(get_args(CacheMode))}")
    return mode


def _as_cached(completion: Completion) -> Completion:
    return replace(completion, cached=True, cost_usd=0.0, attempts=0)
