"""HTTP connections: one aiohttp session per event loop, closed with their owner at the latest."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections.abc import Coroutine, Mapping, MutableMapping
from typing import TYPE_CHECKING

from opik_eval.config import proxy_for

if TYPE_CHECKING:
    from aiohttp import ClientSession

_DNS_CACHE_SECONDS = 300
_Sessions = MutableMapping[asyncio.AbstractEventLoop, "ClientSession"]


class Connections:
    """Sessions for the requests of one transport to one server.

    Thread-safe. Nothing is opened before the first request. What nobody closes is closed when the
    owner is collected or the process ends, without a complaint on the terminal.

    Args:
        url: Base URL of the server; decides whether a proxy of the environment is used.
        headers: Headers of every request.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = url
        self._headers = dict(headers)
        self._lock = threading.Lock()
        self._sessions: _Sessions = weakref.WeakKeyDictionary()
        weakref.finalize(self, _close_all, self._sessions)

    def session(self) -> ClientSession:
        """Return the session of the running event loop."""
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        return session if session is not None else self._open(loop)

    async def aclose(self) -> None:
        """Close the sessions of all event loops; a later request opens a new one."""
        with self._lock:
            own = self._sessions.pop(asyncio.get_running_loop(), None)
            _close_all(self._sessions)
        if own is not None:
            await own.close()

    def _open(self, loop: asyncio.AbstractEventLoop) -> ClientSession:
        import aiohttp  # 200 ms that only users of this path pay

        session = aiohttp.ClientSession(
            # The limiter above decides how many requests run; a second limit here would hide it.
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=_DNS_CACHE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            proxy=proxy_for(self._url),
        )
        with self._lock:
            _close_all({old: s for old, s in self._sessions.items() if old.is_closed()})
            self._sessions[loop] = session
        return session


def _close_all(sessions: _Sessions) -> None:
    for loop, session in list(sessions.items()):
        sessions.pop(loop, None)
        _close(loop, session)


def _close(loop: asyncio.AbstractEventLoop, session: ClientSession) -> None:
    """Close a session from outside its event loop's tasks, whatever state that loop is in."""
    closing = session.close()
    if loop.is_closed() or loop is _running_loop():
        _begin(closing)
    elif loop.is_running():
        loop.call_soon_threadsafe(_begin, closing)
    elif _running_loop() is None:
        loop.run_until_complete(closing)
    else:
        _begin(closing)


def _begin(closing: Coroutine[object, object, None]) -> None:
    """Run a coroutine up to where it waits: by then the sockets are closed."""
    with contextlib.suppress(StopIteration):
        closing.send(None)
    closing.close()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
