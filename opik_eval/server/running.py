"""Running a server in this process."""

from __future__ import annotations

import gc
import ipaddress
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from opik_eval.errors import ConfigError

DRAIN_SECONDS = 30
_KEEP_ALIVE_SECONDS = 75
_BACKLOG = 2048
_SWITCH_SECONDS = 0.001
_COLLECT_AFTER = (20_000, 20, 20)


@dataclass(frozen=True)
class Listener:
    """An open socket and where it is reached."""

    socket: socket.socket
    host: str
    port: int

    @property
    def url(self) -> str:
        """The root of the server, for clients on this machine."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "") else self.host
        host = "[::1]" if host == "::" else f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.port}"


def listen(host: str, port: int) -> Listener:
    """Open the socket that a server accepts connections on.

    Args:
        host: Name or address of an interface of this machine.
        port: Port; 0 = any free one.

    Raises:
        ConfigError: The address is unknown or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
        opened.listen(_BACKLOG)
    except OSError as error:
        opened.close()
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            remedy="choose another --port, or stop what uses this one",
        ) from error
    return Listener(opened, host, opened.getsockname()[1])


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def make_server(app: FastAPI) -> uvicorn.Server:
    """Return a server that, told to stop, answers what it has accepted before it ends."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    )


@contextmanager
def tuned_interpreter() -> Iterator[None]:
    """Make Python fit for a server inside the block.

    A thread that wants the interpreter gets it after a millisecond, not after five: what a reader
    asks for does not wait behind the batches of a writer. Garbage is collected more rarely, because
    a batch makes tens of thousands of objects, none of them in a cycle; what is there before the
    first request stays, and is not looked through again and again.
    """
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.set_threshold(*_COLLECT_AFTER)
    gc.freeze()
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*thresholds)
        gc.unfreeze()
