"""A server as a process of its own, whose access log tells how it answered."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class ServerProcess:
    """A running server.

    Attributes:
        url: Its root.
        store: Where its records are, as ``open_storage`` takes it.
        log: File with one line of JSON for each request.
        process: The process.
    """

    url: str
    store: str
    log: Path
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def answered(self, since: int = 0) -> list[dict[str, object]]:
        """Return the requests that were answered, from a place in the log on."""
        with self.log.open("rb") as file:
            file.seek(since)
            lines = [json.loads(line) for line in file]
        return [line for line in lines if line["logger"] == "opik_eval.server.access"]

    def place(self) -> int:
        """Return the place in the log where it ends now."""
        return self.log.stat().st_size


@contextmanager
def serve(store: str, folder: Path, *options: str) -> Iterator[ServerProcess]:
    """Run ``opik-eval serve`` over a store; it must end by itself when it is told to."""
    log = folder / "server.log"
    words = [
        sys.executable,
        "-m",
        "opik_eval",
        "serve",
        "--store",
        store,
        "--port",
        "0",
        "--json",
        "--verbose",
    ]
    with log.open("wb") as errors:
        process = subprocess.Popen([*words, *options], stdout=subprocess.PIPE, stderr=errors)
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, log.read_text()
            yield ServerProcess(json.loads(line)["url"], store, log, process)
        finally:
            was_killed = process.poll() == -signal.SIGKILL
            process.terminate()
            process.stdout.close()
            assert was_killed or process.wait(30) in (0, -signal.SIGTERM), log.read_text()
